"""The closed set of transforms."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.ingest.transforms import TRANSFORMS
from stream.instants import parse_instant


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ms", "1433221332117", 1_433_221_332_117),
        ("ms", 1433221332117.9, 1_433_221_332_117),
        ("s", "1433221332", 1_433_221_332_000),
        ("s", 1433221332.117, 1_433_221_332_117),
        ("iso8601", "2015-06-02T05:02:12.117Z", 1_433_221_332_117),
        ("number", "12", 12),
        ("number", " -1.5 ", -1.5),
        ("number", 3, 3),
        ("text", 5, "5"),
        ("text", 5.0, "5"),
        ("text", 5.25, "5.25"),
        ("us", 1433221332117999, 1_433_221_332_117),
        ("us", "1433221332117999", 1_433_221_332_117),
        ("iso8601", "2015-06-02 05:02:12,117+0000", 1_433_221_332_117),
        ("iso8601", "2015-06-02 14:02+09", 1_433_221_320_000),
        ("iso8601", "2015-06-02 05:02:12.1179 UTC", 1_433_221_332_117),
        ("integer", "3.0", 3),
        ("negate", "3", -3),
        ("abs", -3.5, 3.5),
        ("trim", "  ", None),
        ("snake_case", "Order Completed", "order_completed"),
        ("snake_case", "orderCompletedV2", "order_completed_v2"),
        ("snake_case", "HTTPRequest--sent", "http_request_sent"),
        ("snake_case", "$pageview", "pageview"),
        ("snake_case", "결제 완료", "결제_완료"),
        ("boolean", "Yes", True),
        ("boolean", 0, False),
        ("base64", "w6TDtg", "äö"),
        ("base64", "Pz8_Pg", "???>"),
        ("json", '{"a": [1]}', {"a": [1]}),
        ("json", [1], [1]),
        ("first", [3, 4], 3),
        ("last", [], None),
        ("lower", "AbC", "abc"),
        ("upper", "AbC", "ABC"),
    ],
)
def test_transforms(name: str, value: Any, expected: Any) -> None:
    assert TRANSFORMS[name](value) == expected


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.timezones()),  # noqa: DTZ001
    st.sampled_from(["auto", "seconds", "milliseconds", "microseconds"]),
)
def test_every_way_of_writing_a_time_is_the_same_time(moment: datetime, precision: str) -> None:
    offset = moment.utcoffset()
    assert offset is not None
    moment = moment.astimezone(timezone(timedelta(minutes=offset // timedelta(minutes=1))))
    text = moment.isoformat(timespec=precision)
    for written in (text, text.replace("+00:00", "Z"), text.replace("T", " "), f"{text[:-6]} {text[-6:]}"):
        assert TRANSFORMS["iso8601"](written) == parse_instant(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ms", "1433221332"),
        ("ms", "soon"),
        ("s", True),
        ("iso8601", 5),
        ("iso8601", "2015-06-02"),
        ("number", "1_000"),
        ("number", "inf"),
        ("number", "9" * 5000),
        ("number", None),
        ("text", []),
        ("lower", True),
        ("text", float("nan")),
        ("text", 10**400),
        ("us", 1e300),
        ("iso8601", "2015-06-02 25:00Z"),
        ("iso8601", "2015-W06-2T00:00Z"),
        ("integer", "3.5"),
        ("boolean", "maybe"),
        ("base64", "%%%"),
        ("base64", "/w"),
        ("json", "{"),
        ("json", "[" * 100_000),
        ("json", '"\\ud800"'),
        ("first", "abc"),
    ],
)
def test_what_a_transform_cannot_read_is_a_value_error(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        TRANSFORMS[name](value)
