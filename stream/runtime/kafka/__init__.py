"""The worker on Kafka. The only room that imports faust, aiokafka and kafka-python.

topics       plan, check and create the topics
logs         a topic to a log and back
app          the worker: Faust app, HTTP
  transport    batches of raw records through Faust
  ownership    which partitions are ours, restored and claimed
  rounds       step, changelog, publish, store, acknowledge
  changelog    the log of the state, one writer a partition
"""
