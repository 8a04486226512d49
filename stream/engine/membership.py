"""Membership: who is in a segment, since when, and what ends it.

A membership is a small state machine per user and segment (and key, with `for_each`), run at one instant at a time:

    not a member ── when is true, exit is not, armed ──▶ member ── exit, ttl, when false, retraction ──▶ not a member

Entering disarms. The segment is armed again once, at or after the exit, `when` is not true, or the anchor of its
sequence is another than at the exit: one abandoned cart is reported once, the next one again.

A late event corrects the present, not the past. If it makes `when` or `exit` end a membership that had begun after it,
the entry should never have been, and is `retracted`; also if it only moved the anchor to a later time, for then the
entry came too early. What the late event made is told by asking at the same instant before and after adding it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from stream.durations import format_duration
from stream.engine.conditions import Condition, Explanation
from stream.engine.profile import FOREVER, Profile
from stream.events import Event

# State of a rule in a profile: [seq, entries, actionable entries, membership].
SEQ, ENTRIES, ACTED, HELD = 0, 1, 2, 3
# A membership: None while there is none and the segment is armed.
MEMBER, SINCE, ENTERED, ANCHOR, ENTRY_ID, FACTS = 0, 1, 2, 3, 4, 5
# While not a member and not armed, ANCHOR is the anchor at the exit.

Anchor = Callable[[Profile, int, str | None], int | None]


@dataclass(slots=True)
class Occasion:
    """What runs an evaluation."""

    cause: str
    event: Event | None = None
    matched: int = 0
    """Bits of the selectors that match the event."""
    before: dict[int, tuple[bool | None, bool | None, int | None]] | None = None
    """For a late event: per rule (by index) the verdicts of `when` and `exit` and the anchor before it was added."""


@dataclass(slots=True)
class Decision:
    """One change, not yet dressed as a record."""

    type: str
    seq: int
    instance: str | None
    reason: list[Explanation]
    value: str | None = None
    previous: str | None = None
    retracts: str | None = None
    expires_at: int | None = None
    entry: int = 0


class Recorder(Protocol):
    """Takes decisions as they are made and answers the id that the change gets."""

    def __call__(
        self, rule: Any, profile: Profile, instant: int, occasion: Occasion, decision: Decision
    ) -> str: ...


class SegmentRule:
    """Decides one segment."""

    __slots__ = (
        "_anchor",
        "_dwell",
        "_exit",
        "_exit_bits",
        "_renew",
        "_renew_bits",
        "_ttl",
        "_when",
        "attach",
        "dependents",
        "hash",
        "index",
        "kind",
        "name",
        "version",
    )

    def __init__(
        self,
        index: int,
        name: str,
        hash_: str,
        version: int | None,
        *,
        when: Condition,
        exit_: Condition | None,
        exit_bits: tuple[int, ...],
        anchor: Anchor | None,
        ttl: int | None,
        min_dwell: int,
        renew: bool,
        renew_bits: int,
    ) -> None:
        self.index = index
        self.name = name
        self.hash = hash_
        self.version = version
        self.kind = "segment"
        self.dependents: tuple[int, ...] = ()
        self._when = when
        self._exit = exit_
        self._exit_bits = exit_bits
        """Per `do` in the exit, the bits of its selectors."""
        self._anchor = anchor
        self._ttl = ttl
        self._dwell = min_dwell
        self._renew = renew
        self._renew_bits = renew_bits
        """Bits of the selectors whose events renew, where no sequence does."""

    # --- what others ask ---------------------------------------------------------------------------------------------

    def is_member(self, profile: Profile) -> bool:
        """Whether the user is in the segment."""
        state = profile.states[self.index]
        return bool(state is not None and state[HELD] is not None and state[HELD][MEMBER])

    def is_quiet(self, blank: Profile, instant: int) -> bool:
        """Whether time alone never makes a member of a user of whom nothing is known that this segment asks."""
        verdict, until = self._when.test(blank, instant, None)
        return verdict is not True and until == FOREVER

    def look(self, profile: Profile, instant: int) -> tuple[bool | None, bool | None, int | None] | None:
        """For a member, `when`, `exit` and the anchor at `instant`: to tell what a late event makes of them."""
        if not self.is_member(profile):
            return None
        held = profile.states[self.index][HELD]
        return (
            self._when.test(profile, instant, None)[0],
            self._ask_exit(profile, instant, held)[0],
            self._anchor(profile, instant, None) if self._anchor is not None else None,
        )

    def note(self, profile: Profile, event: Event, matched: int) -> None:
        """Keeps an event with the membership that it may end: one that came after the entry, not before its anchor."""
        if not self._exit_bits or not self.is_member(profile):
            return
        held = profile.states[self.index][HELD]
        for i, bits in enumerate(self._exit_bits):
            if matched & bits and event.time >= held[ANCHOR]:
                if held[FACTS] is None:
                    held[FACTS] = [None] * len(self._exit_bits)
                if held[FACTS][i] is None:
                    held[FACTS][i] = [event.time, event.id]

    # --- the state machine -------------------------------------------------------------------------------------------

    def evaluate(self, profile: Profile, instant: int, occasion: Occasion, record: Recorder) -> bool:
        """Brings the membership up to `instant`; True if it changed state. Sets the rule's due instant."""
        when, until = self._when.test(profile, instant, None)
        state = profile.states[self.index]
        held = None if state is None else state[HELD]
        if held is None and when is not True:
            profile.dues[self.index] = until
            return False
        anchor = None if self._anchor is None else self._anchor(profile, instant, None)
        changed = False
        if held is not None and held[MEMBER]:
            ended = self._end(profile, instant, occasion, record, held, when, anchor)
            if not ended:
                if self._renews(held, occasion, when, anchor):
                    self._renew_membership(profile, instant, occasion, record, held, anchor)
                    changed = True
                profile.dues[self.index] = self._member_due(profile, instant, held, when, until)
                return changed
            changed = True
        if held is not None and (when is not True or anchor != held[ANCHOR]):
            held = state[HELD] = None  # armed again
            changed = True
        due = until
        if held is None and when is True:
            verdict, exit_until = self._ask_exit(profile, instant, None)
            if verdict is True:
                due = min(until, exit_until)
            else:
                held = self._enter(profile, instant, occasion, record, anchor)
                changed = True
                due = self._member_due(profile, instant, held, when, until)
        profile.dues[self.index] = due
        return changed

    def _enter(
        self, profile: Profile, instant: int, occasion: Occasion, record: Recorder, anchor: int | None
    ) -> list[Any]:
        state = profile.states[self.index]
        if state is None:
            state = profile.states[self.index] = [0, 0, [], None]
        state[SEQ] += 1
        state[ENTRIES] += 1
        held = state[HELD] = [True, instant, instant, instant if anchor is None else anchor, "", None]
        reason = self._when.explain(profile, instant, None).deciding()
        expires = None if self._ttl is None else instant + self._ttl
        decision = Decision("entered", state[SEQ], None, reason, expires_at=expires, entry=state[ENTRIES])
        held[ENTRY_ID] = record(self, profile, instant, occasion, decision)
        return held

    def _renews(self, held: list[Any], occasion: Occasion, when: bool | None, anchor: int | None) -> bool:
        if not self._renew or when is not True:
            return False
        if self._anchor is not None:
            return anchor is not None and anchor > held[ANCHOR]
        return bool(occasion.matched & self._renew_bits)

    def _renew_membership(
        self,
        profile: Profile,
        instant: int,
        occasion: Occasion,
        record: Recorder,
        held: list[Any],
        anchor: int | None,
    ) -> None:
        state = profile.states[self.index]
        state[SEQ] += 1
        held[SINCE], held[ANCHOR], held[FACTS] = instant, instant if anchor is None else anchor, None
        reason = self._when.explain(profile, instant, None).deciding()
        expires = None if self._ttl is None else instant + self._ttl
        decision = Decision("renewed", state[SEQ], None, reason, expires_at=expires, entry=state[ENTRIES])
        held[ENTRY_ID] = record(self, profile, instant, occasion, decision)

    def _end(
        self,
        profile: Profile,
        instant: int,
        occasion: Occasion,
        record: Recorder,
        held: list[Any],
        when: bool | None,
        anchor: int | None,
    ) -> bool:
        """Ends the membership if something does; True if so. `held` then waits to be armed."""
        exit_verdict, _ = self._ask_exit(profile, instant, held)
        retracted = self._retracts(occasion, held, when, exit_verdict, anchor)
        expired = self._ttl is not None and instant >= held[SINCE] + self._ttl
        by_condition = when is False if self._exit is None else exit_verdict is True
        if not retracted and (instant < held[ENTERED] + self._dwell or not (expired or by_condition)):
            return False
        if by_condition and self._exit is not None:
            reason = self._explain_exit(profile, instant, held)
        elif by_condition or retracted:
            reason = self._when.explain(profile, instant, None).deciding()
        else:
            assert self._ttl is not None
            leaf = f"ttl {format_duration(self._ttl)}"
            reason = [Explanation(leaf, True, FOREVER, instant - held[SINCE], ">=", self._ttl, True)]
        state = profile.states[self.index]
        state[SEQ] += 1
        decision = Decision("retracted" if retracted else "exited", state[SEQ], None, reason)
        if retracted:
            decision.retracts = held[ENTRY_ID]
            if (
                not by_condition and when is True
            ):  # only the anchor moved: the entry comes again when it is due
                anchor = held[ANCHOR]
        record(self, profile, instant, occasion, decision)
        held[:] = [False, 0, 0, anchor, "", None]
        return True

    def _retracts(
        self,
        occasion: Occasion,
        held: list[Any],
        when: bool | None,
        exit_verdict: bool | None,
        anchor: int | None,
    ) -> bool:
        before = None if occasion.before is None else occasion.before.get(self.index)
        if before is None or occasion.event is None or occasion.event.time > held[SINCE]:
            return False
        when_before, exit_before, anchor_before = before
        return (
            (when is False and when_before is not False)
            or (exit_verdict is True and exit_before is not True)
            or (anchor is not None and anchor_before is not None and anchor > anchor_before)
        )

    def _member_due(
        self, profile: Profile, instant: int, held: list[Any], when: bool | None, until: int
    ) -> int:
        exit_verdict, exit_until = self._ask_exit(profile, instant, held)
        due = until if self._exit is None or self._renew else FOREVER
        if self._exit is not None:
            due = min(due, exit_until)
        if self._ttl is not None and held[SINCE] + self._ttl > instant:
            due = min(due, held[SINCE] + self._ttl)
        if instant < held[ENTERED] + self._dwell and (exit_verdict is True or when is False):
            due = min(due, held[ENTERED] + self._dwell)
        return due

    def _ask_exit(self, profile: Profile, instant: int, held: list[Any] | None) -> tuple[bool | None, int]:
        if self._exit is None:
            return (False, FOREVER)
        profile.facts = None if held is None else held[FACTS]
        return self._exit.test(profile, instant, None)

    def _explain_exit(self, profile: Profile, instant: int, held: list[Any]) -> list[Explanation]:
        assert self._exit is not None
        profile.facts = held[FACTS]
        return self._exit.explain(profile, instant, None).deciding()
