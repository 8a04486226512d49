"""What happened in a run, row by row: members over time, entries by cause, stays, and who was in what with whom.

One pass over the changes in their order. What is kept grows with the length of the log (quarters of an hour), with open
memberships and with users, never with the number of changes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate

from stream.durations import MINUTE
from stream.replay.outputs import ENTERS, LEAVES, RENEWS, Move

BUCKET = 15 * MINUTE
"""No time zone is off by less: local days are made of whole buckets."""
_DIGITS = 3


@dataclass
class RowHistory:
    """One segment, or one tier of a ladder. Instants in `…_at` counters are the beginnings of buckets."""

    entries: Counter[str] = field(default_factory=Counter)
    """By cause."""
    exits: Counter[str] = field(default_factory=Counter)
    """By type and cause: `exited by event`, `retracted by late_event`."""
    renewals: int = 0
    entries_at: dict[str, Counter[int]] = field(default_factory=dict)
    """Cause → entries per bucket."""
    members_at: Counter[int] = field(default_factory=Counter)
    """Entries less exits, per bucket."""
    stays: Counter[int] = field(default_factory=Counter)
    """How long ended memberships lasted, in milliseconds of three significant digits."""
    before: int = 0
    """Memberships that were open when the changes began: their exits are here and their entries are not."""
    people: int = 0
    """Users who were in it at any time."""
    members: int = 0
    """Open at the end."""
    peak: int = 0

    @property
    def entered(self) -> int:
        return self.entries.total()

    @property
    def left(self) -> int:
        return self.exits.total()

    def series(self) -> tuple[list[int], list[int]]:
        """Instants of buckets, and the members at the end of each."""
        instants = sorted(self.members_at)
        return instants, list(accumulate((self.members_at[at] for at in instants), initial=self.before))[1:]

    def typical_stay(self) -> int | None:
        """The median; None if nobody left."""
        half, seen = self.stays.total() / 2, 0
        for length in sorted(self.stays):
            seen += self.stays[length]
            if seen >= half:
                return length
        return None


class History:
    """All rows of one run. `take` every move in order, then `close`."""

    def __init__(self) -> None:
        self.rows: dict[str, RowHistory] = {}
        self.first: int | None = None
        self.last: int | None = None
        self._open: dict[tuple[str, str, str | None], int] = {}
        self._numbers: dict[str, int] = {}
        self._inside: dict[str, Counter[int]] = {}
        """User → numbers of the rows the user is in, with how many memberships."""
        self._met: dict[str, int] = {}
        """User → bits: one for each row the user ever was in, one for each pair of rows at the same time."""

    def take(self, move: Move) -> None:
        """The next move."""
        at, name = move.at, move.row
        row = self.rows.get(name)
        if row is None:
            row = self.rows[name] = RowHistory()
            self._numbers[name] = len(self._numbers)
        self.first = at if self.first is None else self.first
        self.last = at
        bucket = at - at % BUCKET
        key = (name, move.user, move.instance)
        if move.what == RENEWS:
            row.renewals += 1
        elif move.what == ENTERS:
            self._open[key] = at
            row.entries[move.cause] += 1
            row.entries_at.setdefault(move.cause, Counter())[bucket] += 1
            row.members_at[bucket] += 1
            row.members += 1
            row.peak = max(row.peak, row.members)
            self._meet(move.user, self._numbers[name])
        elif move.what == LEAVES:
            row.exits[f"{move.type} by {move.cause}"] += 1
            row.members_at[bucket] -= 1
            since = self._open.pop(key, None)
            if since is None:
                row.before += 1
                row.peak += 1
            else:
                row.members -= 1
                row.stays[_rounded(at - since)] += 1
                self._part(move.user, self._numbers[name])

    def overlap(self, names: list[str]) -> list[list[int]]:
        """Users who were in both rows at the same time, for each pair; on the diagonal those who ever were in it."""
        places = [self._numbers.get(name) for name in names]
        met = Counter(self._met.values())

        def count(one: int | None, other: int | None) -> int:
            if one is None or other is None:
                return 0
            bit = 1 << _pair(one, other)
            return sum(users for mask, users in met.items() if mask & bit)

        return [[count(one, other) for other in places] for one in places]

    def close(self) -> None:
        """All moves were taken."""
        met = Counter(self._met.values())
        for name, number in self._numbers.items():
            bit = 1 << _pair(number, number)
            self.rows[name].people = sum(users for mask, users in met.items() if mask & bit)

    def _meet(self, user: str, number: int) -> None:
        inside = self._inside.setdefault(user, Counter())
        inside[number] += 1
        mask = self._met.get(user, 0)
        for other in inside:
            mask |= 1 << _pair(number, other)
        self._met[user] = mask

    def _part(self, user: str, number: int) -> None:
        inside = self._inside[user]
        inside[number] -= 1
        if not inside[number]:
            del inside[number]
            if not inside:
                del self._inside[user]


def _pair(one: int, other: int) -> int:
    """The bit of an unordered pair of rows, itself included."""
    low, high = sorted((one, other))
    return high * (high + 1) // 2 + low


def _rounded(length: int) -> int:
    """Three significant digits: few different values, and within half a percent."""
    scale: int = 10 ** max(0, len(str(length)) - _DIGITS)
    return round(length / scale) * scale
