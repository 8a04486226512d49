"""Conditions as functions of time, in three-valued logic (Kleene: true, false, unknown as None).

A node answers `test(profile, instant, key)` with (verdict, until): the verdict at the instant, and the first later
instant at which it could be another one if no event came. That one number per node is all that windows, absence,
expiry, decay, midnights and birthdays need: nothing here polls.

`until` may be early (waking without a change moves nothing) but never late. Composite nodes stop at the first operand
that settles the verdict: as long as that one holds, the others do not matter.

Of somebody who is not a member only one thing is asked: is it true, or when could it become true? `holds` answers that.
It is `test` with false and unknown taken together, and so may stop earlier and wake later: a count within a window does
not rise by waiting, and who was here a minute ago is not silent for a week, whatever their rhythm. With a membership
per key it also says whether events of other keys could begin it: what a key's own events decide, they cannot.

`reasons` names the leaves that made a verdict, for the change that it brings; `explain` walks the same nodes with the
same `test` and keeps what each said. Both have from `leaf` what a leaf compares, and on what evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from stream.changes import Evidence
from stream.engine.profile import FOREVER, Profile
from stream.engine.summaries import EVIDENCE, CellSummary, RecentSummary, evidence_of, last_time
from stream.engine.unknowns import history_of
from stream.engine.values import Answer, Value, covered_from

Verdict = tuple[bool | None, int]
ALWAYS: Final[tuple[bool, int]] = (True, FOREVER)
NEVER: Final[tuple[bool, int]] = (False, FOREVER)
NOBODY_KNOWS: Final[Verdict] = (None, FOREVER)
Held = tuple[bool, int, bool]
"""(Whether a condition is true, the next instant at which that could be otherwise, and of one that is not true whether
until then only an event of the key can make it so)."""


class Leaf:
    """What a condition without parts compares, and on what evidence."""

    __slots__ = ("bound", "duration", "evidence", "operator", "text", "value")

    def __init__(
        self,
        text: str,
        evidence: list[Evidence],
        value: Any = None,
        operator: str | None = None,
        bound: Any = None,
        duration: bool = False,
    ) -> None:
        self.text = text
        self.evidence = evidence
        """The events behind it, oldest first."""
        self.value = value
        self.operator = operator
        self.bound = bound
        self.duration = duration
        """Whether `value` and `bound` are durations in milliseconds."""


@dataclass(slots=True)
class Explanation:
    """What a node said, and why."""

    text: str
    verdict: bool | None
    until: int
    value: Any = None
    operator: str | None = None
    bound: Any = None
    duration: bool = False
    """As in a leaf."""
    evidence: list[Evidence] = field(default_factory=list)
    parts: list[Explanation] = field(default_factory=list)
    why: str | None = None
    """Why the verdict is unknown, if it is."""


class Condition:
    """A verdict about one user (and key) that may change with time. `text` is how the author would say it."""

    __slots__ = ("cost", "own", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.own = False
        """Whether nothing but events of the key, and time, can change its verdict."""
        self.cost = 1
        """What asking it costs, roughly: 0 where it is hardly ever more than a look, 2 where it asks the calendar."""

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        """(verdict, until) at an instant."""
        raise AssertionError("every condition defines this")

    def holds(self, profile: Profile, instant: int, key: str | None) -> Held:
        """Whether it is true, and what could make that otherwise."""
        verdict, until = self.test(profile, instant, key)
        return verdict is True, until, self.own

    def leaf(self, profile: Profile, instant: int, key: str | None, verdict: bool | None) -> Leaf:
        """What it compares at an instant, of which it is known what it says."""
        raise AssertionError("every condition without parts defines this")

    def doubt(self, profile: Profile, instant: int, key: str | None) -> str | None:
        """Why the verdict is unknown, where more can be said than that."""
        return None

    def reasons(
        self, profile: Profile, instant: int, key: str | None, verdict: bool | None, found: list[Leaf]
    ) -> None:
        """Adds to `found` the leaves that make it say what it says at an instant."""
        found.append(self.leaf(profile, instant, key, verdict))

    def explain(self, profile: Profile, instant: int, key: str | None) -> Explanation:
        """The same with everything that led to it."""
        verdict, until = self.test(profile, instant, key)
        leaf = self.leaf(profile, instant, key, verdict)
        return Explanation(
            leaf.text,
            verdict,
            until,
            leaf.value,
            leaf.operator,
            leaf.bound,
            leaf.duration,
            leaf.evidence,
            why=self.doubt(profile, instant, key) if verdict is None else None,
        )


class Composite(Condition):
    """Conditions joined. What decides are the operands that say the same."""

    __slots__ = ("_operands", "_unanimous")

    def __init__(self, operands: tuple[Condition, ...], text: str, unanimous: bool | None = None) -> None:
        super().__init__(text)
        self._operands = operands
        self.own = all(operand.own for operand in operands)
        self.cost = max(operand.cost for operand in operands)
        self._unanimous = unanimous
        """The verdict that takes all operands to say the same, if there is one."""

    def reasons(
        self, profile: Profile, instant: int, key: str | None, verdict: bool | None, found: list[Leaf]
    ) -> None:
        agreed = verdict is not None and verdict is self._unanimous
        for operand in self._operands:
            if agreed or operand.test(profile, instant, key)[0] is verdict:
                operand.reasons(profile, instant, key, verdict, found)

    def explain(self, profile: Profile, instant: int, key: str | None) -> Explanation:
        verdict, until = self.test(profile, instant, key)
        parts = [operand.explain(profile, instant, key) for operand in self._operands]
        return Explanation(self.text, verdict, until, parts=parts)


class Null:
    """The tier of somebody who has none: a known value, unlike what is unknown."""

    def __repr__(self) -> str:
        return "null"


NULL: Final = Null()


class Asked(Value):
    """A condition read as a value: true, false or unknown."""

    __slots__ = ("_condition",)

    def __init__(self, condition: Condition, text: str) -> None:
        super().__init__(text)
        self._condition = condition

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        verdict, until = self._condition.test(profile, instant, key)
        return verdict, 0, until


# --- composites ------------------------------------------------------------------------------------------------------


class All(Composite):
    """True if all are, false if one is."""

    __slots__ = ("_cheapest_first",)

    def __init__(self, operands: tuple[Condition, ...]) -> None:
        super().__init__(operands, "all", True)
        # One that is not true speaks for all: best one that only the key's events can change, and a cheap one.
        order = sorted(operands, key=lambda operand: (not operand.own, operand.cost))
        self._cheapest_first = tuple(order)
        self.cost = order[0].cost

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        verdict: bool | None = True
        until = FOREVER
        for operand in self._operands:
            one, end = operand.test(profile, instant, key)
            if one is False:
                return False, end
            if one is None:
                verdict = None
            if end < until:
                until = end
        return verdict, until

    def holds(self, profile: Profile, instant: int, key: str | None) -> Held:
        until = FOREVER
        for operand in self._cheapest_first:
            one, end, own = operand.holds(profile, instant, key)
            if not one:
                return False, end, own
            if end < until:
                until = end
        return True, until, False


class Either(Composite):
    """True if one is, false if all are."""

    __slots__ = ()

    def __init__(self, operands: tuple[Condition, ...]) -> None:
        super().__init__(operands, "any", False)

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        verdict: bool | None = False
        until = FOREVER
        for operand in self._operands:
            one, end = operand.test(profile, instant, key)
            if one:
                return True, end
            if one is None:
                verdict = None
            if end < until:
                until = end
        return verdict, until

    def holds(self, profile: Profile, instant: int, key: str | None) -> Held:
        until = FOREVER
        all_own = True
        for operand in self._operands:
            one, end, own = operand.holds(profile, instant, key)
            if one:
                return True, end, False
            if not own:
                all_own = False
            if end < until:
                until = end
        return False, until, all_own


class AtLeast(Composite):
    """True if n are true, false if no n can be."""

    __slots__ = ("_n",)

    def __init__(self, n: int, operands: tuple[Condition, ...]) -> None:
        super().__init__(operands, f"at least {n}")
        self._n = n

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        true = unknown = 0
        until = FOREVER
        for operand in self._operands:
            one, end = operand.test(profile, instant, key)
            if one:
                true += 1
            elif one is None:
                unknown += 1
            if end < until:
                until = end
        if true >= self._n:
            return True, until
        return (None if true + unknown >= self._n else False), until


class Not(Composite):
    """True if the operand is false."""

    __slots__ = ()

    def __init__(self, operand: Condition) -> None:
        super().__init__((operand,), "not")

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        verdict, until = self._operands[0].test(profile, instant, key)
        return (None if verdict is None else not verdict), until

    def reasons(
        self, profile: Profile, instant: int, key: str | None, verdict: bool | None, found: list[Leaf]
    ) -> None:
        opposite = None if verdict is None else not verdict
        self._operands[0].reasons(profile, instant, key, opposite, found)


# --- events ----------------------------------------------------------------------------------------------------------


class Do(Condition):
    """`{do: sel, last: D}`: at least one event (in (τ − D, τ])."""

    __slots__ = ("_last", "_recents", "_summaries")

    def __init__(
        self,
        summaries: tuple[CellSummary, ...],
        recents: tuple[RecentSummary, ...],
        last: int | None,
        text: str,
    ) -> None:
        super().__init__(text)
        self._summaries = summaries
        self._recents = recents
        self._last = last

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        newest = -FOREVER
        for summary in self._summaries:
            newest = max(newest, last_time(summary.state(profile, key)))
        if newest > -FOREVER:
            if self._last is None:
                return ALWAYS
            if newest > instant - self._last:
                return True, newest + self._last
        start = self._covered_from(profile, key)
        if start == -FOREVER:
            return NEVER
        if self._last is None:
            return NOBODY_KNOWS
        covered = start + self._last - 1
        return NEVER if instant >= covered else (None, covered)

    def _covered_from(self, profile: Profile, key: str | None) -> int:
        return max(covered_from(summary, profile, key) for summary in self._summaries)

    def _reach(self, instant: int) -> int:
        return -FOREVER if self._last is None else instant - self._last + 1

    def leaf(self, profile: Profile, instant: int, key: str | None, verdict: bool | None) -> Leaf:
        reach = self._reach(instant)
        if len(self._recents) == 1:
            return Leaf(self.text, self._recents[0].evidence(profile, key, reach))
        found = [one for recent in self._recents for one in recent.evidence(profile, key, reach)]
        found.sort(key=by_time)
        return Leaf(self.text, found[-EVIDENCE:])

    def doubt(self, profile: Profile, instant: int, key: str | None) -> str | None:
        return history_of((self._covered_from(profile, key), self._reach(instant)), instant)


def by_time(evidence: Evidence) -> tuple[str, str]:
    """What evidence is ordered by."""
    return (evidence.time, evidence.event_id)


class AfterEntry(Condition):
    """`{do: sel}` in an exit: an event added after the entry was decided, not older than the membership's anchor.

    Such a fact is the membership's, not the user's: `profile.facts` lends those of the membership that is being asked.
    """

    __slots__ = ("_index",)

    def __init__(self, index: int, text: str) -> None:
        super().__init__(text)
        self._index = index

    def _fact(self, profile: Profile) -> list[Any] | None:
        fact: list[Any] | None = profile.facts[self._index] if profile.facts else None
        return fact

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        return NEVER if self._fact(profile) is None else ALWAYS

    def leaf(self, profile: Profile, instant: int, key: str | None, verdict: bool | None) -> Leaf:
        fact = self._fact(profile)
        return Leaf(self.text, [] if fact is None else [evidence_of(fact[0], fact[1])])
