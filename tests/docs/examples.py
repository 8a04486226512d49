"""Examples of the pages: definitions, a handful of events, and the changes that they give.

    ```yaml example     a piece of a definitions file; `version: 1` and the page's `yaml segments shared` go with it
    ```text events      what arrives, in this order; options of a replay stand behind, as `lateness=1h`
    ```text changes     what the engine says to it, all of it, in the order of a replay's output

A page may give several pairs of events and changes for one definition. Instead of `yaml example` there may be a whole
file (`yaml segments`), instead of `text events` canonical `jsonl events`, instead of `text changes` whole records
(`json changes`).

Definitions marked `continues` take over the state that the example before them left, as after a restart.

Events stand one on a line: time, user, type, and what else there is as JSON. Changes: time, user, type, segment with
its instance or tier, cause, the event that caused it, and as JSON any other parts of the record by their path:

    09:00  ann:  product_added    {"props": {"size": "M"}}
    09:30  ann:  entered cart_abandoned  timer  {"policy.entry": 1}

A line without a day is of the day of the line before it, the first line of Monday, 2 November 2026. Times are UTC.
Without a user it is `u1`. Events are `e1`, `e2`, … unless they say otherwise.
`×100 every 10s` at the end of an event repeats it; `#` in its JSON is the number of the repetition, from 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream.definitions import load
from stream.durations import parse_duration
from stream.engine import TimeSettings, compile_plan
from stream.packs.scenario import Days, read_line, split_user
from stream.replay import Log, Replay
from stream.state import MemoryStore
from tests.test_docs import Block, blocks_of

_CHANGE = re.compile(r"(entered|exited|moved|renewed|retracted)\s+(\w+)(?:\[(.*?)\])?(?:\s+(.*))?")
_CAUSES = ("event", "timer", "late_event", "evicted", "definition_change")
Expected = dict[str, Any]


@dataclass(frozen=True)
class Example:
    """Definitions, events and changes of one example."""

    definitions: tuple[Block, ...]
    events: Block
    changes: Block
    before: Example | None = None
    """The example whose state this one takes over."""

    @property
    def number(self) -> int:
        """How many events come before those of this example."""
        return 0 if self.before is None else self.before.number + len(list(events_of(self.before.events)))

    def __str__(self) -> str:
        return str(self.events)


@dataclass
class Reading:
    """The blocks of a page, put together."""

    examples: list[Example] = field(default_factory=list)
    unused: list[Block] = field(default_factory=list)
    """Definitions marked as an example that no events follow."""


def read_page(page: Path) -> Reading:
    """All examples of a page."""
    reading = Reading()
    shared: Block | None = None
    before: Example | None = None
    current: Block | None = None
    used = True
    events: Block | None = None
    for block in blocks_of(page):
        if block.language == "yaml" and block.kind in ("example", "segments"):
            assert events is None, f"{events}: events without changes"
            if current is not None and current.kind == "example" and not used:
                reading.unused.append(current)
            if "shared" in block.words:
                shared, current, used = block, None, True
            else:
                current, used = block, False
                before = reading.examples[-1] if "continues" in block.words else None
        elif block.kind == "events":
            assert current is not None, f"{block}: events without definitions"
            events = block
        elif block.kind == "changes":
            assert events is not None, f"{block}: changes without events"
            assert current is not None
            with_shared = (shared,) if shared is not None and current.kind == "example" else ()
            reading.examples.append(Example((*with_shared, current), events, block, before))
            events, used = None, True
    if current is not None and current.kind == "example" and not used:
        reading.unused.append(current)
    return reading


def replay(example: Example, folder: Path) -> list[dict[str, Any]]:
    """The records that the engine gives."""
    return _replay(example, folder, MemoryStore())


def _replay(example: Example, folder: Path, store: MemoryStore) -> list[dict[str, Any]]:
    if example.before is not None:
        _replay(example.before, folder, store)
    files = []
    for number, block in enumerate(example.definitions):
        file = folder / f"{number}.yaml"
        head = "version: 1\n" if block.kind == "example" else ""
        file.write_text(head + block.text, encoding="utf-8")
        files.append(file)
    log = folder / "events.jsonl"
    events = events_of(example.events, example.number)
    log.write_text("".join(f"{json.dumps(event)}\n" for event in events), encoding="utf-8")
    given = (word.split("=") for word in example.events.words if "=" in word)
    times = {name: parse_duration(value) for name, value in given if name != "file"}
    run = Replay(compile_plan(load(files)), TimeSettings(**times), store=lambda partition: store)
    for _ in run.feed(Log(str(log))):
        pass
    outcome = run.finish()
    assert outcome.dead_letters == 0, f"{example}: an event cannot be read"
    return [json.loads(change.value) for change in outcome.changes]


def events_of(block: Block, before: int = 0) -> Iterator[dict[str, Any]]:
    """The canonical events of a block, numbered from `before` + 1."""
    lines = [line for line in block.text.splitlines() if line.strip()]
    if block.language == "jsonl":
        yield from map(json.loads, lines)
        return
    days = Days()
    number = before
    for line in lines:
        for event in read_line(line, days):
            number += 1
            yield {"id": f"e{number}", **event} if "user_id" in event else event


def expected_of(block: Block) -> list[Expected]:
    """What a block of changes says, each as a path → value."""
    if block.language == "json":
        decoder, text, records = json.JSONDecoder(), block.text.strip(), []
        while text:
            record, end = decoder.raw_decode(text)
            records.append(record)
            text = text[end:].strip()
        return records
    days = Days()
    lines = [line for line in block.text.splitlines() if line.strip()]
    return [] if [line.strip() for line in lines] == ["none"] else [change_of(line, days) for line in lines]


def change_of(line: str, days: Days) -> Expected:
    """What a line says of a change, as a path → value."""
    time, rest = days.read(line)
    user, rest = split_user(rest)
    rest, brace, more = rest.partition("{")
    match = _CHANGE.fullmatch(rest.strip())
    assert match is not None, f"not a change: {line!r}"
    words = (match[4] or "").split()
    at = next((i for i, word in enumerate(words) if word in _CAUSES), None)
    assert at is not None, f"a change names its cause: {line!r}"
    tiers = [word for word in words[:at] if word != "→"]
    left = match[1] == "exited" and bool(tiers)
    return {
        "effective_at": time,
        "user.id": user or "u1",
        "type": match[1],
        "segment.key": match[2],
        "segment.value": None if left or not tiers else tiers[-1],
        "segment.previous": tiers[0] if left or len(tiers) == 2 else None,
        "instance": match[3],
        "cause": words[at],
        "trigger.event_id": words[at + 1] if at + 1 < len(words) else None,
        **(json.loads(brace + more) if brace else {}),
    }


def part_of(record: Any, path: str) -> Any:
    """What stands at `policy.entry` or `reason.0.value`; None where nothing does."""
    node = record
    for name in path.split("."):
        if isinstance(node, list):
            node = node[int(name)] if name.isdigit() and int(name) < len(node) else None
        else:
            node = node.get(name) if isinstance(node, dict) else None
    return node


def show(record: dict[str, Any]) -> str:
    """A record as a line of a page."""
    segment, trigger = record["segment"], record.get("trigger", {})
    tiers = " → ".join(filter(None, (segment.get("previous"), segment.get("value"))))
    instance = f"[{record['instance']}]" if "instance" in record else ""
    words = (
        record["effective_at"].removesuffix("Z").replace("T", " "),
        f"{record['user']['id']}:",
        record["type"],
        segment["key"] + instance,
        tiers,
        record["cause"],
        trigger.get("event_id", ""),
    )
    return "  ".join(filter(None, words))
