"""What all tests share: hypothesis profiles, and the rule for what a machine may lack.

Tests that need a program which is not there are skipped with a reason on a developer's machine and fail with CI=true:
`require` says which.
"""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from stream.compiled import describe_engine
from stream.errors import OperatorError

IN_CI = os.environ.get("CI", "").lower() == "true"


def pytest_report_header() -> str:
    """Says which engine is tested, and ends the run where it is not what its sources say."""
    try:
        return f"engine: {describe_engine()}"
    except OperatorError as error:
        raise pytest.UsageError(str(error)) from error


settings.register_profile(
    "default",
    deadline=None,  # time per example depends on the machine, and no test here is about time
    database=DirectoryBasedExampleDatabase(".cache/hypothesis"),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if IN_CI else "default"))


def lacking(reason: str) -> None:
    """Skips the test, or fails it where nothing may be skipped."""
    if IN_CI:
        pytest.fail(f"{reason} (with CI=true nothing is skipped)")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def promtool() -> str:
    """The path of Prometheus' own checker."""
    path = shutil.which("promtool")
    if path is None:
        lacking("promtool is not installed (Debian's package `prometheus` has it)")
        raise AssertionError("unreachable")
    return path
