"""Throws broken and hostile records at the decoder and at every mapping that comes along: `make fuzz`.

    python tools/fuzz_ingest.py --inputs 100000 --seed 1

Inputs are made of the golden records of the presets: their values are replaced by hostile ones, fields dropped, added
and repeated, objects nested, numbers made huge; and some have their bytes torn. Most of them are still JSON, so they
get past the decoder. Whatever comes, a record must become events or a `RecordError` of a known reason, twice the same,
and the events, written as a stage writes them, must be read again as the same events.

The last line counts: inputs, how many were JSON, how many reached a mapping, what became of them, and the slowest.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from stream.errors import RecordError
from stream.ingest import DeadLetter, Ingest, load_mapping, preset_names
from stream.metrics import REASONS

GOLDEN = Path(__file__).parent.parent / "tests" / "ingest" / "presets"
RECORD_TIME = 1_772_359_205_123
Make = Callable[[random.Random], Any]

HOSTILE: tuple[Make, ...] = (
    lambda dice: None,
    lambda dice: "",
    lambda dice: dice.choice([True, False]),
    lambda dice: dice.choice([0, -1, 2**53, 2**63, 2**64, -(2**63), 10**25, 10**400]),
    lambda dice: dice.choice([0.5, -0.0, 1e308, 5e-324, 1e22, float("nan"), float("inf")]),
    lambda dice: dice.choice(["nan", "1e999", "9" * 500, "1_000", "-", "0x10", "٣", "2026-13-45", "24:00"]),
    lambda dice: dice.choice(
        ["2026-03-01T10:00:00Z", "2026-03-01", "0000-00-00T00:00:00Z", "9999-12-31T23:59:60Z"]
    ),
    lambda dice: "".join(dice.choice("\x00\x07\n\r\t\x1f\u2028\ufeff\u202e'\"\\") for _ in range(5)),
    lambda dice: "x" * dice.choice([300, 10_000]),
    lambda dice: dice.choice(["\ud800", "\udfff x", "😀", "é", "ﬃ"]),
    lambda dice: [[]],
    lambda dice: {"": {"": ""}},
    lambda dice: nested(dice.choice([5, 299, 301, 2000]), dice.random() < 0.5),
    lambda dice: [{"product_id": index} for index in range(dice.choice([1, 200]))],
    lambda dice: {
        f"k{index}": index for index in range(dice.choice([3, 10_000 if dice.random() < 0.02 else 50]))
    },
    lambda dice: "eyJhIjoxfQ==",
    lambda dice: '{"data": [{"schema": "ecommerce/product/", "data": {"id": 1}}]}',
)


def nested(depth: int, lists: bool) -> Any:
    """Objects or lists in each other."""
    found: Any = 1
    for _ in range(depth):
        found = [found] if lists else {"a": found}
    return found


def records() -> list[tuple[str, Any, dict[str, str]]]:
    """(preset, record, headers) of the golden files; rows of tables as objects."""
    found: list[tuple[str, Any, dict[str, str]]] = []
    for path in sorted(GOLDEN.glob("*.json")):
        for case in json.loads(path.read_text(encoding="utf-8")):
            record = case["record"]
            if "table" in case:
                record = dict(zip(case["table"].split(","), record.split(","), strict=True))
            found.append((path.stem, record, case.get("headers", {})))
    return found


def mutate(node: Any, dice: random.Random, left: list[int]) -> Any:
    """The record with some of its values replaced, dropped or added."""
    if left[0] and dice.random() < 0.12:
        left[0] -= 1
        return dice.choice(HOSTILE)(dice)
    if isinstance(node, dict):
        found = {key: mutate(value, dice, left) for key, value in node.items() if dice.random() > 0.03}
        if dice.random() < 0.05:
            found[dice.choice(["", "a.b", "$set", "path", "\x00", "user_id", "time", "x" * 300])] = 1
        return found
    if isinstance(node, list):
        return [mutate(value, dice, left) for value in node]
    return node


def encode(node: Any, dice: random.Random) -> bytes:
    """JSON, sometimes with a key twice, unquoted constants, or with torn bytes."""
    text = dumps(node)
    draw = dice.random()
    if draw < 0.05 and text.startswith("{") and len(text) > 2:
        text = "{" + text[1:-1] + "," + text[1:]
    data = text.encode("utf-8", "surrogatepass" if draw < 0.5 else "replace")
    if draw > 0.93 and data:
        torn = bytearray(data)
        for _ in range(dice.randint(1, 4)):
            torn[dice.randrange(len(torn))] = dice.randrange(256)
        return bytes(torn[: dice.randint(1, len(torn))] if dice.random() < 0.3 else torn)
    return data


def dumps(node: Any) -> str:
    """json.dumps without its own limit of depth."""
    depth, inner = 0, node
    heads, tails = [], []
    while depth < 5_000 and isinstance(inner, (list, dict)) and len(inner) == 1:
        if isinstance(inner, list):
            heads.append("[")
            tails.append("]")
            inner = inner[0]
        else:
            ((key, inner),) = inner.items()
            heads.append("{" + json.dumps(key) + ":")
            tails.append("}")
        depth += 1
    if isinstance(inner, dict):
        body = "{" + ",".join(f"{json.dumps(key)}:{dumps(value)}" for key, value in inner.items()) + "}"
    elif isinstance(inner, list):
        body = "[" + ",".join(map(dumps, inner)) + "]"
    else:
        body = json.dumps(inner, ensure_ascii=False)
    return "".join(heads) + body + "".join(reversed(tails))


class Fuzz:
    """Counts what becomes of inputs; AssertionError where a promise is broken."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.slowest = 0.0
        self._again = Ingest()
        self._ingests = {}
        for name in preset_names():
            mapping = load_mapping(name)
            self._ingests[name] = Ingest(mapping)

    def inputs(self, number: int, seed: int) -> Iterator[tuple[str, bytes, dict[str, str]]]:
        """`number` inputs, the same for the same seed."""
        dice = random.Random(seed)
        known = records()
        for _ in range(number):
            preset, record, headers = dice.choice(known)
            if isinstance(record, str):  # a row of text: its bytes are torn
                cells = record.split("\t")
                cells[dice.randrange(len(cells))] = dumps(dice.choice(HOSTILE)(dice))[:20_000]
                yield preset, "\t".join(cells).encode("utf-8", "replace"), headers
            else:
                yield preset, encode(mutate(record, dice, [dice.choice([0, 1, 2, 8])]), dice), headers

    def feed(self, preset: str, value: bytes, headers: dict[str, str]) -> None:
        """One input, through its own mapping."""
        origin = SimpleNamespace(key=b"k", headers=[(name, text.encode()) for name, text in headers.items()])
        began = time.process_time()
        first = self._read(preset, value, origin)
        self.slowest = max(self.slowest, time.process_time() - began)
        assert self._read(preset, value, origin) == first, f"not the same twice: {preset} {value[:200]!r}"
        self.counts["inputs"] += 1
        if isinstance(first, str):
            self.reasons[first.partition(":")[0]] += 1
        self.counts["records read" if not isinstance(first, str) else "dead letters"] += 1

    def _read(self, preset: str, value: bytes, origin: Any) -> Any:
        ingest = self._ingests[preset]
        try:
            row = ingest.mappable(value)
        except RecordError as error:
            return self._refused(error, value)
        self.counts["reached a mapping or the envelope"] += 1
        batch, errors = ingest.read_batch([(value, 0, RECORD_TIME)], [origin])
        try:
            made = ingest.canonical(value, record_time=RECORD_TIME, origin=origin)
        except RecordError as error:
            if error.reason != "bad_json":  # what cannot be written again may still be read
                told = [str(refused) for _, refused in errors]
                assert told == [str(error)], told  # noqa: PT017
            return self._refused(error, value)
        assert isinstance(row, (dict, list))
        for event, written in made:
            assert event.user or event.type == "clock_advanced"
            assert type(event.time) is int
            again = self._again.read(written, offset=0, record_time=RECORD_TIME)
            assert (again.id, again.user, again.time) == (event.id, event.user, event.time), written[:200]
        events = ingest.read_all(value, offset=0, record_time=RECORD_TIME, origin=origin)
        assert [event.id for event in events] == [event.id for event, _ in made]
        assert repr(batch) == repr(events), "a batch reads alike"
        return [written for _, written in made]

    def _refused(self, error: RecordError, value: bytes) -> str:
        assert error.reason in REASONS, error
        assert len(error.message) < 1_000, error.message[:2_000]
        letter = DeadLetter.of(error, value, b"k", (), topic="t", partition=0, offset=1)
        assert DeadLetter.from_json(letter.to_json()).raw == value
        return str(error)


def is_json(value: bytes) -> bool:
    """Whether it is strict JSON."""
    try:
        json.loads(value, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(name: str) -> None:
    raise ValueError(name)


def run(inputs: int, seed: int) -> Fuzz:
    """A run over so many inputs."""
    fuzz = Fuzz()
    for preset, value, headers in fuzz.inputs(inputs, seed):
        fuzz.counts["JSON"] += is_json(value)
        fuzz.feed(preset, value, headers)
    fuzz.counts["reached a mapping or the envelope"] //= 2  # each input was read twice
    return fuzz


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    fuzz = run(given.inputs, given.seed)
    told = ", ".join(f"{count:,} {what}" for what, count in fuzz.counts.items())
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in fuzz.reasons.most_common())
    print(f"{told} ({reasons}); the slowest took {fuzz.slowest * 1000:.1f} ms of CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
