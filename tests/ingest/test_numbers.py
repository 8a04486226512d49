"""Numbers as exports write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.ingest.numbers import decimal


@pytest.mark.parametrize(
    ("sign", "text", "expected"),
    [
        (",", "1.234,50", 1234.5),
        (".", "1,299.50", 1299.5),
        (".", "$1,299.50", 1299.5),
        (".", "-$5.00", -5),
        (".", "$-5.00", -5),
        (".", "(5.00)", -5),
        (".", "($1,005.00)", -1005),
        (".", "USD 5", 5),
        (".", "US$ 5", 5),
        (".", "5 kr.", 5),
        (".", "1'299.50 CHF", 1299.5),
        (",", "29,90 €", 29.9),
        (",", "€29,90", 29.9),
        (",", "1\u00a0299,50 zł", 1299.5),
        (",", " 12 ", 12),
    ],
)
def test_a_number_with_its_currency(sign: str, text: str, expected: float) -> None:
    assert decimal(sign)(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "$",
        "abc",
        "5 5",
        "$5€",
        "--5",
        "-(5)",
        "(5",
        "5)",
        "1,29.5",
        "5e3",
        "0x10",
        "1_000",
        "5%",
        "5.",
        ".5$$",
    ],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number with a decimal"):
        decimal(".")(text)


@given(st.text(alphabet="0123456789.,'()+-$€ EURkr\u00a0", max_size=30))
def test_only_digits_of_the_text_are_in_the_number(text: str) -> None:
    try:
        found = decimal(".")(text)
    except ValueError:
        return
    assert (found < 0) <= ("-" in text or "(" in text)
    assert float("".join(each for each in text if each.isdigit() or each == ".").rstrip(".")) == float(
        abs(found)
    )
