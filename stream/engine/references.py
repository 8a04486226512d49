"""What one rule asks of another: a ladder's tier, how long the user has been in it, whether they are in a segment."""

from __future__ import annotations

from stream.engine.conditions import NULL, Condition, Leaf, Verdict
from stream.engine.ladders import LadderRule
from stream.engine.membership import SegmentRule
from stream.engine.profile import FOREVER, Profile
from stream.engine.values import Answer, Value


class TierOf(Value):
    """`ladder.x`: the name of the user's tier, or null."""

    __slots__ = ("_ladder",)

    def __init__(self, ladder: LadderRule, text: str) -> None:
        super().__init__(text)
        self._ladder = ladder

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        tier = self._ladder.tier_of(profile)
        return (NULL if tier is None else tier), 0, FOREVER


class TimeIn(Value):
    """`time_in(ladder.x)`: how long the user has been in the tier; unknown without one."""

    __slots__ = ("_ladder",)

    def __init__(self, ladder: LadderRule, text: str) -> None:
        super().__init__(text)
        self._ladder = ladder

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        since = self._ladder.since(profile)
        return (None, 0, FOREVER) if since is None else (instant - since, 1, FOREVER)


class MemberOf(Condition):
    """`segment.x`: true while member. Of a segment with memberships per key: of any, or of the same key inside one."""

    __slots__ = ("_same_key", "_segment")

    def __init__(self, segment: SegmentRule, same_key: bool, text: str) -> None:
        super().__init__(text)
        self._segment = segment
        self._same_key = same_key

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        return self._segment.is_member(profile, key if self._same_key else None), FOREVER

    def leaf(self, profile: Profile, instant: int, key: str | None, verdict: bool | None) -> Leaf:
        return Leaf(self.text, [], verdict, "==", True)
