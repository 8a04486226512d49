"""Mistakes of authors: each is told with file, line and column, what was found, what was expected, the nearest name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.definitions.golden import MISTAKES, WARNINGS, Case, base_of, read_cases

CASES = [(path, case) for path in MISTAKES for case in read_cases(path)]
ADVICE = [(path, case) for path in WARNINGS for case in read_cases(path)]


def name_of(value: object) -> str:
    return value.stem if isinstance(value, Path) else value.title.replace(" ", "_")  # type: ignore[attr-defined]


@pytest.mark.parametrize(("path", "case"), CASES, ids=name_of)
def test_a_mistake_is_told(path: Path, case: Case, tmp_path: Path) -> None:
    assert case.said(tmp_path, base_of(path)) == case.expected
    assert not any("warning: " in line for line in case.expected)


@pytest.mark.parametrize(("path", "case"), ADVICE, ids=name_of)
def test_what_is_surely_not_meant_is_warned_of(path: Path, case: Case, tmp_path: Path) -> None:
    assert case.said(tmp_path, base_of(path)) == case.expected
    assert all("warning: " in line for line in case.expected)


def test_the_collection_is_large_and_its_messages_are_distinct() -> None:
    told = {
        re.sub(r"`[^`]*`|\d+", "…", line.partition(": ")[2]) for _, case in CASES for line in case.expected
    }
    assert len(told) >= 100
    assert all(case.expected for _, case in CASES)


def test_every_message_has_a_place_inside_its_file() -> None:
    for _, case in CASES:
        for line in case.expected:
            place = re.match(r"(?:([\w.]+):)?(\d+):(\d+): ", line)
            assert place is not None, line
            text = case.files[place[1] or "case.yaml"].split("\n")
            row, column = int(place[2]), int(place[3])
            assert row <= len(text)
            assert column <= len(text[row - 1]) + 1, line
