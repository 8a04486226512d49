"""Scenarios as people write them become events, in the order of their times."""

from __future__ import annotations

import pytest

from stream.packs.scenario import read_scenario

TEXT = """
# Two days.
shirt = {"product_id": "shirt", "price": 30}
two = [@shirt, @shirt]

11-03 09:00  mia: order_completed  {"items": @two, "value": 60}
11-02 21:00  mia: product_viewed   {"product_id": "p#"}  ×2 every 10m
21:05        tom: page_viewed      {"id": "x", "received_at": "22:00"}
11-04 00:00  clock_advanced
"""


def test_events_stand_in_the_order_of_their_times_and_are_numbered_per_user() -> None:
    events = read_scenario(TEXT)
    assert [(event["time"][5:16], event.get("id")) for event in events] == [
        ("11-02T21:00", "mia-2"),
        ("11-02T21:05", "x"),
        ("11-02T21:10", "mia-3"),
        ("11-03T09:00", "mia-1"),
        ("11-04T00:00", None),
    ]
    assert [event.get("product_id") for event in events] == ["p0", None, "p1", None, None]
    assert events[3]["items"] == [{"product_id": "shirt", "price": 30}] * 2
    assert events[1]["received_at"] == "2026-11-02T22:00:00.000Z"
    assert events[4] == {"type": "clock_advanced", "time": "2026-11-04T00:00:00.000Z"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("mia: page_viewed", "a line starts with a time"),
        ("09:00  mia: page_viewed  {oops}", "no JSON in"),
        ('09:00  mia: order_completed  {"items": [@hat]}', "@hat has no meaning yet"),
    ],
)
def test_what_cannot_be_read_is_told(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_scenario(line)
