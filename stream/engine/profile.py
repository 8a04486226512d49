"""What the engine remembers of one user, and its encoding.

    byte 0       version of the encoding
    bytes 1–4    stamp: the definitions that it was written under, and so what its numbers mean, see `Plan.stamp`
    bytes 5–12   the next due instant, big-endian, so that timers are rebuilt without decoding profiles
    bytes 13–28  clock and newest event time, little-endian
    then         memory of event ids, units, other parts
    then         where the memory of event ids, each unit and each other part end, see `stream.engine.parts`
    last         how many units and how many other parts there are, four bytes each, little-endian

Everything in a profile is plain lists, dicts and scalars, but for tables (`stream.engine.tables`). An event concerns
few of a user's summaries and segments, so each of these is decoded when it is first asked for, and so is each key of a
table; what nobody asked for is written back as the bytes that it was.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from librt.strings import (
    BytesWriter,
    read_i32_le,
    read_i64_be,
    read_i64_le,
    write_i32_le,
    write_i64_be,
    write_i64_le,
)

from stream.engine.parts import WORD, Parts
from stream.engine.tables import Table
from stream.errors import OperatorError

FOREVER: Final = 2**61
"""An instant that never comes. One bit more would not fit the integers that compiled code is fast with."""
VERSION: Final = 4
_VERSION = bytes([VERSION])
HEADER: Final = 13
_RECENT: Final = 29
"""Where the memory of event ids begins."""
_unpack_head = Struct(">x4sq").unpack_from

# Parts that are not units. The state of a segment or ladder has its index behind them.
_DUES: Final = 0
_IDS: Final = 1
_TRAITS: Final = 2
_RETIRED: Final = 3
_STATES: Final = 4


class Profile:
    """One user's state. Instants are epoch milliseconds."""

    __slots__ = (
        "_others",
        "clock",
        "covered",
        "due",
        "dues",
        "evicted",
        "facts",
        "newest",
        "recent_ids",
        "review",
        "size",
        "units",
        "user",
    )

    def __init__(
        self,
        user: str,
        clock: int,
        newest: int,
        recent_ids: bytes,
        units: Parts,
        others: Parts,
        due: int,
        size: int,
        covered: dict[int, int],
    ) -> None:
        self.user = user
        self.clock = clock
        """Largest of the event times and of the instants at which a membership changed state."""
        self.newest = newest
        """Largest event time."""
        self.recent_ids = recent_ids
        """Memory of recent event ids, see `stream.engine.duplicates`."""
        self.units = units
        """States of summaries by bundle, where something was added: a list, or with keys a table."""
        self._others = others
        dues = others.get(_DUES)
        self.dues: list[Any] = [] if dues is None else dues
        """By index of segments and ladders, the next instant at which time alone could change them; None: never."""
        self.due = due
        """The least of `dues`."""
        self.size = size
        """Bytes of its last encoding."""
        self.facts: list[Any] | None = None
        """Exit events of the membership whose exit is being asked, as [time, id]; never encoded."""
        self.covered = covered
        """Slots of summaries that have not seen everything → the instant from which they have; never encoded."""
        self.evicted = 0
        """Keys that had to make room and were not counted yet; never encoded."""
        self.review: Any = None
        """What a change of definitions still has to decide for this user; never encoded."""

    @property
    def traits(self) -> dict[str, list[Any]]:
        """Leaf path → [time, event id, value]. To be set again when it was changed."""
        found: dict[str, list[Any]] | None = self._others.get(_TRAITS)
        return {} if found is None else found

    @traits.setter
    def traits(self, traits: dict[str, list[Any]]) -> None:
        self._others.put(_TRAITS, traits)

    @property
    def ids(self) -> list[Any] | None:
        """The newest other id of this user, as [time, event id, anonymous_id]."""
        ids: list[Any] | None = self._others.get(_IDS)
        return ids

    @ids.setter
    def ids(self, ids: list[Any]) -> None:
        self._others.put(_IDS, ids)

    @property
    def retired(self) -> list[Any] | None:
        """What other definitions left behind, see `stream.engine.migration`."""
        retired: list[Any] | None = self._others.get(_RETIRED)
        return retired or None

    @retired.setter
    def retired(self, retired: list[Any] | None) -> None:
        self._others.put(_RETIRED, retired or [])

    def states_of(self, unit: int) -> list[Any] | None:
        """The states of a unit that is not split by key, by place; None where nothing was added."""
        states: list[Any] | None = self.units.get(unit)
        return states

    def part(self, unit: int, place: int) -> Any:
        """One of the states of a unit that is not split by key, None where nothing was added."""
        states = self.states_of(unit)
        return None if states is None else states[place]

    def table(self, unit: int) -> Table | None:
        """A unit that is split by key; None where nothing was added."""
        found = self.units.get(unit)
        if found is None:
            return None
        if isinstance(found, Table):
            return found
        packed: list[Any] = found
        table = Table(packed[0], packed[1])
        self.units.put(unit, table)
        return table

    def state(self, index: int) -> list[Any] | None:
        """State of a segment or ladder, None where nothing ever happened."""
        state: list[Any] | None = self._others.get(_STATES + index)
        return state

    def put_state(self, index: int, state: list[Any]) -> None:
        """Sets the state of a segment or ladder."""
        self._others.put(_STATES + index, state)

    def replace_states(self, states: dict[int, list[Any]]) -> None:
        """Sets the states of all segments and ladders, and makes nothing due."""
        others = Parts()
        for number in (_IDS, _TRAITS, _RETIRED):
            known = self._others.get(number)
            if known is not None:
                others.put(number, known)
        self._others = others
        for index, state in states.items():
            self.put_state(index, state)
        self.dues, self.due = [], FOREVER

    def due_of(self, index: int) -> int:
        """The next instant at which time alone could change a segment or ladder."""
        due = self.dues[index] if index < len(self.dues) else None
        return FOREVER if due is None else int(due)

    def due_at(self, instant: int) -> list[int]:
        """Segments and ladders that are due at an instant."""
        found = []
        for index, due in enumerate(self.dues):
            if due is not None and due <= instant:
                found.append(index)
        return found

    def set_due(self, index: int, due: int) -> None:
        """Sets that instant; `due` above stays the least of all until `find_due`."""
        lacking = index + 1 - len(self.dues)
        if lacking > 0:
            if due == FOREVER:
                return
            self.dues += [None] * lacking
        self.dues[index] = due if due < FOREVER else None

    def find_due(self) -> None:
        """Brings `due` up to date."""
        least = FOREVER
        for due in self.dues:
            if due is not None:
                one: int = due
                if one < least:
                    least = one
        self.due = least

    def encode(self, stamp: bytes) -> bytes:
        """The profile as bytes."""
        units, others = self.units, self._others
        if self.dues or others.get(_DUES) is not None:
            others.put(_DUES, self.dues)
        data, words = BytesWriter(), BytesWriter()
        data.write(_VERSION)
        data.write(stamp)
        write_i64_be(data, self.due)
        write_i64_le(data, self.clock)
        write_i64_le(data, self.newest)
        data.write(self.recent_ids)
        write_i32_le(words, len(data))
        units.pack(data, words)
        others.pack(data, words)
        write_i32_le(words, len(units))
        write_i32_le(words, len(others))
        data.write(words.getvalue())
        raw = data.getvalue()
        self.size = len(raw)
        return raw


def blank_profile(user: str, covered: dict[int, int] | None = None) -> Profile:
    """Somebody of whom nothing is known."""
    return Profile(
        user, -FOREVER, -FOREVER, b"", Parts(), Parts(), FOREVER, 256, {} if covered is None else covered
    )


def decode_profile(user: str, raw: bytes, covered: dict[int, int] | None = None) -> Profile:
    """The profile in `raw`, with the slots and indexes of the definitions that it was written under."""
    if raw[0] != VERSION:
        raise OperatorError(
            f"the state of user {user!r} was written in encoding {raw[0]}, this release reads {VERSION}: "
            "run the release that wrote it, or delete the state and read the topic from its beginning"
        )
    size = len(raw)
    units, others = int(read_i32_le(raw, size - 2 * WORD)), int(read_i32_le(raw, size - WORD))
    words = size - WORD * (units + others + 3)
    return Profile(
        user,
        int(read_i64_le(raw, HEADER)),
        int(read_i64_le(raw, HEADER + 8)),
        raw[_RECENT : read_i32_le(raw, words)],
        Parts(raw, words, units),
        Parts(raw, words + WORD * units, others),
        due_of(raw),
        size,
        {} if covered is None else covered,
    )


def stamp_of(raw: bytes) -> bytes:
    """The stamp of the definitions that an encoded profile was written under."""
    return raw[1:5]


def head_of(raw: bytes) -> tuple[bytes, int]:
    """Stamp and next due instant of an encoded profile."""
    head: tuple[bytes, int] = _unpack_head(raw)
    return head


def due_of(raw: bytes) -> int:
    """The next due instant of an encoded profile."""
    return int(read_i64_be(raw, 5))
