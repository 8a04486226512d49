"""Loading: several files as one, what holds, and what does not change when only names do."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.definitions import load, loads
from stream.engine import compile_plan
from stream.errors import DefinitionError
from stream.packs import pack_path

TEXT = """
version: 1
events: {buy: {type: order_completed}, view: {type: product_viewed}}
features: {orders: {count: buy, last: 30d}}
segments: {s: {description: Buyers, when: {all: ["orders > 1", {do: view}]}}}
"""


def test_the_shipped_pack_holds_and_needs_no_advice() -> None:
    assert load([pack_path("retail")]).warnings == ()


def test_files_are_one_whatever_their_order(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("\ufeffversion: 1\nsegments: {s: {when: 'orders > 1'}}\n", encoding="utf-8")
    second.write_text(
        "version: 1\nevents: {buy: {type: order_completed}}\nfeatures: {orders: {count: buy, last: 30d}}\n",
        encoding="utf-8",
    )
    plans = [compile_plan(load(paths)) for paths in ([first, second], [second, first])]
    assert plans[0].hash == plans[1].hash


def test_names_and_descriptions_are_not_the_meaning() -> None:
    plan = compile_plan(loads(TEXT))
    renamed = (
        TEXT.replace("orders", "purchases").replace("buy", "purchase").replace("Buyers", "Those who buy")
    )
    assert compile_plan(loads(renamed)).hash == plan.hash
    assert compile_plan(loads(TEXT.replace("> 1", "> 2"))).hash != plan.hash


def test_what_cannot_be_read_is_told_beside_everything_else(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"version: 1\xff")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("version: 1\nsegments: {s: {when: 'unknown_here > 1', ttl: 3}}\n", encoding="utf-8")
    with pytest.raises(DefinitionError) as caught:
        load([tmp_path / "none.yaml", binary, wrong])
    assert [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems] == [
        "binary.yaml:1:1: not UTF-8 text (byte 10)",
        "none.yaml:1:1: cannot be read: No such file or directory",
        "wrong.yaml:2:47: ttl must be a duration like 90s, 30m, 2h, 7d or 4w, not `3`; say the unit, like `3m`",
    ]


def test_a_section_with_nothing_below_it_yet_is_empty() -> None:
    assert loads("version: 1\nevents:\nsegments:\n").segments == {}


FORMULAS = """
version: 1
events: {buy: {type: order_completed}, view: {type: product_viewed}}
features:
  orders:  {count: buy}
  looks:   {count: view, by: product_id}
  silence: {since_last: buy}
  points:  {formula: "orders * 10 + coalesce(traits.bonus, 0)"}
  keen:    {formula: "looks >= 3 and orders > 5"}
  quiet:   {formula: "silence - 2d"}
segments:
  a: {when: {all: ["points >= 30", {not: "quiet > 1d"}]}, exit: "points < 10"}
  b: {for_each: product_id, when: "keen or points in [7, 8] or min(points, 3) > 2"}
ladders:
  c: {tiers: [{name: t, when: "points / 2 >= 5"}]}
"""


def test_a_formula_means_what_it_says_wherever_it_stands() -> None:
    plain = FORMULAS[: FORMULAS.index("  points:")] + FORMULAS[FORMULAS.index("segments:") :]
    for name, meaning in (
        ("keen", "(looks >= 3 and orders > 5)"),
        ("quiet", "(silence - 2d)"),
        ("points", "(orders * 10 + coalesce(traits.bonus, 0))"),
    ):
        plain = plain.replace(name, meaning)
    definitions = loads(FORMULAS)
    assert definitions.warnings == ()
    assert compile_plan(definitions).hash == compile_plan(loads(plain)).hash
    assert list(definitions.features) == ["orders", "looks", "silence"]


def test_a_formula_that_nothing_uses_is_looked_into_and_warned_of() -> None:
    unused = FORMULAS.replace("keen or ", "looks >= 3 or ")
    assert [warning.message for warning in loads(unused).warnings] == ["feature `keen` is read by nothing"]
    with pytest.raises(DefinitionError, match="unknown feature `looky`"):
        loads(unused.replace("looks >= 3 and", "looky >= 3 and"))
