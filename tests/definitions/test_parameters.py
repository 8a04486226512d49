"""Parameters: values that whoever loads a file may set, behind its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.definitions import load, loads, read_parameters
from stream.engine import compile_plan
from stream.errors import DefinitionError

TEXT = """
version: 1
timezone: $zone
parameters:
  wait: {type: duration, default: 30m, description: how long a cart stands}
  n:    {type: number, default: 3}
  paid: {type: list, default: [order_completed, order_paid]}
  room: {type: text, default: kitchen}
  zone: {type: text, default: Asia/Seoul}
events:
  cart: {type: product_added}
  buy:  {type: $paid, where: "room == $room and room in $paid"}
features:
  n: {count: buy, last: $wait}
segments:
  left: {description: Left for $wait and $5, when: {all: ["n < $n", {seq: [{do: cart}, {not: buy, for: $wait}]}]}}
"""


def written(folder: Path, text: str = TEXT) -> Path:
    file = folder / "shop.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_with_values_given_is_the_file_with_the_values_written_out(tmp_path: Path) -> None:
    plain = TEXT.replace("$wait", "45m").replace("< $n", "< 2.5").replace("$paid", "[a, b]", 1)
    plain = plain.replace("$room", "'x y'").replace("in $paid", "in ['a', 'b']").replace("$zone", "UTC")
    plain = plain[: plain.index("parameters:")] + plain[plain.index("events:") :]
    given = load([f"{written(tmp_path)}?wait=45m&n=2.5&paid=a|b&room=x y&zone=UTC"])
    assert compile_plan(given).hash == compile_plan(loads(plain)).hash
    assert compile_plan(given).hash != compile_plan(load([written(tmp_path)])).hash
    assert given.segments["left"].description == "Left for 45m and $5"


def test_parameters_can_be_asked_for(tmp_path: Path) -> None:
    found = {each.name: each for each in read_parameters(f"{written(tmp_path)}?paid=a|b")}
    assert list(found) == ["wait", "n", "paid", "room", "zone"]
    assert (found["wait"].kind, found["wait"].shown) == ("duration", "30m")
    assert found["wait"].description == "how long a cart stands"
    assert (found["paid"].default, found["paid"].value) == (("order_completed", "order_paid"), ("a", "b"))


def test_what_is_given_wrong_is_told_with_its_column(tmp_path: Path) -> None:
    file = written(tmp_path)
    name = f"{file}?wait=3&wat=1h&n=many&paid="
    with pytest.raises(DefinitionError) as caught:
        load([name])
    at = len(str(file)) + 2
    assert [(problem.file, problem.column, problem.message) for problem in caught.value.problems] == [
        (name, at, "parameter `wait` must be a duration like 90s, 30m, 2h, 7d or 4w, not `3`; say the unit, like `3m`"),
        (name, at + 7, f"{file} has no parameter `wat`; did you mean `wait`?"),
        (name, at + 14, "parameter `n` must be a number, not `many`"),
        (name, at + 21, "parameter `paid` must be a list of texts that are not empty"),
    ]  # fmt: skip


def test_a_file_without_parameters_takes_none(tmp_path: Path) -> None:
    text = "version: 1\nevents: {b: {type: order_completed}}\nsegments: {s: {when: {do: b}}}\n"
    with pytest.raises(DefinitionError, match="has no parameter `x`; it has none"):
        load([f"{written(tmp_path, text)}?x=1"])


def test_a_parameter_that_nothing_uses_is_warned_of() -> None:
    text = TEXT.replace('when: {all: ["n < $n", ', 'when: {all: ["n < 2", ')
    unused = "nothing uses parameter `n`; write `$n` where it belongs"
    assert unused in [warning.message for warning in loads(text).warnings]
    assert unused not in [warning.message for warning in loads(TEXT).warnings]


def test_files_that_go_together_may_name_the_same_thing_alike(tmp_path: Path) -> None:
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    events = "events: {buy: {type: $paid, where: 'value > 1'}}\nfeatures: {orders: {count: buy, last: 1d}}\n"
    paid = "parameters: {paid: {type: list, default: order_completed}}\n"
    one.write_text(
        f"version: 1\ntimezone: Asia/Seoul\n{paid}{events}segments: {{a: {{when: 'orders > 1'}}}}\n", "utf-8"
    )
    other.write_text(f"version: 1\n{paid}{events}segments: {{b: {{when: 'orders > 2'}}}}\n", "utf-8")
    assert list(load([one, other]).segments) == ["a", "b"]
    with pytest.raises(DefinitionError) as caught:
        load([one, f"{other}?paid=order_paid"])
    assert [problem.message for problem in caught.value.problems] == [
        f"the selector name `buy` is taken by {one}:4; names are unique"
    ]


@pytest.mark.parametrize("feature", ["{count: buy, calendar: day}", "{days: buy}"])
def test_days_of_two_time_zones_are_not_the_same(tmp_path: Path, feature: str) -> None:
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    rest = f"events: {{buy: {{type: order_completed}}}}\nfeatures: {{orders: {feature}}}\n"
    one.write_text(
        f"version: 1\ntimezone: Asia/Seoul\n{rest}segments: {{a: {{when: 'orders > 1'}}}}\n", "utf-8"
    )
    other.write_text(f"version: 1\n{rest}segments: {{b: {{when: 'orders > 1'}}}}\n", "utf-8")
    with pytest.raises(DefinitionError, match="the feature name `orders` is taken"):
        load([one, other])
