"""Packs as their stories see them: a scenario, what it must give, and what the definitions make of it.

`expected.txt` of a pack holds, in any order:

    # Mia leaves the cart at 21:00 and buys the next morning.                  for people
    11-02 21:30  mia: entered cart_abandoned  timer                            a change, as the pages write them
    11-03 08:00  mia: exited  cart_abandoned  event  {"seq": 2}                with any other parts of the record
    nearly cart_abandoned  tom: bought after 29 minutes                        who does not get in, and why
    nearly loyalty.gold    tom: spent 999

Every segment and every tier has somebody who gets in and somebody who nearly does.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from stream.definitions import load
from stream.engine import Plan, compile_plan
from stream.events import event_type
from stream.ingest import Ingest
from stream.instants import parse_instant
from stream.packs import EXPECTED, SCENARIO, locate, pack_folder
from stream.packs.scenario import Days, Event, read_scenario
from stream.runtime.embedded import EmbeddedRuntime
from tests.docs.examples import Expected, change_of, part_of

_NEARLY = re.compile(r"nearly\s+([\w.]+)\s+([\w-]+):\s+(.+)")
_PLAIN = (
    "effective_at",
    "user.id",
    "type",
    "segment.key",
    "segment.value",
    "segment.previous",
    "instance",
    "cause",
)


@dataclass(frozen=True)
class Nearly:
    """Somebody who does not get into a segment, or a tier of a ladder."""

    place: str
    user: str
    why: str


@dataclass(frozen=True)
class Story:
    """A pack's scenario and what it must give."""

    events: tuple[Event, ...]
    changes: tuple[Expected, ...]
    nearly: tuple[Nearly, ...]


@cache
def story_of(pack: str) -> Story:
    """What stands in the folder of a pack."""
    folder = pack_folder(pack)
    changes, nearly, days = [], [], Days()
    for line in (folder / EXPECTED).read_text("utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("nearly"):
            match = _NEARLY.fullmatch(line.strip())
            assert match is not None, f"write `nearly segment  user: why`, not {line!r}"
            nearly.append(Nearly(match[1], match[2], match[3]))
        else:
            changes.append(change_of(line, days))
    events = read_scenario((folder / SCENARIO).read_text("utf-8"))
    return Story(tuple(events), tuple(changes), tuple(nearly))


def plan_of(name: str) -> Plan:
    """The plan of a pack, as in `retail?cart_wait=45m`."""
    return compile_plan(load([locate(f"pack:{name}")]))


def play(plan: Plan, events: tuple[Event, ...]) -> list[dict[str, Any]]:
    """The changes that a plan makes of events, up to the last of them."""
    lines = [(json.dumps(event).encode(), offset, None) for offset, event in enumerate(events)]
    read, errors = Ingest(event_type=event_type(plan.extra_fields)).read_batch(lines)
    assert not errors, errors
    runtime = EmbeddedRuntime(plan)
    changes = runtime.feed(0, read)
    changes += runtime.finish(max(parse_instant(event["time"]) for event in events))
    return [json.loads(change.value) for change in changes]


def plainly(record: dict[str, Any] | Expected) -> str:
    """A change on one line, from a record or from what a line expects; sorts by time."""
    parts = {path: record[path] if path in record else part_of(record, path) for path in _PLAIN}
    day, clock = parts["effective_at"].removesuffix("Z").split("T")
    tiers = " → ".join(filter(None, (parts["segment.previous"], parts["segment.value"])))
    key = f"[{parts['instance']}]" if parts["instance"] else ""
    words = (
        f"{day} {clock}",
        f"{parts['user.id']}:",
        parts["type"],
        parts["segment.key"] + key,
        tiers,
        parts["cause"],
    )
    return "  ".join(filter(None, words))


def further(expected: Expected) -> dict[str, Any]:
    """What else a line says of its change; the event that caused it only where it is named."""
    return {path: value for path, value in expected.items() if path not in _PLAIN and value is not None}


def all_stories(packs: list[str]) -> tuple[list[Event], int]:
    """The events of all packs in one log, each pack's people apart from the others', and where the log ends."""
    events = [
        {**event, "user_id": f"{pack}.{event['user_id']}", "id": f"{pack}.{event['id']}"}
        for pack in packs
        for event in story_of(pack).events
        if "user_id" in event
    ]
    ends = [parse_instant(event["time"]) for pack in packs for event in story_of(pack).events]
    return sorted(events, key=lambda event: parse_instant(event["time"])), max(ends)


def told_of(pack: str, records: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """What a pack's story tells, and what happened of it among the changes of all packs, up to the story's end."""
    story, definitions = story_of(pack), plan_of(pack).definitions
    own = {*definitions.segments, *definitions.ladders}
    end = max(parse_instant(event["time"]) for event in story.events)
    found = [
        {**record, "user": {"id": record["user"]["id"].removeprefix(f"{pack}.")}}
        for record in records
        if record["user"]["id"].startswith(f"{pack}.")
        and record["segment"]["key"] in own
        and parse_instant(record["effective_at"]) <= end
    ]
    return sorted(map(plainly, story.changes)), sorted(map(plainly, found))
