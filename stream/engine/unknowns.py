"""Why a value is unknown: what was never told, too few events, or history that does not reach back far enough."""

from __future__ import annotations

from stream.durations import MINUTE, format_duration
from stream.engine.cells import N
from stream.engine.profile import FOREVER, Profile
from stream.engine.shares import Gate, Share
from stream.engine.values import Arithmetic, Feature, MeanGap, Trait, Value


def why_unknown(value: Value, profile: Profile, instant: int, key: str | None) -> str | None:
    """The reason that a value is unknown at an instant; None if it is known."""
    if value.value(profile, instant, key)[0] is not None:
        return None
    inside = [why_unknown(part, profile, instant, key) for part in value.parts()]
    reasons = list(dict.fromkeys(reason for reason in inside if reason is not None))
    if reasons:
        return " and ".join(reasons)
    if isinstance(value, Feature):
        missing = value.missing_history(profile, instant, key) if value.needs_history else None
        return history_of(missing, instant) or _too_few(value, profile, instant, key)
    if isinstance(value, Gate):
        cell, _ = value.count.read(profile, instant, key)
        return f"{value.text} has {0 if cell is None else cell[N]} of {value.min_n} events"
    if isinstance(value, Share) and value.min_n:
        cell, _ = value.total.read(profile, instant, None)
        return f"{value.text} has {0 if cell is None else cell[N]} of {value.min_n} events"
    if isinstance(value, Trait):
        return f"{value.text} was never told"
    if isinstance(value, Arithmetic):
        return f"{value.text} divides by zero, or by what is no number"
    return f"{value.text} is unknown"


def _too_few(value: Feature, profile: Profile, instant: int, key: str | None) -> str:
    cell, _ = value.summary.read(profile, instant, key)
    n = 0 if cell is None else cell[N]
    needed = max(value.min_n, 2 if isinstance(value, MeanGap) else 1)
    return (
        f"{value.text} has no event" if n == 0 and needed == 1 else f"{value.text} has {n} of {needed} events"
    )


def history_of(missing: tuple[int, int] | None, instant: int) -> str | None:
    """`history covers 3d of 30d`, where it does not cover all."""
    if missing is None:
        return None
    start, reach = missing
    seen = format_duration(max(0, instant - start) // MINUTE * MINUTE)
    return f"history covers {seen}" + (
        f" of {format_duration(instant - reach + 1)}" if reach > -FOREVER else ""
    )
