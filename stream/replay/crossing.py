"""Where people stand on a ladder at the end of two runs: tier before × tier after."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from stream.replay.outputs import ENTERS, LEAVES, Move, tier_row

EXAMPLES = 5
"""Of each cell of the table."""
Cell = tuple[str | None, str | None]
"""(tier before, tier after); None is no tier."""


@dataclass
class Crossing:
    """One ladder. Who has no tier in either run is not known here, and in no cell."""

    cells: Counter[Cell] = field(default_factory=Counter)
    """People, or memberships of a ladder that has them per key."""
    examples: dict[Cell, list[str]] = field(default_factory=dict)
    """Some of those who stand on another tier, by cell: always the same ones."""

    @property
    def moved(self) -> int:
        """How many stand on another tier, or on one where they had none."""
        return sum(count for (before, after), count in self.cells.items() if before != after)

    def tiers(self, order: list[str]) -> list[str]:
        """The tiers that somebody has, in `order` as far as it goes."""
        found = {tier for cell in self.cells for tier in cell if tier is not None}
        place = {tier: at for at, tier in enumerate(order)}
        return sorted(found, key=lambda tier: (place.get(tier, len(place)), tier))


class Standing:
    """Follows everybody through the tiers of all ladders, in both runs."""

    def __init__(self) -> None:
        self._tiers: dict[tuple[str, str, str | None], list[str | None]] = {}

    def take(self, side: int, move: Move) -> None:
        """An entry into a row or an exit from one, of the run before (0) or after (1); segments are passed over."""
        ladder = move.change.segment
        if move.row == ladder:
            return
        key = (ladder, move.user, move.instance)
        tiers = self._tiers.get(key)
        if tiers is None:
            tiers = self._tiers[key] = [None, None]
        if move.what == ENTERS:
            tiers[side] = move.row.removeprefix(tier_row(ladder, ""))
        elif move.what == LEAVES:
            tiers[side] = None

    def crossings(self) -> dict[str, Crossing]:
        """The table of each ladder, in order of name."""
        found: dict[str, Crossing] = {}
        kept: dict[tuple[str, Cell], list[tuple[int, str]]] = {}
        for (ladder, user, instance), (before, after) in sorted(
            self._tiers.items(), key=lambda each: (each[0][0], each[0][1], each[0][2] or "")
        ):
            crossing = found.setdefault(ladder, Crossing())
            if before is None and after is None:
                continue
            crossing.cells[before, after] += 1
            if before != after:
                rank = zlib.crc32(f"{user}\n{instance}".encode())
                shown = user if instance is None else f"{user} [{instance}]"
                kept.setdefault((ladder, (before, after)), []).append((rank, shown))
        for (ladder, cell), people in kept.items():
            found[ladder].examples[cell] = [user for _, user in sorted(people)[:EXAMPLES]]
        return found


def shifts(crossing: Crossing, order: list[str]) -> Iterator[tuple[Cell, int]]:
    """The cells of those who moved, the largest first."""
    place = {tier: at for at, tier in enumerate(crossing.tiers(order))}
    moved = [(cell, count) for cell, count in crossing.cells.items() if cell[0] != cell[1]]
    yield from sorted(moved, key=lambda each: (-each[1], [place.get(tier or "", -1) for tier in each[0]]))
