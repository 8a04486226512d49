"""Two runs over the same users: which memberships are in one of them only, and which begin or end at another time.

Memberships are compared, not records: ids and hashes differ whenever a definition does. For a row, a user and an
instance, an *episode* is a stretch of time in which at least one of the runs has a membership without a gap between
the two. An episode is

* only before, or only after: the other run has no membership in it;
* else shared; and of a shared one the beginnings are compared, and the ends.

So a longer waiting time does not read as everybody leaving and others coming, but as the same people entering later.
Where both enter at the same instant, what the two changes carry is compared too: expires_at, context, and what may be
done about it (policy).
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import merge
from itertools import groupby, zip_longest
from typing import Any, NamedTuple

import msgspec

from stream.changes import Change
from stream.replay.crossing import Crossing, Standing
from stream.replay.history import History
from stream.replay.outputs import ENTERS, LEAVES, RENEWS, Move

EXAMPLES = 3
"""Of each kind and row."""
Key = tuple[str, str, str | None]


class Kind(StrEnum):
    """How an episode differs."""

    LOST = "only before"
    GAINED = "only after"
    LATER = "enters later"
    EARLIER = "enters earlier"
    LONGER = "leaves later"
    SHORTER = "leaves earlier"
    INTERRUPTED = "interrupted differently"


class Example(NamedTuple):
    """An episode that differs, with the change on either side, if there is one."""

    kind: Kind
    row: str
    user: str
    instance: str | None
    before_at: int | None
    after_at: int | None
    before: Change | None
    after: Change | None

    @property
    def place(self) -> tuple[str, str, str, str | None, int | None, int | None]:
        """What tells it from other examples."""
        return self[:6]


@dataclass
class RowDifference:
    """What differs in one row."""

    kinds: Counter[Kind] = field(default_factory=Counter)
    """Episodes; a shared one may count twice, for its beginning and its end."""
    shared: int = 0
    """Episodes of both runs."""
    people: dict[Kind, set[str]] = field(default_factory=dict)
    shifts: dict[Kind, Counter[int]] = field(default_factory=dict)
    """By how many milliseconds, for those that begin or end at another time in both runs."""
    renewals: Counter[Kind] = field(default_factory=Counter)
    details: Counter[str] = field(default_factory=Counter)
    """Entries at the same instant that carry something else, by field."""
    examples: dict[Kind, list[tuple[int, Example]]] = field(default_factory=dict)

    @property
    def differs(self) -> bool:
        return bool(self.kinds or self.renewals or self.details)

    @property
    def share(self) -> float:
        """About which part of the episodes differs, 0 to 1."""
        alone = self.kinds[Kind.LOST] + self.kinds[Kind.GAINED]
        begin = self.kinds[Kind.LATER] + self.kinds[Kind.EARLIER]
        end = self.kinds[Kind.LONGER] + self.kinds[Kind.SHORTER]
        return (alone + max(begin, end)) / max(1, self.shared + alone)

    def typical_shift(self, kind: Kind) -> int | None:
        """The median."""
        shifts = self.shifts.get(kind, Counter())
        half, seen = shifts.total() / 2, 0
        for length in sorted(shifts):
            seen += shifts[length]
            if seen >= half:
                return length
        return None


@dataclass
class Comparison:
    """Two runs, and what differs between them."""

    before: History = field(default_factory=History)
    after: History = field(default_factory=History)
    rows: dict[str, RowDifference] = field(default_factory=dict)
    ladders: dict[str, Crossing] = field(default_factory=dict)
    """Of each ladder in which somebody stood: tier before × tier after, at the end."""

    @property
    def differs(self) -> bool:
        return any(row.differs for row in self.rows.values())

    def examples(self, rows: Iterable[str]) -> Iterator[Example]:
        """The examples of certain rows."""
        for row in (self.rows[name] for name in rows):
            for kind in Kind:
                for _, example in row.examples.get(kind, ()):
                    yield example


class _Side:
    """One run's part of an episode."""

    __slots__ = ("first", "inside", "last", "since", "times", "until")

    def __init__(self) -> None:
        self.inside = False
        self.times = 0
        self.since: int | None = None
        self.until: int | None = None
        self.first: Change | None = None
        self.last: Change | None = None

    def take(self, move: Move) -> None:
        if move.what == ENTERS:
            if not self.times:
                self.since, self.first = move.at, move.change
            self.inside = True
            self.times += 1
            self.until, self.last = None, None
        elif move.what == LEAVES:
            if not self.times:  # was inside when the changes began
                self.times = 1
            self.inside = False
            self.until, self.last = move.at, move.change


def compare(before: Iterable[Move], after: Iterable[Move]) -> Comparison:
    """Compares two runs; both in the order of a replay's output."""
    comparison = Comparison()
    standing = Standing()
    episodes: dict[Key, tuple[_Side, _Side]] = {}
    tagged = merge(
        ((move.at, move.user, 0, move) for move in before),
        ((move.at, move.user, 1, move) for move in after),
        key=lambda each: each[:2],
    )
    for _, group in groupby(tagged, key=lambda each: each[:2]):
        sides: dict[Key, tuple[list[Move], list[Move]]] = {}
        for _, _, side, move in group:
            (comparison.after if side else comparison.before).take(move)
            standing.take(side, move)
            sides.setdefault((move.row, move.user, move.instance), ([], []))[side].append(move)
        for key, (old, new) in sides.items():
            _advance(comparison, episodes, key, old, new)
    for key, episode in episodes.items():
        _judge(comparison, key, *episode)
    comparison.before.close()
    comparison.after.close()
    comparison.ladders = standing.crossings()
    return comparison


def _advance(
    comparison: Comparison,
    episodes: dict[Key, tuple[_Side, _Side]],
    key: Key,
    old: list[Move],
    new: list[Move],
) -> None:
    """What happens to one membership at one instant, in both runs."""
    row = _row(comparison, key[0])
    renewals = [sum(move.what == RENEWS for move in moves) for moves in (old, new)]
    if renewals[0] != renewals[1]:
        kind = Kind.LOST if renewals[0] > renewals[1] else Kind.GAINED
        row.renewals[kind] += abs(renewals[0] - renewals[1])
    changing = ([move for move in moves if move.what != RENEWS] for moves in (old, new))
    for one, other in zip_longest(*changing):
        episode = episodes.get(key)
        if episode is None:
            episode = episodes[key] = (_Side(), _Side())
        if one is not None:
            episode[0].take(one)
        if other is not None:
            episode[1].take(other)
        if one is not None and other is not None and one.what == other.what:
            row.details.update(_details(one, other))
        if not (episode[0].inside or episode[1].inside):
            _judge(comparison, key, *episodes.pop(key))


def _row(comparison: Comparison, name: str) -> RowDifference:
    row = comparison.rows.get(name)
    if row is None:
        row = comparison.rows[name] = RowDifference()
    return row


def _judge(comparison: Comparison, key: Key, before: _Side, after: _Side) -> None:
    """Counts an episode that is over."""
    row = _row(comparison, key[0])
    if not after.times:
        _note(row, key, Kind.LOST, before.since, None, before.first, None)
        return
    if not before.times:
        _note(row, key, Kind.GAINED, None, after.since, None, after.first)
        return
    row.shared += 1
    if before.since != after.since:
        kind = Kind.LATER if (before.since or 0) < (after.since or 0) else Kind.EARLIER
        _note(row, key, kind, before.since, after.since, before.first, after.first)
    if before.until != after.until:
        is_later = before.until is not None and (after.until is None or after.until > before.until)
        kind = Kind.LONGER if is_later else Kind.SHORTER
        _note(row, key, kind, before.until, after.until, before.last, after.last)
    if before.times != after.times:
        _note(row, key, Kind.INTERRUPTED, before.since, after.since, before.first, after.first)


def _note(
    row: RowDifference,
    key: Key,
    kind: Kind,
    before_at: int | None,
    after_at: int | None,
    before: Change | None,
    after: Change | None,
) -> None:
    name, user, instance = key
    row.kinds[kind] += 1
    row.people.setdefault(kind, set()).add(user)
    if before_at is not None and after_at is not None:
        row.shifts.setdefault(kind, Counter())[abs(after_at - before_at)] += 1
    # Different users whose hash is smallest: a choice that is always the same and does not prefer the first day.
    rank = zlib.crc32(f"{user}\n{instance}".encode())
    kept = row.examples.setdefault(kind, [])
    is_known = any(example.user == user for _, example in kept)
    if not is_known and (len(kept) < EXAMPLES or rank < kept[-1][0]):
        kept.append((rank, Example(kind, name, user, instance, before_at, after_at, before, after)))
        kept.sort(key=lambda each: each[0])
        del kept[EXAMPLES:]


def _details(one: Move, other: Move) -> Iterator[str]:
    """The fields in which two changes of the same instant differ, but for ids, hashes, seq, reasons and triggers."""
    if one.change.value == other.change.value:
        return
    if one.type != other.type:
        yield "type"
    fields, others = (_carried(move) for move in (one, other))
    for name in sorted(fields.keys() | others.keys()):
        if fields.get(name) != others.get(name):
            yield name


def _carried(move: Move) -> dict[str, Any]:
    value = msgspec.json.decode(move.change.value)
    policy = value.get("policy") or {}
    carried = {f"policy.{name}": policy.get(name) for name in ("actionable", "suppressed_by", "variant")}
    carried["policy.not_before"] = policy.get("not_before")
    return carried | {name: value.get(name) for name in ("expires_at", "context")}
