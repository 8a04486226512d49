"""The engine room: pure, without I/O, clock or randomness."""

from __future__ import annotations

from stream.engine.engine import Engine, TimeSettings
from stream.engine.explain import Explained, Explainer
from stream.engine.partition import Counts, Dues, Partition, Profiles, Step
from stream.engine.plan import Plan, compile_plan

__all__ = [
    "Counts",
    "Dues",
    "Engine",
    "Explained",
    "Explainer",
    "Partition",
    "Plan",
    "Profiles",
    "Step",
    "TimeSettings",
    "compile_plan",
]
