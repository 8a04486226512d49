"""One partition's state as the engine sees it: profiles, timers, the watermark, and what is decided but not yet stored.

A step reads profiles from the store and answers the new ones; whoever runs the engine writes them. Until it says so
(`settle`), the partition answers from its own overlay, so that the next step can be computed while this one is still
being acknowledged.

Timers are derived from profiles: a profile knows its next due instant. Per user one instant is queued, at or before the
true one; when it comes, the profile is read, and what is not due yet is queued again. So an active user, whose due
instant moves with every event, costs one queue entry, not one per event.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

import msgspec

from stream.engine.migration import Layout, rearrange
from stream.engine.plan import Plan
from stream.engine.profile import FOREVER, Profile, blank_profile, decode_profile, head_of, stamp_of
from stream.errors import OperatorError

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
MARKER_VERSION = 3


def definitions_of(marker: bytes) -> str:
    """The hash of the definitions that a marker was written under."""
    version, hash_, *_ = _decode(marker)
    if version != MARKER_VERSION:
        raise OperatorError(
            f"the state has a marker of version {version}, this release reads {MARKER_VERSION}"
        )
    return str(hash_)


class Profiles(Protocol):
    """Where encoded profiles are kept."""

    def get_many(self, users: list[str]) -> list[bytes | None]:
        """The profiles of `users`, in their order."""

    def scan(self) -> Iterable[tuple[str, bytes]]:
        """Every user and profile, in any order."""


class Dues:
    """When each user of a partition must be looked at next, taken from encoded profiles: the last of a user counts."""

    __slots__ = ("_stamp", "instants")

    def __init__(self, stamp: bytes) -> None:
        self._stamp = stamp
        self.instants: dict[str, int] = {}
        """For everybody who has a profile; FOREVER for who has nothing due."""

    def note(self, profiles: Iterable[tuple[str, bytes | None]]) -> None:
        """Takes more profiles, None for those that were deleted. Of other definitions than ours they are due first."""
        instants, stamp = self.instants, self._stamp
        for user, raw in profiles:
            if raw is None:
                instants.pop(user, None)
            else:
                written, due = head_of(raw)
                instants[user] = due if written == stamp else -FOREVER


class Step:
    """What one call of the engine decided. Empty of profiles and changes if nothing was."""

    __slots__ = (
        "changes",
        "consumed",
        "counts",
        "fired",
        "marker",
        "more",
        "next_offset",
        "profiles",
        "watermark",
    )

    def __init__(self) -> None:
        self.consumed = 0
        """How many of the events given were applied; fewer than all when the step would have grown too large."""
        self.next_offset = 0
        self.watermark = -FOREVER
        self.more = False
        """Due instants below the watermark remain: call again."""
        self.profiles: dict[str, bytes | None] = {}
        self.marker = b""
        """The partition's position and watermark after this step, for `Engine.open`."""
        self.changes: list[Any] = []
        self.fired: list[int] = []
        """Due instants that fired."""
        self.counts = Counts()


class Counts:
    """What happened to the events of a step."""

    __slots__ = ("clamped", "consumed", "duplicates", "evicted", "ignored", "late_applied", "late_expired")

    def __init__(self) -> None:
        self.consumed = 0
        self.ignored = 0
        self.duplicates = 0
        self.clamped = 0
        self.evicted = 0
        self.late_applied = 0
        self.late_expired = 0

    def add(self, other: Counts) -> None:
        """Takes in what happened to other events."""
        self.consumed += other.consumed
        self.ignored += other.ignored
        self.duplicates += other.duplicates
        self.clamped += other.clamped
        self.evicted += other.evicted
        self.late_applied += other.late_applied
        self.late_expired += other.late_expired


class Partition:
    """State of one partition. Made by `Engine.open`."""

    def __init__(
        self,
        plan: Plan,
        profiles: Profiles,
        marker: bytes | None,
        generation: int | None,
        dues: Dues | None = None,
    ) -> None:
        self._plan = plan
        self._profiles = profiles
        self._overlay: dict[str, list[bytes | None]] = {}
        self._queued: dict[str, int] = {}
        self._queue: list[tuple[int, str]] = []
        self._layouts: dict[bytes, Layout] = {}
        """What each stamp in the store means."""
        self._covered: dict[str, int] = {}
        """Keys of summaries that have not seen everything → since when they have."""
        self.change = -FOREVER
        """Watermark of the marker that first carried these definitions."""
        self.generation = 1
        """Counts the changes of definitions of this partition."""
        self.next_offset = 0
        self.watermark = -FOREVER
        self.last_record_time: int | None = None
        """Record time of the newest record read, for the idle rule."""
        self.users = 0
        self.members: dict[str, int] = {}
        """Members per segment; with `for_each`, memberships."""
        self.tiers: dict[tuple[str, str], int] = {}
        """Users per (ladder, tier)."""
        if marker is not None:
            self._restore(marker, generation)
        self._layouts[plan.stamp] = plan.layout
        self._covered_slots = {
            slot: self._covered[key]
            for slot, key in enumerate(plan.keys)
            if key in self._covered and slot not in plan.covered
        }
        if dues is None:
            dues = Dues(plan.stamp)
            dues.note(profiles.scan())
        self._queue_timers(dues.instants)

    # --- marker ------------------------------------------------------------------------------------------------------

    def marker(self) -> bytes:
        """Everything but the profiles, encoded."""
        tiers = [[ladder, tier, count] for (ladder, tier), count in self.tiers.items()]
        return _encode(
            (
                MARKER_VERSION,
                self._plan.hash,
                self._plan.stamp,
                self.generation,
                self.change,
                self._layouts,
                self._covered,
                self.next_offset,
                self.watermark,
                self.last_record_time,
                self.members,
                tiers,
            )
        )

    def _restore(self, marker: bytes, generation: int | None) -> None:
        definitions_of(marker)
        _, *fields = _decode(marker)
        hash_, stamp, self.generation, self.change, self._layouts, self._covered, *position = fields
        self.next_offset, self.watermark, self.last_record_time, self.members, tiers = position
        self.tiers = {(ladder, tier): count for ladder, tier, count in tiers}
        if stamp == self._plan.stamp:
            return
        if generation is not None and self.generation >= generation:
            raise OperatorError(
                f"this partition's state was taken over by newer definitions ({hash_}) than those that this worker "
                f"started with ({self._plan.hash}): restart the worker with the newer definitions"
            )
        self._change_definitions(self._layouts[stamp])

    def _change_definitions(self, before: Layout) -> None:
        """From here on the plan's definitions hold: what they remember and the ones before did not starts now."""
        self.generation += 1
        self.change = self.watermark
        known = {key for _, keys, _ in before[0] for key in keys}
        self._covered = {key: start for key, start in self._covered.items() if key in known}
        self._covered.update((key, self.watermark + 1) for key in self._plan.keys if key not in known)

    # --- profiles ----------------------------------------------------------------------------------------------------

    def decode(self, user: str, raw: bytes) -> Profile:
        """A stored profile, in the order of this plan's definitions."""
        profile = decode_profile(user, raw, self._covered_slots)
        stamp = stamp_of(raw)
        if stamp != self._plan.stamp:
            if stamp not in self._layouts:
                raise OperatorError(
                    f"the state of user {user!r} was written under definitions that its marker does not know: the "
                    "state is damaged or another application's; delete it, so that it is restored from the changelog"
                )
            rearrange(profile, self._layouts[stamp], self._plan.layout, self.change)
        return profile

    def create(self, user: str) -> Profile:
        """A profile of somebody new."""
        self.users += 1
        return blank_profile(user, self._covered_slots)

    def read(self, users: Iterable[str]) -> list[bytes | None]:
        """The encoded profiles of `users`, in their order; None for who has none."""
        overlay = self._overlay
        found: list[bytes | None] = []
        missing: list[str] = []
        places: list[int] = []
        for user in users:
            pending = overlay.get(user)
            if pending is None:
                places.append(len(found))
                missing.append(user)
                found.append(None)
            else:
                found.append(pending[-1])
        if missing:
            for place, stored in zip(places, self._profiles.get_many(missing), strict=True):
                found[place] = stored
        return found

    def profile(self, user: str) -> Profile | None:
        """The profile of a user; None of who has none."""
        raw = self.read([user])[0]
        return None if raw is None else self.decode(user, raw)

    def hold(self, profiles: dict[str, bytes | None]) -> None:
        """Keeps a step's profiles until they are stored."""
        for user, raw in profiles.items():
            self._overlay.setdefault(user, []).append(raw)

    def settle(self, step: Step) -> None:
        """The profiles of a step are in the store. Steps are settled in the order in which they were made."""
        for user in step.profiles:
            pending = self._overlay[user]
            del pending[0]
            if not pending:
                del self._overlay[user]

    # --- timers ------------------------------------------------------------------------------------------------------

    def schedule(self, user: str, due: int) -> None:
        """Sees to it that the user is looked at no later than `due`."""
        if due < self._queued.get(user, FOREVER):
            self._queued[user] = due
            heappush(self._queue, (due, user))

    def take_due(self, before: int, limit: int) -> list[str]:
        """At most `limit` users who may have something due before an instant; they are no longer queued."""
        queue, queued = self._queue, self._queued
        users: list[str] = []
        while queue and queue[0][0] < before and len(users) < limit:
            due, user = heappop(queue)
            if queued.get(user) == due:
                del queued[user]
                users.append(user)
        return users

    @property
    def next_due(self) -> int | None:
        """The earliest queued instant: nothing is due before it."""
        while self._queue and self._queued.get(self._queue[0][1]) != self._queue[0][0]:
            heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    @property
    def timers_pending(self) -> int:
        """Users with a due instant ahead."""
        return len(self._queued)

    def _queue_timers(self, instants: dict[str, int]) -> None:
        self.users = len(instants)
        self._queue = [(due, user) for user, due in instants.items() if due < FOREVER]
        heapify(self._queue)
        if len(self._queue) < self.users:
            instants = {user: due for due, user in self._queue}
        self._queued = instants
