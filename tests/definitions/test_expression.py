"""Text of expressions → trees, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.definitions.expression import ExpressionError, parse_expression
from stream.definitions.model import Expression, Logic, Place
from stream.definitions.text import write


def parse(text: str) -> Expression:
    return parse_expression(text, lambda offset: Place("f", 1, offset + 1))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a or b and not c", "a or (b and (not c))"),
        ("a + b * 2 > -3", "a + (b * 2) > -3"),
        ("a - b - c > 0", "(a - b) - c > 0"),
        ("x in [1, 'two', 3d]", "x in [1, 'two', 3d]"),
        ("x not in ['a']", "not (x in ['a'])"),
        ("max(3 * rhythm, 7d) < silence", "max(3 * rhythm, 7d) < silence"),
        ("traits.a.b == true", "traits.a.b == true"),
        ("ladder.x == null", "ladder.x == null"),
        ("((a))", "a"),
        ("-x < 1.5e3", "0 - x < 1.5e3"),
        ("android and inside or order", "(android and inside) or order"),
    ],
)
def test_expressions_read_as_they_mean(text: str, written: str) -> None:
    assert write(parse(text)) == written
    assert write(parse(written)) == written


def test_every_node_knows_its_place() -> None:
    tree = parse("a > 1 and bb < 22")
    assert isinstance(tree, Logic)
    assert [operand.at.column for operand in tree.operands] == [1, 11]


@given(st.text(alphabet="ab1. <>=!'\"()[],+-*/dh&|%andornti", max_size=30))
def test_whatever_is_written_is_a_tree_or_an_error_with_a_place(text: str) -> None:
    found: Expression | ExpressionError
    try:
        found = parse(text)
    except ExpressionError as error:
        found = error
    if isinstance(found, ExpressionError):
        assert 0 <= found.offset <= len(text)
        assert str(found)


def test_depth_is_bounded() -> None:
    with pytest.raises(ExpressionError, match="nested more than 100 deep"):
        parse("(1 + " * 200 + "1" + ")" * 200 + " > 0")
