"""Decisions: what a rule is, what it keeps in a profile, what makes it decide, and what it decides."""

from __future__ import annotations

from typing import Any, Final

from stream.changes import Judgement, Subject
from stream.engine.actions import Policy
from stream.engine.attachments import Attachment
from stream.engine.conditions import Explanation, Leaf
from stream.engine.profile import FOREVER, Profile
from stream.events import Event
from stream.identifiers import change_id

# State of a rule in a profile: [seq, entries, instants of actionable entries, what is held].
# Held is a membership, or with `for_each` [instances, waiting]. An instance is key → [membership, due]. Without a
# membership and armed, it is key → None where nothing is due. Where nothing but events of the key itself can begin one
# sooner (`Condition.holds`) either, it is key → due; and if nothing is due, the key is one of those waiting.
SEQ: Final = 0
ENTRIES: Final = 1
ACTED: Final = 2
HELD: Final = 3
INSTANCES: Final = 0
WAITING: Final = 1
# A membership: None while there is none and the segment is armed.
MEMBER: Final = 0
SINCE: Final = 1
ENTERED: Final = 2
ANCHOR: Final = 3
ENTRY_ID: Final = 4
FACTS: Final = 5
ACTIONABLE: Final = 6
# While not a member and not armed, ANCHOR is the anchor at the exit.

EVICTED: Final = -FOREVER
"""The due instant of an instance whose key had to make room."""

Look = tuple[bool | None, bool | None, int | None]
"""`when`, `exit` and the anchor before a late event was added."""


class Occasion:
    """What runs an evaluation."""

    __slots__ = ("before", "cause", "event", "matched", "redefined")

    def __init__(
        self,
        cause: str,
        event: Event | None = None,
        matched: int = 0,
        redefined: frozenset[int] = frozenset(),
    ) -> None:
        self.cause = cause
        self.event = event
        self.matched = matched
        """Bits of the selectors that match the event."""
        self.redefined = redefined
        """For a change of definitions: the rules that mean something else now."""
        self.before: dict[tuple[int, str | None], Look] | None = None
        """For a late event: what was held of each (rule, key) before it was added."""


class Decision:
    """One change, not yet dressed as a record."""

    __slots__ = (
        "cause",
        "entry",
        "event_id",
        "expires_at",
        "forget",
        "held",
        "instance",
        "policy",
        "previous",
        "reason",
        "retracts",
        "rule",
        "seq",
        "since",
        "type",
        "value",
    )

    def __init__(
        self,
        rule: Rule,
        type_: str,
        seq: int,
        instance: str | None,
        event_id: str,
        reason: list[Leaf],
        held: list[Any] | None = None,
        value: str | None = None,
        previous: str | None = None,
        expires_at: int | None = None,
        forget: bool = False,
        cause: str | None = None,
        entry: int = 0,
    ) -> None:
        self.rule = rule
        self.type = type_
        self.seq = seq
        self.instance = instance
        self.event_id = event_id
        self.reason = reason
        self.held = held
        """The membership or tier that the change begins or renews."""
        self.value = value
        self.previous = previous
        self.expires_at = expires_at
        self.forget = forget
        self.cause = cause
        """Its own cause, where it is not the occasion's."""
        self.entry = entry
        """How many entries of this segment the user has had, this one included."""
        self.retracts: str | None = None
        self.policy: Judgement | None = None
        self.since: int | None = None
        """Of an end: when the membership was first entered."""


class Rule:
    """Base of what decides: segments and ladders."""

    __slots__ = (
        "_subjects",
        "attachments",
        "dependents",
        "hash",
        "index",
        "kind",
        "name",
        "policy",
        "shape",
        "version",
    )

    def __init__(
        self,
        index: int,
        name: str,
        kind: str,
        hash_: str,
        version: int | None,
        policy: Policy,
        attachments: tuple[Attachment, ...],
    ) -> None:
        self.index = index
        """Place in the plan, and of its state in a profile."""
        self.name = name
        self.kind = kind
        self.hash = hash_
        self.version = version
        self.policy = policy
        self.attachments = attachments
        self.dependents: tuple[int, ...] = ()
        """Rules that refer to this one."""
        self.shape = kind
        """What its state looks like: state of another shape cannot be taken over."""
        self._subjects: dict[tuple[str | None, str | None], Subject] = {}

    def subject(self, value: str | None, previous: str | None) -> Subject:
        """What changes say of the rule, which is the same for all with the same tiers."""
        found = self._subjects.get((value, previous))
        if found is None:
            found = self._subjects[value, previous] = Subject(
                key=self.name,
                kind=self.kind,
                version=self.version,
                hash=self.hash,
                value=value,
                previous=previous,
            )
        return found

    def state(self, profile: Profile) -> list[Any]:
        """The rule's state in a profile, made if need be."""
        state = profile.state(self.index)
        if state is None:
            state = [0, 0, [], None]
            profile.put_state(self.index, state)
        return state

    def identify(self, profile: Profile, instance: str | None) -> tuple[int, str]:
        """(seq, event id) of the next change."""
        state = self.state(profile)
        state[SEQ] += 1
        return state[SEQ], change_id(self.name, self.hash, profile.user, instance, state[SEQ])

    def is_quiet(self, blank: Profile, instant: int) -> bool:
        """Whether time alone never brings a change for a user of whom nothing is known that this rule asks."""
        raise AssertionError("every rule defines this")

    def look(self, profile: Profile, event: Event, occasion: Occasion) -> None:
        """Notes in the occasion what is held before a late event is added."""

    def note(self, profile: Profile, event: Event, matched: int) -> None:
        """Keeps an event that may end a membership with the membership."""

    def open_memberships(self, profile: Profile) -> list[tuple[str | None, list[Any]]]:
        """(key, what is held): SINCE is its effective time and ACTIONABLE tells of the last entry."""
        raise AssertionError("every rule defines this")

    def evaluate(self, profile: Profile, instant: int, occasion: Occasion, decisions: list[Decision]) -> bool:
        """Brings the user up to `instant`; True if anything changed state. Sets the rule's due instant."""
        raise AssertionError("every rule defines this")

    def explain(self, profile: Profile, instant: int, key: str | None) -> list[Explanation]:
        """The conditions with everything that leads to their verdicts."""
        raise AssertionError("every rule defines this")


# Most keys wait, and hardly any is asked for, so they are one text: each key with a mark behind it, and one before all.
# A key that holds the mark itself is an instance like others, False.
MARK: Final = "\0"


def with_waiting(waiting: str, key: str) -> str:
    """Those waiting and another, which is none of them."""
    return f"{waiting or MARK}{key}{MARK}"


def without_waiting(waiting: str, key: str) -> str:
    """Those waiting but for one; all of them if it is none of them."""
    return waiting.replace(f"{MARK}{key}{MARK}", MARK) if key in waiting else waiting


def keys_held(held: list[Any] | None) -> list[str]:
    """All keys of which something is held, in order."""
    return [] if held is None else sorted({*held[INSTANCES], *filter(None, held[WAITING].split(MARK))})


def held_of(instance: Any) -> list[Any] | None:
    """The membership of a key, from what is held of it."""
    return instance[0] if isinstance(instance, list) else None


def due_of(instance: Any) -> int:
    """The instant at which time alone could change what is held of a key."""
    if isinstance(instance, list):
        return int(instance[1])
    return FOREVER if instance is None or instance is False else int(instance)
