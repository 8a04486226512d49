"""The real engine on a case of the oracle, and both outputs in one form."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import yaml

from stream.definitions import loads
from stream.engine import Engine, Partition, Step, TimeSettings, compile_plan
from stream.events import Event
from stream.ingest import Ingest
from stream.state.memory import MemoryStore
from tests.oracle import zones
from tests.oracle.strategies import Case
from tests.oracle.timeline import Change, run

NS = uuid5(NAMESPACE_URL, "urn:segstream")
Row = dict[str, Any]


@dataclass(frozen=True)
class Manner:
    """How a runtime may treat the engine, none of which may show in the changes."""

    batch: int = 1
    lazy: bool = False
    """Due instants of other users are left waiting until the end."""
    forgetful: bool = False
    """The partition is opened anew from its store after every batch, as after a crash."""


PLAIN = Manner()


class Played:
    """The engine with one store per partition. Every step is written and settled, as a runtime does."""

    def __init__(self, case: Case, manner: Manner) -> None:
        self.manner = manner
        plan = compile_plan(loads(yaml.safe_dump(case.raw, sort_keys=False)))
        settings = case.settings
        self.engine = Engine(
            plan,
            TimeSettings(settings.lateness, settings.clock_skew, settings.idle_after, settings.dedup_window),
        )
        self.ingest = Ingest(event_type=plan.event_type)
        self.stores: dict[int, MemoryStore] = defaultdict(MemoryStore)
        self.partitions: dict[int, Partition] = {}
        self.values: list[bytes] = []

    def partition(self, number: int) -> Partition:
        if number not in self.partitions:
            self.partitions[number] = self.engine.open(self.stores[number], None)
        return self.partitions[number]

    def keep(self, number: int, step: Step) -> None:
        self.stores[number].write(step.profiles, step.marker)
        self.partition(number).settle(step)
        self.values += [change.value for change in step.changes]

    def feed(self, number: int, events: list[Event]) -> None:
        partition = self.partition(number)
        while events:
            step = self.engine.step(partition, events, events[-1].offset + 1)
            self.keep(number, step)
            events = events[step.consumed :]
        if not self.manner.lazy:
            self.drain(number)
        if self.manner.forgetful:
            self.partitions[number] = self.engine.open(self.stores[number], self.stores[number].marker())

    def drain(self, number: int) -> None:
        partition = self.partition(number)
        more = True
        while more:
            step = self.engine.tick(partition, partition.watermark, 2)
            self.keep(number, step)
            more = step.more

    def finish(self, until: int) -> None:
        for number, partition in self.partitions.items():
            self.drain(number)
            more = True
            while more:
                step = self.engine.finish(partition, until, 2)
                self.keep(number, step)
                more = step.more


def by_engine(case: Case, manner: Manner = PLAIN) -> list[Row]:
    """What the engine says."""
    played = Played(case, manner)
    waiting: dict[int, list[Event]] = defaultdict(list)
    newest: int | None = None
    for offset, record in enumerate(case.records):
        event = played.ingest.read(
            json.dumps(record.event).encode(), offset=offset, record_time=record.record_time
        )
        ahead = event.time > event.record_time + case.settings.clock_skew
        time = event.record_time if ahead else event.time
        if case.until is not None and time > case.until:
            continue
        newest = time if newest is None else max(newest, time)
        waiting[record.partition].append(event)
        if len(waiting[record.partition]) >= manner.batch:
            played.feed(record.partition, waiting.pop(record.partition))
    for number, events in waiting.items():
        played.feed(number, events)
    end = newest if case.until is None else case.until
    if end is not None:
        played.finish(end)
    return rows(played.values)


def milliseconds(text: str) -> int:
    return zones.instant_of(datetime.fromisoformat(text))


def rows(values: list[bytes]) -> list[Row]:
    """Changes of the engine in the oracle's form, checked for what needs no oracle."""
    seqs: dict[str, int] = {}
    last: dict[tuple[str, str], int] = defaultdict(int)
    found = []
    for value in values:
        change = json.loads(value)
        segment, user, instance = change["segment"], change["user"]["id"], change.get("instance")
        name = f"{segment['key']}\n{segment['hash']}\n{user}\n{instance or ''}\n{change['seq']}"
        assert change["event_id"] == str(uuid5(NS, name))
        last[user, segment["key"]] += 1
        assert change["seq"] == last[user, segment["key"]], "seq counts from 1 without gaps"
        seqs[change["event_id"]] = change["seq"]
        trigger = change.get("trigger") or {}
        found.append(
            {
                "effective_at": milliseconds(change["effective_at"]),
                "user": user,
                "segment": segment["key"],
                "instance": instance,
                "seq": change["seq"],
                "type": change["type"],
                "cause": change["cause"],
                "value": segment.get("value"),
                "previous": segment.get("previous"),
                "trigger": trigger.get("event_id"),
                "clamped": trigger.get("clamped", False),
                "retracts": seqs[change["retracts"]] if "retracts" in change else None,
                "expires_at": milliseconds(change["expires_at"]) if "expires_at" in change else None,
                "policy": policy(change.get("policy")),
                "context": change.get("context"),
            }
        )
    return sorted(found, key=sort_key)


def policy(raw: Row | None) -> Row | None:
    if raw is None:
        return None
    quiet = raw.get("not_before")
    return {**raw, "not_before": milliseconds(quiet)} if quiet else {**raw, "not_before": None}


def by_oracle(case: Case) -> list[Row]:
    return sorted(map(row, run(case.raw, case.records, case.settings, case.until)), key=sort_key)


def row(change: Change) -> Row:
    return {
        "effective_at": change.effective_at,
        "user": change.user,
        "segment": change.segment,
        "instance": change.instance,
        "seq": change.seq,
        "type": change.type,
        "cause": change.cause,
        "value": change.value,
        "previous": change.previous,
        "trigger": change.trigger,
        "clamped": change.clamped,
        "retracts": change.retracts,
        "expires_at": change.expires_at,
        "policy": change.policy,
        "context": change.context,
    }


def sort_key(each: Row) -> tuple[Any, ...]:
    return each["effective_at"], each["user"], each["segment"], each["instance"] or "", each["seq"]
