"""What the engine remembers of one user, and its encoding.

    byte 0      version of the encoding
    bytes 1–4   layout: names the order of the lists below, see `Plan.layout`
    bytes 5–12  the next due instant, big-endian, so that timers are rebuilt without decoding profiles
    then        one MessagePack array

Everything in a profile is plain lists, dicts and scalars, so that it encodes in one pass.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stream.errors import OperatorError

FOREVER = 2**62
"""An instant that never comes."""
VERSION = 1
_VERSION = bytes([VERSION])
HEADER = 13

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Profile:
    """One user's state. Instants are epoch milliseconds."""

    __slots__ = (
        "clock",
        "covered",
        "due",
        "dues",
        "evicted",
        "facts",
        "ids",
        "newest",
        "recent_ids",
        "size",
        "states",
        "traits",
        "units",
        "user",
    )

    def __init__(
        self,
        user: str,
        clock: int,
        newest: int,
        recent_ids: bytes,
        traits: dict[str, list[Any]],
        ids: list[Any] | None,
        units: list[Any],
        states: list[Any],
        dues: list[int],
        due: int,
        size: int,
    ) -> None:
        self.user = user
        self.clock = clock
        """Largest of the event times and of the instants at which a membership changed state."""
        self.newest = newest
        """Largest event time."""
        self.recent_ids = recent_ids
        """Memory of recent event ids, see `stream.engine.duplicates`."""
        self.traits = traits
        """Leaf path → [time, event id, value]."""
        self.ids = ids
        """The newest other id of this user, as [time, event id, anonymous_id]."""
        self.units = units
        """State of each summary, None where nothing was added."""
        self.states = states
        """State of each segment and ladder, None where nothing ever happened."""
        self.dues = dues
        """For each segment and ladder the next instant at which time alone could change it."""
        self.due = due
        """The least of `dues`."""
        self.size = size
        """Bytes of its last encoding."""
        self.facts: list[Any] | None = None
        """Exit events of the membership whose exit is being asked, as [time, id]; never encoded."""
        self.covered: dict[int, int] = {}
        """Slots of summaries that have not seen everything → the instant from which they have; never encoded."""
        self.evicted = 0
        """Keys that had to make room since this was decoded."""

    def encode(self, layout: bytes) -> bytes:
        """The profile as bytes; `layout` names the order of its lists."""
        body = _encode(
            (
                self.clock,
                self.newest,
                self.recent_ids,
                self.traits,
                self.ids,
                self.units,
                self.states,
                self.dues,
            )
        )
        self.size = HEADER + len(body)
        return b"".join((_VERSION, layout, self.due.to_bytes(8, "big"), body))


def blank_profile(user: str, units: int, rules: int) -> Profile:
    """Somebody of whom nothing is known."""
    return Profile(
        user,
        -FOREVER,
        -FOREVER,
        b"",
        {},
        None,
        [None] * units,
        [None] * rules,
        [FOREVER] * rules,
        FOREVER,
        256,
    )


def decode_profile(user: str, raw: bytes) -> Profile:
    """The profile in `raw`, whose layout must be the plan's."""
    if raw[0] != VERSION:
        raise OperatorError(
            f"the state of user {user!r} was written in encoding {raw[0]}, this release reads {VERSION}: "
            "run the release that wrote it, or delete the state and read the topic from its beginning"
        )
    clock, newest, recent_ids, traits, ids, units, states, dues = _decode(memoryview(raw)[HEADER:])
    return Profile(user, clock, newest, recent_ids, traits, ids, units, states, dues, due_of(raw), len(raw))


def layout_of(raw: bytes) -> bytes:
    """The layout that an encoded profile was written in."""
    return raw[1:5]


def due_of(raw: bytes) -> int:
    """The next due instant of an encoded profile."""
    return int.from_bytes(raw[5:13], "big")
