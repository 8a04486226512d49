"""The benchmark: how many events a second, how long a change takes, and where that stands beside other engines.

In this process:
    decode      JSON to events, checks included
    mapping     rows of another shape to events
    engine      decode, engine and an in-memory store on one core: the retail pack, and the peers' job
    kinds       the same with one aggregate or one condition at a time
    growth      more segments, more users
    state       profiles: encoding, decoding, RocksDB
On a real broker:
    changelog   writing steps to the log of the state
    restore     state out of that log: without a local store, and with one
    worker      the worker end to end: a backlog, the retail pack
    pressure    ten times as many events waiting: memory and speed do not depend on that
    peers       the same job by our worker, stock Faust, Quix Streams, Bytewax and Kafka Streams, in turns
    latency     produced → change consumed at 1,000 and 5,000 events a second; CPU at the low rate
    timers      a million users: memory, restore, a tenth of them due at once while live events come

Ratios within one run are what to look at; absolute figures belong to the machine that is printed with them. Medians
over repeats. Nothing here is a test: no build fails because a machine is slow.
"""

from stream.bench.report import Report
from stream.bench.run import PARTS, run_bench

__all__ = ["PARTS", "Report", "run_bench"]
