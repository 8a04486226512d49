"""A tiny engine with the real one's interface, to test the protocol apart from the language.

It counts events per user, makes a change at every third, and another when a user was silent for 30 minutes. Like the
real one it is a pure function of the log: whatever the batches and crashes, the changes must be the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from stream.changes import Change
from stream.events import Event
from stream.instants import format_instant

SILENCE = 30 * 60_000
NEVER = -(2**63)


class Profiles(Protocol):
    def get_many(self, users: Sequence[str]) -> list[bytes | None]: ...

    def scan(self) -> Iterable[tuple[str, bytes]]: ...


@dataclass
class Counts:
    consumed: int = 0
    ignored: int = 0
    duplicates: int = 0
    evicted: int = 0
    clamped: int = 0
    late_applied: int = 0
    late_expired: int = 0


@dataclass
class Step:
    consumed: int
    next_offset: int
    watermark: int
    marker: bytes = b""
    more: bool = False
    profiles: dict[str, bytes | None] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    fired: list[int] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)


class Partition:
    def __init__(self, profiles: Profiles, marker: bytes | None) -> None:
        state = json.loads(marker) if marker else {"next_offset": 0, "watermark": NEVER}
        self.store = profiles
        self.next_offset: int = state["next_offset"]
        self.watermark: int = state["watermark"]
        self.overlay: dict[str, bytes] = {}
        self.due = {user: json.loads(data)["due"] for user, data in profiles.scan()}
        self.members = {"third": len(self.due)}
        self.tiers: dict[tuple[str, str], int] = {}
        self.generation = 1
        self.last_record_time: int | None = None

    @property
    def users(self) -> int:
        return len(self.due)

    timers_pending = users

    @property
    def next_due(self) -> int | None:
        return min((due for due in self.due.values() if due is not None), default=None)

    def profile(self, user: str) -> dict[str, Any]:
        data = self.overlay.get(user) or self.store.get_many([user])[0]
        return json.loads(data) if data else {"count": 0, "seq": 0, "due": None}

    def settle(self, step: Step) -> None:
        for user, data in step.profiles.items():
            if self.overlay.get(user) is data:
                del self.overlay[user]


class FakeEngine:
    def gather_dues(self) -> None:
        """Its profiles are no engine's: they are scanned."""

    def open(
        self, profiles: Profiles, marker: bytes | None, *, generation: int | None = None, dues: None = None
    ) -> Partition:
        return Partition(profiles, marker)

    def step(self, partition: Partition, events: Sequence[Event], next_offset: int) -> Step:
        step = Step(len(events), next_offset, partition.watermark)
        for event in events:
            step.counts.consumed += 1
            if event.user:
                self._fire(partition, event.user, max(event.time, partition.watermark), step)
                profile = partition.profile(event.user)
                profile["count"] += 1
                profile["due"] = event.time + SILENCE
                if profile["count"] % 3 == 0:
                    self._change(step, event.user, profile, "entered", event.time, event.offset)
                self._keep(partition, event.user, profile, step)
            partition.watermark = max(partition.watermark, min(event.time, event.record_time))
        return self._finish(partition, step)

    def tick(self, partition: Partition, watermark: int, limit: int = 1000) -> Step:
        partition.watermark = max(partition.watermark, watermark)
        step = Step(0, partition.next_offset, partition.watermark)
        due = [user for user, due in partition.due.items() if due is not None and due < partition.watermark]
        for user in due[:limit]:
            self._fire(partition, user, partition.watermark, step)
        step.more = len(due) > limit
        return self._finish(partition, step)

    def _fire(self, partition: Partition, user: str, before: int, step: Step) -> None:
        due = partition.due.get(user)
        if due is not None and due < before:
            profile = partition.profile(user)
            profile["due"] = None
            self._change(step, user, profile, "exited", due, -1)
            self._keep(partition, user, profile, step)
            step.fired.append(due)

    def _change(
        self, step: Step, user: str, profile: dict[str, Any], type_: str, instant: int, offset: int
    ) -> None:
        profile["seq"] += 1
        seq = profile["seq"]
        value = {"user": user, "seq": seq, "type": type_, "effective_at": format_instant(instant)}
        step.changes.append(
            Change(
                user=user,
                segment="third",
                instance=None,
                seq=seq,
                type=type_,
                cause="timer" if offset < 0 else "event",
                effective_at=instant,
                event_id=f"{user}/{seq}",
                value=json.dumps(value).encode(),
                offset=offset,
            )
        )

    def _keep(self, partition: Partition, user: str, profile: dict[str, Any], step: Step) -> None:
        partition.due[user] = profile["due"]
        partition.overlay[user] = step.profiles[user] = json.dumps(profile).encode()

    def _finish(self, partition: Partition, step: Step) -> Step:
        partition.next_offset = step.next_offset
        step.watermark = partition.watermark
        step.marker = json.dumps({"next_offset": step.next_offset, "watermark": step.watermark}).encode()
        return step
