"""From a raw record to canonical events, or to a dead letter.

A pipeline of functions: bytes are decoded to a row, a mapping makes canonical rows of it, the envelope is checked,
and what comes out is an `Event`. Wherever that ends in a `RecordError`, the record becomes a `DeadLetter`.
"""

from stream.ingest.deadletters import DeadLetter
from stream.ingest.envelope import MAX_EVENT_BYTES, Ingest
from stream.ingest.mapping import Mapping, load_mapping, preset_names
from stream.ingest.plain import MAX_DEPTH

__all__ = ["MAX_DEPTH", "MAX_EVENT_BYTES", "DeadLetter", "Ingest", "Mapping", "load_mapping", "preset_names"]
