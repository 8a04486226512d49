"""Oracle and engine agree on every change, for definitions and logs that nobody chose."""

from __future__ import annotations

import os
from collections import Counter
from functools import cache, partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle.constructs import ALL, constructs
from tests.oracle.engine_run import Manner, Row, by_engine, by_oracle
from tests.oracle.smaller import disagrees, shown, smaller
from tests.oracle.strategies import FAMILIES, Case, cases, seeded

CASES = int(os.environ.get("ORACLE_CASES", "150"))
"""Seeded cases per family; a longer run sets more."""
TWICE = ("calendars", "shares", "for_each", "sequences", "ladders", "actions", "membership", "references")
OFTEN = {"clocks": 8, "windows": 4, "time": 4, **dict.fromkeys(TWICE, 2)}
"""Families with so many constructs that it takes more cases to meet each."""

MANNERS = st.builds(Manner, batch=st.integers(1, 5), lazy=st.booleans(), forgetful=st.booleans())


@cache
def chosen(family: str) -> list[tuple[int, Case, list[Row]]]:
    """Cases with what the oracle says. Two thirds or more change something: further quiet ones are left out."""
    found: list[tuple[int, Case, list[Row]]] = []
    loud, seed = 0, 0
    while len(found) < CASES * OFTEN.get(family, 1):
        case = seeded(family, seed)
        expected = by_oracle(case)
        if expected or 3 * loud > 2 * len(found):
            found.append((seed, case, expected))
            loud += bool(expected)
        seed += 1
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_seeded_cases(family: str) -> None:
    for seed, case, expected in chosen(family):
        manner = Manner(batch=1 + seed % 7, lazy=seed % 2 == 0, forgetful=seed % 3 == 0)
        if by_engine(case, manner) != expected:
            pytest.fail(
                f"{family} {seed}\n" + shown(smaller(case, partial(disagrees, manner=manner)), manner)
            )


def test_every_construct_is_met_often_and_matters() -> None:
    met: Counter[str] = Counter()
    loud: Counter[str] = Counter()
    for family in FAMILIES:
        for _, case, expected in chosen(family):
            used = constructs(case.raw)
            met.update(used)
            loud.update(used if expected else ())
    enough = min(CASES, 100)
    rare = {name: (met[name], loud[name]) for name in ALL if met[name] < enough or 2 * loud[name] < met[name]}
    assert not rare, "constructs in too few cases, or in too few that change anything"


@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=st.sampled_from(sorted(FAMILIES)).flatmap(cases), manner=MANNERS)
def test_any_case(case: Case, manner: Manner) -> None:
    assert by_engine(case, manner) == by_oracle(case), shown(case, manner)
