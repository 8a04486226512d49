"""Oracle and engine agree on every change, for definitions and logs that nobody chose."""

from __future__ import annotations

import os
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle.engine_run import by_engine, by_oracle
from tests.oracle.smaller import disagrees, shown, smaller
from tests.oracle.strategies import FIRST, Case, cases, seeded

CASES = int(os.environ.get("ORACLE_CASES", "150"))
"""Seeded cases per family; a longer run sets more."""


@pytest.mark.parametrize("family", FIRST)
def test_seeded_cases(family: str) -> None:
    changed = 0
    for seed in range(CASES):
        case, batch = seeded(family, seed), 1 + seed % 7
        expected = by_oracle(case)
        if by_engine(case, batch) != expected:
            pytest.fail(f"{family} {seed}\n" + shown(smaller(case, partial(disagrees, batch=batch)), batch))
        changed += bool(expected)
    assert changed * 2 >= CASES, f"only {changed} of {CASES} cases change anything"


@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=st.sampled_from(sorted(FIRST)).flatmap(cases), batch=st.integers(1, 5))
def test_any_case(case: Case, batch: int) -> None:
    assert by_engine(case, batch) == by_oracle(case), shown(case, batch)
