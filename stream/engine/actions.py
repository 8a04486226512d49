"""What may be done about a change: never part of what decides it.

A messaging system obeys the policy blindly, so every reason against acting is decided here, in a fixed order, when all
memberships of the instant are known: `priority` asks who else is a member, and may not depend on who was asked first.
"""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import UNSET, UnsetType

from stream.changes import Judgement
from stream.definitions.model import Actions, QuietHours
from stream.engine.calendar import from_local, to_local
from stream.engine.profile import Profile
from stream.instants import format_instant


class Policy:
    """The actions of one segment or ladder, ready to be asked."""

    __slots__ = ("_actions", "_announce", "_timezone", "group", "priority")

    def __init__(self, actions: Actions, announce: bool, timezone: str) -> None:
        self._actions = actions
        self._announce = announce
        self._timezone = timezone
        self.group = actions.group
        self.priority = actions.priority or 0

    def judge(
        self, profile: Profile, instant: int, cause: str, acted: list[int], outranked: bool, entry: int
    ) -> Judgement:
        """The policy of an entry. `acted` holds the instants of actionable entries so far, oldest first."""
        actions = self._actions
        suppressed: list[str] = []
        if actions.cooldown is not None and acted and instant < acted[-1] + actions.cooldown:
            suppressed.append("cooldown")
        if actions.cap is not None:
            n, per = actions.cap
            if sum(1 for time in acted if time > instant - per) >= n:
                suppressed.append("cap")
        variant: str | UnsetType = UNSET
        if actions.holdout is not None:
            variant = "control" if in_holdout(profile.user, *actions.holdout) else "treatment"
            if variant == "control":
                suppressed.append("holdout")
        if actions.consent is not None:
            trait = profile.traits.get(f"consent.{actions.consent}")
            if trait is None or trait[2] is not True:
                suppressed.append("consent")
        if outranked:
            suppressed.append("priority")
        if cause == "definition_change" and not self._announce:
            suppressed.append("backfill")
        quiet = (
            None if actions.quiet_hours is None else self._quiet_end(profile, instant, actions.quiet_hours)
        )
        not_before = None if quiet is None else format_instant(quiet)
        return Judgement(not suppressed, variant, tuple(suppressed), entry, not_before)

    def remember(self, acted: list[int], instant: int) -> None:
        """Notes an actionable entry, keeping only as many as cooldown and cap can ask for."""
        if self._actions.cooldown is None and self._actions.cap is None:
            return
        acted.append(instant)
        del acted[: -(1 if self._actions.cap is None else self._actions.cap[0])]

    def _quiet_end(self, profile: Profile, instant: int, quiet: QuietHours) -> int | None:
        """When the quiet hours that hold `instant` end in the user's time zone, else the file's; None outside them."""
        trait = profile.traits.get("timezone")
        zone = zone_of(trait[2] if trait is not None else None) or ZoneInfo(self._timezone)
        wall = to_local(instant, zone).replace(tzinfo=None)
        minute = wall.hour * 60 + wall.minute
        start, end = quiet.start, quiet.end
        if not (start <= minute < end if start < end else minute >= start or minute < end):
            return None
        midnight = wall.replace(hour=0, minute=0, second=0, microsecond=0)
        if minute >= end:
            midnight += timedelta(days=1)
        return from_local(midnight + timedelta(minutes=end), zone, after=instant)


def in_holdout(user: str, percent: float, salt: str) -> bool:
    """Whether a user is in the control group: always the same answer for the same salt."""
    fraction = int.from_bytes(sha256(f"{salt}\n{user}".encode()).digest()[:8], "big") / 2**64
    return fraction * 100 < percent


def zone_of(name: Any) -> ZoneInfo | None:
    """The time zone of an IANA name; None if it is none."""
    if type(name) is not str or not name:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return None
