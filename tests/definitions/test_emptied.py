"""What conditions say once all windows are empty, held against the engine: who leaves then, and who does not."""

from __future__ import annotations

from typing import Any

import pytest

from stream.definitions import loads
from stream.definitions.emptied import always_unknown, stuck
from stream.durations import DAY
from stream.engine import compile_plan
from stream.events import Event
from stream.runtime.embedded import EmbeddedRuntime

START = 1_790_000_000_000
FEATURES = """
version: 1
events: {buy: {type: order_completed}, view: {type: product_viewed}}
features:
  mean_30d: {mean: buy.value, last: 30d}
  least:    {min: buy.value, last: 30d}
  newest:   {last_value: buy.channel, last: 30d}
  favorite: {top: buy, by: channel, last: 30d}
  gap:      {mean_gap: buy, last: 30d}
  few:      {count: buy, last: 30d, min_n: 2}
  older:    {mean: buy.value, between: [40d, 1d]}
  sitting:  {max: buy.value, session: 1d}
  monthly:  {mean: buy.value, calendar: month}
  orders:   {count: buy, last: 30d}
  spent:    {sum: buy.value, last: 60d}
  warmth:   {count: buy, half_life: 7d}
  silence:  {since_last: buy}
  recent:   {since_last: buy, last: 30d}
  ever:     {mean: buy.value}
segments: {s: {when: "%s"}}
"""
STUCK = [
    "mean_30d >= 50",
    "least > 10 and ever > 10",
    "newest == 'web'",
    "favorite in ['web', 'app']",
    "not (newest != 'web')",
    "gap < 5d",
    "few >= 2",
    "older >= 50",
    "sitting >= 50",
    "monthly >= 50",
    "mean_30d / 2 >= 25",
    "max(mean_30d, 10) >= 50",
    "mean_30d >= 50 or orders >= 2",
    "mean_30d >= 50 and ever >= 50",
    "recent > 1d",
]
ENDING = [
    "exists(mean_30d) and mean_30d >= 50",
    "coalesce(mean_30d, 0) >= 50",
    "mean_30d >= 50 and orders >= 1",
    "mean_30d >= 50 and spent > 0",
    "mean_30d >= 50 and silence < 45d",
    "mean_30d >= 50 and warmth > 0.5",
    "orders >= 2",
    "recent <= 5d",
    "few >= 2 and exists(few)",
]


def held(text: str) -> tuple[Any, dict[str, Any]]:
    definitions = loads(FEATURES % text)
    return definitions.segments["s"].when, definitions.features


def members_after(text: str) -> list[int]:
    """Members of the segment after each of two orders, after six days, and after two years of silence."""
    runtime = EmbeddedRuntime(compile_plan(loads(FEATURES % text)))
    found = []
    for number in range(2):
        at = START + number * DAY
        event = Event(type="order_completed", time=at, id=f"e{number}", user_id="u", value=60, channel="web")
        event.user, event.record_time = "u", at
        runtime.feed(0, [event])
        found.append(runtime.members()["s"])
    for later in (6 * DAY, 730 * DAY):
        runtime.advance(0, START + later)
        found.append(runtime.members()["s"])
    return found


@pytest.mark.parametrize("text", STUCK)
def test_who_stays_for_good_is_warned_of(text: str) -> None:
    assert stuck(*held(text))
    assert members_after(text)[-1] == 1


@pytest.mark.parametrize("text", ENDING)
def test_who_leaves_with_the_window_is_not(text: str) -> None:
    assert not stuck(*held(text))
    *before, last = members_after(text)
    assert max(before) == 1
    assert last == 0


@pytest.mark.parametrize(
    "text", ["silence > max(3 * gap, 7d)", "silence - gap > 7d", "ever >= 50", "recent < 1d"]
)
def test_what_silence_makes_true_or_nothing_ends_is_let_pass(text: str) -> None:
    assert not stuck(*held(text))


def test_an_exit_that_can_only_be_unknown() -> None:
    assert always_unknown(*held("mean_30d < 20"))
    assert always_unknown(*held("mean_30d < 20 or newest == 'app'"))
    assert not always_unknown(*held("mean_30d < 20 or traits.gone"))
    assert not always_unknown(*held("mean_30d < 20 or orders == 0"))
