"""Sequences: steps that one user's events complete in order.

A sequence answers, besides its verdict, its anchor: the time of the first step's event from which it counts. The first
step gives candidates; the steps between take, each, the earliest event that fits (no backtracking); the closing `not`
waits. Events that the sequence itself matched never count as what must not happen.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stream.engine.conditions import ALWAYS, NEVER, NOBODY_KNOWS, Condition, Leaf, Verdict
from stream.engine.profile import FOREVER, Profile
from stream.engine.summaries import PairSummary, StepsSummary, Summary, evidence_of
from stream.engine.values import covered_from

Entry = tuple[int, str]
Run = tuple[bool, int, int | None, list[Entry]]
"""(verdict, until, anchor, matched events) of a sequence over one key's events."""


@dataclass(frozen=True, slots=True)
class Then:
    """`{then: B, within: D, without: C}`; `role` and `without` are places in the summary's state."""

    role: int
    within: int
    without: int | None


class Sequence(Condition):
    """Base of the sequences: one run per key, or one where the summary is not split or a key is given."""

    __slots__ = ("_per_key", "_summary")

    def __init__(self, summary: Summary, text: str, per_key: bool) -> None:
        super().__init__(text)
        self._summary = summary
        self._per_key = per_key
        """`by` outside `for_each`: true if it is for any key."""

    def run(self, state: Any, instant: int) -> Run:
        """The sequence over one state, which is not None."""
        raise AssertionError("every sequence defines this")

    def _best(self, profile: Profile, instant: int, key: str | None) -> Run | None:
        """The run that speaks for the sequence: of several keys the true one with the newest anchor."""
        if not self._per_key:
            state = self._summary.state(profile, key)
            return None if state is None else self.run(state, instant)
        best: Run | None = None
        until = FOREVER
        for name in self._summary.keys(profile):
            run = self.run(self._summary.state(profile, name), instant)
            until = min(until, run[1])
            if run[0] and (best is None or (run[2] or 0) > (best[2] or 0)):
                best = run
        if best is None:
            return (False, until, None, [])
        return (True, until, best[2], best[3])

    def anchor(self, profile: Profile, instant: int, key: str | None) -> int | None:
        """Time of the first step's event; None if there is none."""
        run = self._best(profile, instant, key)
        return None if run is None else run[2]

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        run = self._best(profile, instant, key)
        if run is not None and (run[0] or run[2] is not None or self._per_key):
            return run[0], run[1]
        return NEVER if covered_from(self._summary, profile, key) == -FOREVER else NOBODY_KNOWS

    def leaf(self, profile: Profile, instant: int, key: str | None, verdict: bool | None) -> Leaf:
        run = self._best(profile, instant, key)
        return Leaf(self.text, [] if run is None else [evidence_of(time, id_) for time, id_ in run[3]])


class PairSequence(Sequence):
    """`[{do: A}, {not: C, for: D}]` with the newest A as its anchor: true from A + D on, if no C came since A."""

    __slots__ = ("_span",)

    def __init__(self, summary: PairSummary, span: int, text: str, per_key: bool) -> None:
        super().__init__(summary, text, per_key)
        self._span = span

    def run(self, state: Any, instant: int) -> Run:
        anchor, anchor_id, closing, closing_id, second = state
        if anchor == -FOREVER:
            return (False, FOREVER, None, [])
        matched = [(anchor, anchor_id)]
        if closing >= anchor and (closing != anchor or closing_id != anchor_id or second >= anchor):
            return (False, FOREVER, anchor, [*matched, (closing, closing_id)])
        due = anchor + self._span
        return (True, FOREVER, anchor, matched) if instant >= due else (False, due, anchor, matched)

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        if self._per_key or profile.covered:
            return super().test(profile, instant, key)
        # The same as `run`, without building it: this is asked after nearly every event.
        state = self._summary.state(profile, key)
        if state is None or state[0] == -FOREVER:
            return NEVER
        anchor, closing = state[0], state[2]
        if closing >= anchor and (closing != anchor or state[3] != state[1] or state[4] >= anchor):
            return NEVER
        due = anchor + self._span
        return ALWAYS if instant >= due else (False, due)

    def leaf(self, profile: Profile, instant: int, key: str | None, verdict: bool | None) -> Leaf:
        run = self._best(profile, instant, key)
        if run is None or not run[3]:
            return Leaf(self.text, [])
        matched = run[3]
        last = matched[1][0] if len(matched) > 1 else instant
        evidence = [evidence_of(time, id_) for time, id_ in matched]
        return Leaf(self.text, evidence, last - matched[0][0], ">=", self._span, True)


class StepSequence(Sequence):
    """Any sequence, over the newest 64 events of each step."""

    __slots__ = ("_closing", "_first", "_span", "_thens")

    def __init__(
        self,
        summary: StepsSummary,
        thens: tuple[Then, ...],
        closing: int | None,
        span: int,
        restart: str,
        text: str,
        per_key: bool,
    ) -> None:
        super().__init__(summary, text, per_key)
        self._thens = thens
        self._closing = closing
        """Place of the closing `not` in the summary's state."""
        self._span = span
        self._first = restart == "first"

    def run(self, state: Any, instant: int) -> Run:
        starts = entries_of(state[0])
        if self._first:
            return self._run_first(state, starts, instant)
        for start in reversed(starts):
            matched = self._complete(state, start)
            if matched is not None:
                return self._close(state, matched, instant)
        if not starts:
            return (False, FOREVER, None, [])
        return (False, FOREVER, starts[-1][0], [starts[-1]])

    def _run_first(self, state: Any, starts: list[Entry], instant: int) -> Run:
        """`restart: first`: the oldest A later than the newest closing event from which the steps complete."""
        assert self._closing is not None
        closing = state[self._closing]
        bound = closing[-2] if closing else -FOREVER
        for start in starts:
            if start[0] > bound:
                matched = self._complete(state, start)
                if matched is not None:
                    return self._close(state, matched, instant)
        return (False, FOREVER, None, [])

    def _complete(self, state: Any, start: Entry) -> list[Entry] | None:
        """The events that the steps between match from a start; None if one of them finds none."""
        matched = [start]
        for step in self._thens:
            previous = matched[-1][0]
            found = next(unmatched(state[step.role], previous, matched), None)
            if found is None or found[0] > previous + step.within:
                return None
            matched.append(found)
        # What a later step matched is no forbidden event either, so this is asked when all are. An event later than the
        # earliest that fits would have the same forbidden one before it: there is no need to go back.
        for i, step in enumerate(self._thens):
            if step.without is not None:
                since, until = matched[i][0], matched[i + 1][0]
                if self._occurs(state[step.without], since, until, matched):
                    return None
        return matched

    def _occurs(self, flat: list[Any], start: int, end: int, matched: list[Entry]) -> bool:
        """Whether an event lies in [start, end] that the sequence did not match itself."""
        found = next(unmatched(flat, start, matched), None)
        return found is not None and found[0] <= end

    def _close(self, state: Any, matched: list[Entry], instant: int) -> Run:
        anchor, last = matched[0][0], matched[-1][0]
        if self._closing is None:
            return (True, FOREVER, anchor, matched)
        if self._occurs(state[self._closing], last, FOREVER, matched):
            return (False, FOREVER, anchor, matched)
        due = last + self._span
        return (True, FOREVER, anchor, matched) if instant >= due else (False, due, anchor, matched)


def unmatched(flat: list[Any], start: int, matched: list[Entry]) -> Iterator[Entry]:
    """Events from `start` on, in order, that are not matched. What counts twice can be matched once and occur once."""
    left = list(matched)
    for i in range(2 * bisect_left(flat[::2], start), len(flat), 2):
        entry = (flat[i], flat[i + 1])
        if entry in left:
            left.remove(entry)
        else:
            yield entry


def entries_of(flat: list[Any]) -> list[Entry]:
    """(time, id) pairs of [time, id, time, id, …]."""
    return list(zip(flat[::2], flat[1::2], strict=True))
