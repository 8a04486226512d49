"""What mappings cost: from records of another shape to events, and how much of it is not decoding.

Segment's calls are made of the simulated shop's events, each with all that its libraries send along. What a mapping
adds is the difference to decoding the same bytes into plain objects, of each batch the least of the runs: what it
costs, not what else the machine did meanwhile.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import msgspec

from stream.bench.report import Measurement, Sample
from stream.ingest import Ingest, load_mapping

_BATCH = 500
_FEWEST_RUNS = 5
_RECORD_TIME = 1_790_000_000_000
_CALLS = {"user_identified": "identify", "page_viewed": "page"}
_LIBRARY = {"name": "analytics.js", "version": "2.11.1"}


def measure_mapping(lines: Sequence[bytes], repeat: int) -> Iterator[Measurement]:
    """The presets of a table and of Segment: Segment's for the shop's mix of events, then for each kind alone."""
    yield _measured("mapping, retailrocket", "retailrocket", _retailrocket(len(lines)), repeat)
    kinds: dict[str, list[bytes]] = {}
    calls = []
    for line in lines:
        event = json.loads(line)
        calls.append(_segment_call(event))
        kinds.setdefault(event["type"], []).append(calls[-1])
    yield _measured("mapping, segment", "segment", calls, repeat)
    for kind, some in sorted(kinds.items()):
        yield _measured(f"mapping, segment, {kind}", "segment", some[: 20 * _BATCH], repeat)


def _segment_call(event: dict[str, Any]) -> bytes:
    """What Segment would deliver of a canonical event."""
    given = event.get("context", {})
    call = _CALLS.get(event["type"], "track")
    items = event.get("items", [])
    properties = {
        **event.get("props", {}),
        "order_id": event.get("order_id"),
        "revenue": event.get("value"),
        "currency": event.get("currency"),
        **(items[0] if len(items) == 1 else {"products": items} if items else {}),
    }
    record = {
        "anonymousId": event.get("anonymous_id"),
        "context": {
            "app": {"name": "Shop", "version": given.get("app_version")},
            "device": {"type": event.get("channel"), "model": given.get("device")},
            "ip": "198.51.100.7",
            "library": _LIBRARY,
            "locale": "ko-KR",
            "location": {"city": given.get("city"), "country": given.get("country")},
            "os": {"name": given.get("os"), "version": "17.1"},
            "page": {"path": "/", "title": "Shop", "url": "https://shop.example/"},
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
        },
        "event": event["type"].replace("_", " ").title() if call == "track" else None,
        "integrations": {},
        "messageId": event["id"],
        "originalTimestamp": event["time"],
        "properties": {name: value for name, value in properties.items() if value is not None} or None,
        "receivedAt": event["received_at"],
        "sentAt": event["time"],
        "timestamp": event["time"],
        "traits": event.get("traits"),
        "type": call,
        "userId": event.get("user_id"),
        "version": 2,
    }
    return json.dumps({name: value for name, value in record.items() if value is not None}).encode()


def _retailrocket(count: int) -> list[bytes]:
    random = Random(1)
    kinds = ("view", "addtocart", "transaction")
    return [
        json.dumps(
            {
                "timestamp": 1_433_221_332_117 + 250 * number,
                "visitorid": random.randrange(50_000),
                "event": kinds[number % 3],
                "itemid": random.randrange(10_000),
                "transactionid": number if number % 3 == 2 else "",
            }
        ).encode()
        for number in range(count)
    ]


def _measured(name: str, preset: str, values: list[bytes], repeat: int) -> Measurement:
    read, decode = Ingest(load_mapping(preset)).read_batch, msgspec.json.Decoder().decode
    batches = [
        [(value, at, _RECORD_TIME) for at, value in enumerate(values[start : start + _BATCH])]
        for start in range(0, len(values), _BATCH)
    ]
    gc.collect()
    gc.freeze()
    mapped: list[list[float]] = []
    plain: list[list[float]] = []
    walls = []
    for _ in range(max(repeat, _FEWEST_RUNS)):  # by turns, so that a busy machine does not decide
        began = time.perf_counter()
        mapped.append(_run(lambda batch: read(batch)[0], batches))
        walls.append(time.perf_counter() - began)
        plain.append(_run(lambda batch: [decode(value) for value, _, _ in batch], batches))
    gc.unfreeze()
    least, least_plain = (sum(map(min, zip(*runs, strict=True))) for runs in (mapped, plain))
    cost = (least - least_plain) / len(values) * 1e6
    figures = {"µs on top of decoding": cost, "bytes per record": sum(map(len, values)) / len(values)}
    samples = (
        Sample(len(values), wall, max(sum(cpu), 1e-9), 0, figures=figures)
        for wall, cpu in zip(walls, mapped, strict=True)
    )
    return Measurement(name, tuple(samples), "JSON, mapping and checks")


def _run(work: Callable[[list[Any]], list[Any]], batches: list[list[Any]]) -> list[float]:
    """Seconds of CPU of each batch. They are let go one by one, as readers do."""
    found = []
    for batch in batches:
        began = time.process_time()
        work(batch)
        found.append(time.process_time() - began)
    return found
