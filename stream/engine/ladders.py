"""Ladders: one value per user, the first tier that holds.

The answer of an instant is the first tier that is not skipped. Skipped is a tier whose `when` is false, or unknown
unless it is the current one; whose `from` does not hold the current tier (one may always stay); or whose ttl has run
out, until its `when` is next not true. Upwards the user moves at once, and on to where the new tier's answer leads.
Downwards or out, with `demote_after: D`, only D after the answer first fell below the current tier without returning,
and then to the answer of that instant; a ttl that runs out does not wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from stream.engine.actions import Policy
from stream.engine.attachments import Attachment
from stream.engine.conditions import Condition, Explanation, Leaf
from stream.engine.decisions import ACTIONABLE, ENTRIES, HELD, SINCE, Decision, Occasion, Rule
from stream.engine.profile import FOREVER, Profile

# What a ladder holds in a profile. SINCE and ACTIONABLE stand where a membership has them.
TIER: Final = 0
BELOW: Final = 2
SPENT: Final = 3
"""The tier's name or None; since when the answer is below it, or None; names of tiers whose ttl ran out."""


def _nothing() -> list[Any]:
    return [None, 0, None, [], "", None, False]


@dataclass(frozen=True, slots=True)
class TierRule:
    """One tier, ready to be asked. `from_` holds names, None for no tier; it is None itself where any may come."""

    name: str
    when: Condition
    from_: frozenset[str | None] | None
    ttl: int | None


class LadderRule(Rule):
    """Decides one ladder."""

    __slots__ = ("_demote_after", "_ranks", "_tiers")

    def __init__(
        self,
        index: int,
        name: str,
        hash_: str,
        version: int | None,
        policy: Policy,
        attachments: tuple[Attachment, ...],
        tiers: tuple[TierRule, ...],
        demote_after: int | None,
    ) -> None:
        super().__init__(index, name, "ladder", hash_, version, policy, attachments)
        self._tiers = tiers
        self._ranks = {tier.name: rank for rank, tier in enumerate(tiers)}
        self._demote_after = demote_after

    def tier_of(self, profile: Profile) -> str | None:
        """The user's tier."""
        state = profile.state(self.index)
        tier: str | None = None if state is None or state[HELD] is None else state[HELD][TIER]
        return tier

    def since(self, profile: Profile) -> int | None:
        """When the user came to the tier; None without one."""
        state = profile.state(self.index)
        if state is None or state[HELD] is None or state[HELD][TIER] is None:
            return None
        return int(state[HELD][SINCE])

    def open_memberships(self, profile: Profile) -> list[tuple[str | None, list[Any]]]:
        state = profile.state(self.index)
        return (
            [] if state is None or state[HELD] is None or state[HELD][TIER] is None else [(None, state[HELD])]
        )

    def is_quiet(self, blank: Profile, instant: int) -> bool:
        verdicts = [tier.when.test(blank, instant, None) for tier in self._tiers]
        return all(verdict is not True and until == FOREVER for verdict, until in verdicts)

    def evaluate(self, profile: Profile, instant: int, occasion: Occasion, decisions: list[Decision]) -> bool:
        state = profile.state(self.index)
        held = state[HELD] if state is not None and state[HELD] is not None else _nothing()
        before = (held[TIER], held[BELOW], len(held[SPENT]))
        self._free(profile, instant, held)
        ran_out = instant >= self._ttl_due(held)
        if ran_out:
            held[SPENT].append(held[TIER])
        answer, until = self._answer(profile, instant, held)
        while self._name(answer) != held[TIER] and (ran_out or self._may_move(instant, held, answer)):
            self._move(profile, instant, decisions, held, answer)
            ran_out = False
            self._free(profile, instant, held)
            answer, until = self._answer(profile, instant, held)
        if self._name(answer) == held[TIER]:
            held[BELOW] = None
        else:
            assert self._demote_after is not None
            if held[BELOW] is None:
                held[BELOW] = instant
            until = min(until, held[BELOW] + self._demote_after)
        profile.set_due(self.index, min(until, self._ttl_due(held)))
        changed = before != (held[TIER], held[BELOW], len(held[SPENT]))
        if changed:
            self.state(profile)[HELD] = held
        return changed

    def _name(self, tier: TierRule | None) -> str | None:
        return None if tier is None else tier.name

    def _answer(self, profile: Profile, instant: int, held: list[Any]) -> tuple[TierRule | None, int]:
        """The first tier that is not skipped, and the next instant at which that could be another."""
        current, spent = held[TIER], held[SPENT]
        until = FOREVER
        for tier in self._tiers:
            if tier.name in spent:
                until = min(until, tier.when.test(profile, instant, None)[1])
        for tier in self._tiers:
            if tier.name in spent:
                continue
            if tier.from_ is not None and tier.name != current and current not in tier.from_:
                continue
            verdict, end = tier.when.test(profile, instant, None)
            until = min(until, end)
            if verdict or (verdict is None and tier.name == current):
                return tier, until
        return None, until

    def _free(self, profile: Profile, instant: int, held: list[Any]) -> None:
        """Frees the spent tiers whose `when` is not true."""
        held[SPENT] = [
            name
            for name in held[SPENT]
            if name in self._ranks
            and self._tiers[self._ranks[name]].when.test(profile, instant, None)[0] is True
        ]

    def _ttl_due(self, held: list[Any]) -> int:
        rank = self._ranks.get(held[TIER])
        ttl = None if rank is None else self._tiers[rank].ttl
        return FOREVER if ttl is None or held[TIER] in held[SPENT] else int(held[SINCE] + ttl)

    def _may_move(self, instant: int, held: list[Any], answer: TierRule | None) -> bool:
        last = len(self._tiers)
        current = self._ranks.get(held[TIER], last)
        target = last if answer is None else self._ranks[answer.name]
        if self._demote_after is None or held[TIER] is None or target < current:
            return True
        return held[BELOW] is not None and instant >= held[BELOW] + self._demote_after

    def _move(
        self,
        profile: Profile,
        instant: int,
        decisions: list[Decision],
        held: list[Any],
        answer: TierRule | None,
    ) -> None:
        previous = held[TIER]
        held[TIER], held[SINCE], held[BELOW] = self._name(answer), instant, None
        seq, event_id = self.identify(profile, None)
        if answer is not None:
            self.state(profile)[ENTRIES] += 1
        decision = Decision(
            self,
            "entered" if previous is None else "exited" if answer is None else "moved",
            seq,
            None,
            event_id,
            self._reason(profile, instant, answer, previous),
            held=None if answer is None else held,
            value=held[TIER],
            previous=previous,
            expires_at=None if answer is None or answer.ttl is None else instant + answer.ttl,
            entry=self.state(profile)[ENTRIES],
        )
        decisions.append(decision)

    def _reason(
        self, profile: Profile, instant: int, answer: TierRule | None, previous: str | None
    ) -> list[Leaf]:
        """Why the new tier holds; on the way down also why the old one no longer does."""
        found: list[Leaf] = []
        rank = self._ranks.get(previous or "")
        if rank is not None and (answer is None or rank < self._ranks[answer.name]):
            left = self._tiers[rank].when
            left.reasons(profile, instant, None, left.test(profile, instant, None)[0], found)
        if answer is not None:
            answer.when.reasons(profile, instant, None, True, found)
        return found

    def explain(self, profile: Profile, instant: int, key: str | None) -> list[Explanation]:
        return [tier.when.explain(profile, instant, None) for tier in self._tiers]


assert (SINCE, ACTIONABLE) == (1, 6), "what a ladder holds has the places of a membership"
