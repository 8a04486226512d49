"""What the engine remembers of one user, and its encoding.

    byte 0      version of the encoding
    bytes 1–4   stamp: the definitions that it was written under, and so what its numbers mean, see `Plan.stamp`
    bytes 5–12  the next due instant, big-endian, so that timers are rebuilt without decoding profiles
    then        one MessagePack array

Everything in a profile is plain lists, dicts and scalars, but for tables (`stream.engine.tables`). An event concerns
few of a user's summaries and segments, so each of these is decoded when it is first asked for, and so is each key of a
table; what nobody asked for is written back as the bytes that it was.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

import msgspec
from librt.strings import read_i64_be

from stream.engine.tables import Table
from stream.errors import OperatorError

FOREVER: Final = 2**61
"""An instant that never comes. One bit more would not fit the integers that compiled code is fast with."""
VERSION: Final = 4
_VERSION = bytes([VERSION])
HEADER: Final = 13
_unpack_head = Struct(">x4sq").unpack_from

Raw = msgspec.Raw
_decode: Final = msgspec.msgpack.Decoder().decode
_decode_outline = msgspec.msgpack.Decoder(
    tuple[int, int, bytes, Raw, Raw, dict[int, Raw], dict[int, Raw], dict[int, int], Any]
).decode


class Profile:
    """One user's state. Instants are epoch milliseconds."""

    __slots__ = (
        "_ids",
        "_traits",
        "clock",
        "covered",
        "due",
        "dues",
        "evicted",
        "facts",
        "newest",
        "recent_ids",
        "retired",
        "review",
        "size",
        "states",
        "units",
        "user",
    )

    def __init__(
        self,
        user: str,
        clock: int,
        newest: int,
        recent_ids: bytes,
        traits: Any,
        ids: Any,
        units: dict[int, Any],
        states: dict[int, Any],
        dues: dict[int, int],
        retired: list[Any] | None,
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
        self._traits = traits
        self._ids = ids
        self.units = units
        """States of summaries by bundle, where something was added; encoded ones until they are asked for."""
        self.states = states
        """States of segments and ladders by index, of those to which something happened; as `units`, see `state`."""
        self.dues = dues
        """By index of segments and ladders, the next instant at which time alone could change them, if there is one."""
        self.retired = retired
        """What other definitions left behind, see `stream.engine.migration`."""
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
        """Leaf path → [time, event id, value]."""
        found = self._traits
        if type(found) is Raw:
            found = self._traits = _decode(found)
        traits: dict[str, list[Any]] = found
        return traits

    @property
    def ids(self) -> list[Any] | None:
        """The newest other id of this user, as [time, event id, anonymous_id]."""
        found = self._ids
        if type(found) is Raw:
            found = self._ids = _decode(found)
        ids: list[Any] | None = found
        return ids

    @ids.setter
    def ids(self, ids: list[Any] | None) -> None:
        self._ids = ids

    def states_of(self, unit: int) -> list[Any] | None:
        """The states of a unit that is not split by key, by place; None where nothing was added."""
        states = self.units.get(unit)
        if states is None or isinstance(states, list):
            return states
        found: list[Any] = _decode(states)
        self.units[unit] = found
        return found

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
        packed: list[Any] = _decode(found)
        table = Table(packed[0], packed[1])
        self.units[unit] = table
        return table

    def state(self, index: int) -> list[Any] | None:
        """State of a segment or ladder, None where nothing ever happened."""
        state = self.states.get(index)
        if state is None or isinstance(state, list):
            return state
        found: list[Any] = _decode(state)
        self.states[index] = found
        return found

    def encode(self, stamp: bytes) -> bytes:
        """The profile as bytes."""
        body = _encode(
            (
                self.clock,
                self.newest,
                self.recent_ids,
                self._traits,
                self._ids,
                self.units,
                self.states,
                self.dues,
                self.retired,
            )
        )
        self.size = HEADER + len(body)
        return b"".join((_VERSION, stamp, self.due.to_bytes(8, "big", signed=True), body))


def _pack(value: Any) -> Any:
    if isinstance(value, Table):
        return value.packed()
    raise TypeError(f"a profile holds no {type(value).__name__}")


_encode = msgspec.msgpack.Encoder(enc_hook=_pack).encode


def blank_profile(user: str, covered: dict[int, int] | None = None) -> Profile:
    """Somebody of whom nothing is known."""
    return Profile(
        user,
        -FOREVER,
        -FOREVER,
        b"",
        {},
        None,
        {},
        {},
        {},
        None,
        FOREVER,
        256,
        {} if covered is None else covered,
    )


def decode_profile(user: str, raw: bytes, covered: dict[int, int] | None = None) -> Profile:
    """The profile in `raw`, with the slots and indexes of the definitions that it was written under."""
    if raw[0] != VERSION:
        raise OperatorError(
            f"the state of user {user!r} was written in encoding {raw[0]}, this release reads {VERSION}: "
            "run the release that wrote it, or delete the state and read the topic from its beginning"
        )
    clock, newest, recent_ids, traits, ids, units, states, dues, retired = _decode_outline(
        memoryview(raw)[HEADER:]
    )
    return Profile(
        user,
        clock,
        newest,
        recent_ids,
        traits,
        ids,
        units,
        states,
        dues,
        retired,
        due_of(raw),
        len(raw),
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
