"""Ladders: one value per user, the first tier that holds.

The answer of an instant is the first tier that is not skipped. Skipped is a tier whose `when` is false, or unknown
unless it is the current one; whose `from` does not hold the current tier (one may always stay); or whose ttl has run
out, until its `when` is next not true. Upwards the user moves at once. Downwards or out, with `demote_after: D`, only D
after the answer first fell below the current tier without returning, and then to the answer of that instant; a ttl that
runs out does not wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stream.engine.conditions import Condition, Explanation
from stream.engine.membership import HELD, SEQ, Decision, Occasion, Recorder
from stream.engine.profile import FOREVER, Profile

# What a ladder holds in a profile: [tier or None, entered at, below since or None, [names of tiers whose ttl ran out]].
TIER, SINCE, BELOW, SPENT = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class TierRule:
    """One tier, ready to be asked. `from_` holds names, None for no tier; it is None itself where any may come."""

    name: str
    when: Condition
    from_: frozenset[str | None] | None
    ttl: int | None


class LadderRule:
    """Decides one ladder."""

    __slots__ = (
        "_demote_after",
        "_ranks",
        "_tiers",
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
        tiers: tuple[TierRule, ...],
        demote_after: int | None,
    ) -> None:
        self.index = index
        self.name = name
        self.hash = hash_
        self.version = version
        self.kind = "ladder"
        self.dependents: tuple[int, ...] = ()
        self._tiers = tiers
        self._ranks = {tier.name: rank for rank, tier in enumerate(tiers)}
        self._demote_after = demote_after

    def tier_of(self, profile: Profile) -> str | None:
        """The user's tier."""
        state = profile.states[self.index]
        tier: str | None = None if state is None or state[HELD] is None else state[HELD][TIER]
        return tier

    def is_quiet(self, blank: Profile, instant: int) -> bool:
        """Whether time alone never gives a tier to a user of whom nothing is known that this ladder asks."""
        verdicts = [tier.when.test(blank, instant, None) for tier in self._tiers]
        return all(verdict is not True and until == FOREVER for verdict, until in verdicts)

    def look(self, profile: Profile, instant: int) -> None:
        """Ladders are never retracted: they move."""
        return

    def note(self, profile: Profile, event: Any, matched: int) -> None:
        """No event is kept with a tier."""

    def evaluate(self, profile: Profile, instant: int, occasion: Occasion, record: Recorder) -> bool:
        """Brings the ladder up to `instant`; True if it changed state. Sets the rule's due instant."""
        state = profile.states[self.index]
        held = None if state is None else state[HELD]
        if held is None:
            held = [None, 0, None, []]
        was = (held[TIER], held[BELOW], len(held[SPENT]))
        ran_out = self._expire(profile, instant, held)
        answer, until = self._answer(profile, instant, held)
        target = answer.name if answer is not None else None
        if target != held[TIER]:
            if self._may_move(instant, held, target) or ran_out:
                self._move(profile, instant, occasion, record, held, answer)
                after, until = self._answer(profile, instant, held)
                if (None if after is None else after.name) != held[TIER]:
                    until = instant + 1  # the new tier opens the way to another one: taken one at a time
            else:
                assert self._demote_after is not None
                if held[BELOW] is None:
                    held[BELOW] = instant
                until = min(until, held[BELOW] + self._demote_after)
        else:
            held[BELOW] = None
        profile.dues[self.index] = min(until, self._ttl_due(held))
        changed = (held[TIER], held[BELOW], len(held[SPENT])) != was
        if changed:
            if profile.states[self.index] is None:
                profile.states[self.index] = [0, 0, [], held]
            else:
                profile.states[self.index][HELD] = held
        return changed

    def _answer(self, profile: Profile, instant: int, held: list[Any]) -> tuple[TierRule | None, int]:
        """The first tier that is not skipped, and the next instant at which that could be another."""
        current, until = held[TIER], FOREVER
        for tier in self._tiers:
            if tier.name in held[SPENT]:
                continue
            if tier.from_ is not None and tier.name != current and current not in tier.from_:
                continue
            verdict, end = tier.when.test(profile, instant, None)
            until = min(until, end)
            if verdict or (verdict is None and tier.name == current):
                return tier, min(until, self._spent_until(profile, instant, held))
        return None, min(until, self._spent_until(profile, instant, held))

    def _spent_until(self, profile: Profile, instant: int, held: list[Any]) -> int:
        ends = (tier.when.test(profile, instant, None)[1] for tier in self._tiers if tier.name in held[SPENT])
        return min(ends, default=FOREVER)

    def _expire(self, profile: Profile, instant: int, held: list[Any]) -> bool:
        """Frees spent tiers whose `when` is not true now, and marks the current one as spent if its ttl ran out."""
        held[SPENT] = [
            name
            for name in held[SPENT]
            if name in self._ranks
            and self._tiers[self._ranks[name]].when.test(profile, instant, None)[0] is True
        ]
        if instant < self._ttl_due(held):
            return False
        held[SPENT].append(held[TIER])
        return True

    def _ttl_due(self, held: list[Any]) -> int:
        rank = self._ranks.get(held[TIER])
        ttl = None if rank is None else self._tiers[rank].ttl
        return FOREVER if ttl is None or held[TIER] in held[SPENT] else int(held[SINCE] + ttl)

    def _may_move(self, instant: int, held: list[Any], target: str | None) -> bool:
        last = len(self._tiers)
        current = self._ranks.get(held[TIER], last)
        if self._demote_after is None or held[TIER] is None or self._ranks.get(target or "", last) < current:
            return True
        return held[BELOW] is not None and instant >= held[BELOW] + self._demote_after

    def _move(
        self,
        profile: Profile,
        instant: int,
        occasion: Occasion,
        record: Recorder,
        held: list[Any],
        answer: TierRule | None,
    ) -> None:
        state = profile.states[self.index]
        if state is None:
            state = profile.states[self.index] = [0, 0, [], held]
        state[HELD] = held
        previous = held[TIER]
        held[TIER] = None if answer is None else answer.name
        held[SINCE], held[BELOW] = instant, None
        state[SEQ] += 1
        type_ = "entered" if previous is None else "exited" if answer is None else "moved"
        if answer is not None:
            state[1] += 1
        decision = Decision(
            type_,
            state[SEQ],
            None,
            self._reason(profile, instant, answer, previous),
            value=held[TIER],
            previous=previous,
            expires_at=None if answer is None or answer.ttl is None else instant + answer.ttl,
            entry=state[1],
        )
        record(self, profile, instant, occasion, decision)

    def _reason(
        self, profile: Profile, instant: int, answer: TierRule | None, previous: str | None
    ) -> list[Explanation]:
        """Why the new tier holds; on the way down also why the old one no longer does."""
        reason = [] if answer is None else answer.when.explain(profile, instant, None).deciding()
        rank = self._ranks.get(previous or "")
        if rank is not None and (answer is None or rank < self._ranks[answer.name]):
            reason = self._tiers[rank].when.explain(profile, instant, None).deciding() + reason
        return reason
