"""Positions, durations and suggestions."""

from __future__ import annotations

from typing import cast

import pytest
import yaml

from stream.definitions.model import Place
from stream.definitions.source import Problems, Source, suggest, suggest_duration


def scalar(text: str) -> tuple[Source, yaml.ScalarNode]:
    source = Source("f", Problems())
    root = source.compose(text)
    assert isinstance(root, yaml.MappingNode)
    return source, cast(yaml.ScalarNode, root.value[0][1])


@pytest.mark.parametrize(
    "text",
    [
        "k: one two X three",
        "k: 'one '' two X three'",
        'k: "one \\" \\u00e9 \\t X three"',
        'k: "one \\\n     two X three"',
        "k: one two\n   three X four",
        "k:   one\n\n   X",
        "k: |\n    one\n      two X\n",
        "k: >-\n    one\n    two\n\n    three X\n",
        "k: >2\n    one\n    X\n",
        "\n\n  k:   X",
    ],
)
def test_a_character_of_a_value_is_found_where_it_is_written(text: str) -> None:
    source, node = scalar(text)
    at = source.locate(node)(node.value.index("X"))
    assert text.split("\n")[at.line - 1][at.column - 1] == "X"


def test_beyond_the_end_is_the_end() -> None:
    source, node = scalar("k: 'one'")
    assert source.locate(node)(100) == Place("f", 1, 8)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("30 min", "30m"), ("2 Hours", "2h"), ("1day", "1d"), ("3 wks", "3w"), ("10 secs", "10s"), ("2 months", "60d"),
     ("1 year", "365d"), ("1.5 days", "1.5d")],
)  # fmt: skip
def test_durations_in_words_are_understood_well_enough_to_correct_them(text: str, meant: str) -> None:
    assert suggest_duration(text) == f"; did you mean `{meant}`?"


@pytest.mark.parametrize("text", ["soon", "30x", "", "1.5 years"])
def test_what_is_no_duration_gets_no_suggestion(text: str) -> None:
    assert suggest_duration(text) == ""


def test_names_are_suggested_by_likeness_or_by_meaning() -> None:
    assert suggest("spend_1yr", ["spend_1y", "orders"]) == "; did you mean `spend_1y`?"
    assert suggest("window", ["last", "by"]) == "; did you mean `last`?"
    assert suggest("zebra", ["last", "by"]) == ""


def test_a_problem_is_told_once() -> None:
    problems = Problems()
    problems.error(Place("f", 1, 1), "wrong")
    problems.error(Place("f", 1, 1), "wrong")
    problems.warn(Place("f", 1, 1), "odd")
    assert (len(problems.errors), len(problems.warnings)) == (1, 1)
