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
HEADER = 13

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Profile:
    """One user's state. Instants are epoch milliseconds."""

    __slots__ = (
        "clock",
        "dues",
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

    def __init__(self, user: str, units: int, rules: int) -> None:
        self.user = user
        self.clock = -FOREVER
        """Largest of the event times and of the instants at which a membership changed state."""
        self.newest = -FOREVER
        """Largest event time."""
        self.recent_ids = b""
        """Memory of recent event ids, see `stream.engine.duplicates`."""
        self.traits: dict[str, list[Any]] = {}
        """Leaf path → [time, event id, value]."""
        self.ids: list[Any] | None = None
        """The newest other id of this user, as [time, event id, anonymous_id]."""
        self.units: list[Any] = [None] * units
        """State of each summary, None where nothing was added."""
        self.states: list[Any] = [None] * rules
        """State of each segment and ladder, None where nothing ever happened."""
        self.dues = [FOREVER] * rules
        """For each segment and ladder the next instant at which time alone could change it."""
        self.facts: list[Any] | None = None
        """Exit events of the membership whose exit is being asked, as [time, id]; never encoded."""
        self.size = 256
        """Bytes of its last encoding."""

    @property
    def due(self) -> int:
        """The next instant at which time alone could change anything."""
        return min(self.dues, default=FOREVER)

    def encode(self, layout: bytes) -> bytes:
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
        return b"%c%b%b%b" % (VERSION, layout, self.due.to_bytes(8, "big"), body)


def decode_profile(user: str, raw: bytes) -> Profile:
    """The profile in `raw`, whose layout must be the plan's."""
    if raw[0] != VERSION:
        raise OperatorError(
            f"the state of user {user!r} was written in encoding {raw[0]}, this release reads {VERSION}: "
            "run the release that wrote it, or delete the state and read the topic from its beginning"
        )
    profile = Profile.__new__(Profile)
    profile.user = user
    profile.facts = None
    (
        profile.clock,
        profile.newest,
        profile.recent_ids,
        profile.traits,
        profile.ids,
        profile.units,
        profile.states,
        profile.dues,
    ) = _decode(memoryview(raw)[HEADER:])
    profile.size = len(raw)
    return profile


def layout_of(raw: bytes) -> bytes:
    """The layout that an encoded profile was written in."""
    return raw[1:5]


def due_of(raw: bytes) -> int:
    """The next due instant of an encoded profile."""
    return int.from_bytes(raw[5:13], "big")
