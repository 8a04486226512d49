"""What the engine remembers of one user, and its encoding.

    byte 0      version of the encoding
    bytes 1–4   stamp: the definitions that it was written under, and so the order of its lists, see `Plan.stamp`
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
        "retired",
        "review",
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
        retired: list[Any] | None,
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
        self.retired = retired
        """What other definitions left behind, see `stream.engine.migration`."""
        self.due = due
        """The least of `dues`."""
        self.size = size
        """Bytes of its last encoding."""
        self.facts: list[Any] | None = None
        """Exit events of the membership whose exit is being asked, as [time, id]; never encoded."""
        self.covered: dict[int, int] = {}
        """Slots of summaries that have not seen everything → the instant from which they have; never encoded."""
        self.evicted = 0
        """Keys that had to make room and were not counted yet; never encoded."""
        self.review: Any = None
        """What a change of definitions still has to decide for this user; never encoded."""

    def encode(self, stamp: bytes) -> bytes:
        """The profile as bytes."""
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
                self.retired,
            )
        )
        self.size = HEADER + len(body)
        return b"".join((_VERSION, stamp, self.due.to_bytes(8, "big", signed=True), body))


def blank_profile(user: str, units: int, rules: int) -> Profile:
    """Somebody of whom nothing is known."""
    dues = [FOREVER] * rules
    return Profile(
        user, -FOREVER, -FOREVER, b"", {}, None, [None] * units, [None] * rules, dues, None, FOREVER, 256
    )


def decode_profile(user: str, raw: bytes) -> Profile:
    """The profile in `raw`, with its lists in the order of the definitions that it was written under."""
    if raw[0] != VERSION:
        raise OperatorError(
            f"the state of user {user!r} was written in encoding {raw[0]}, this release reads {VERSION}: "
            "run the release that wrote it, or delete the state and read the topic from its beginning"
        )
    clock, newest, recent_ids, traits, ids, units, states, dues, retired = _decode(memoryview(raw)[HEADER:])
    due = due_of(raw)
    return Profile(user, clock, newest, recent_ids, traits, ids, units, states, dues, retired, due, len(raw))


def stamp_of(raw: bytes) -> bytes:
    """The stamp of the definitions that an encoded profile was written under."""
    return raw[1:5]


def due_of(raw: bytes) -> int:
    """The next due instant of an encoded profile."""
    return int.from_bytes(raw[5:13], "big", signed=True)
