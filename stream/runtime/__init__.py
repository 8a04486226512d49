"""What runs the engine: embedded in a process, or on Kafka."""
