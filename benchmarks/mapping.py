"""What a mapping costs on top of decoding: `python benchmarks/mapping.py`.

Reads the golden records of the Segment preset, in batches like a worker's, and decodes the same bytes into plain
objects; prints the least CPU time of many tries per event, and the difference.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from stream.ingest import Ingest, load_mapping

GOLDEN = Path(__file__).parent.parent / "tests" / "ingest" / "presets" / "segment.json"
BATCH, TRIES = 200, 200


def least(work: Callable[[], object]) -> float:
    """Microseconds of CPU per event."""
    found = []
    for _ in range(TRIES):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found) / BATCH * 1e6


def main() -> None:
    ingest = Ingest(load_mapping("segment"))
    decode = msgspec.json.Decoder().decode
    gc.disable()
    for case in json.loads(GOLDEN.read_text(encoding="utf-8")):
        if "dead_letter" in case:
            continue
        value = json.dumps(case["record"]).encode()
        rows = [(value, offset, 1_772_359_205_123) for offset in range(BATCH)]
        read = least(lambda rows=rows: ingest.read_batch(rows))  # type: ignore[misc]
        decoded = least(lambda value=value: [decode(value) for _ in range(BATCH)])  # type: ignore[misc]
        print(f"{read - decoded:5.2f} µs on top of {decoded:5.2f} for {len(value):5} bytes: {case['title']}")


if __name__ == "__main__":
    main()
