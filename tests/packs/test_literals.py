"""Every number and duration that stands in a pack's definitions, not only its parameters, is told of by the story."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from stream.definitions import loads
from stream.durations import DAY, parse_duration
from stream.engine import compile_plan
from stream.errors import DefinitionError
from stream.packs import pack_names, pack_path
from tests.docs.examples import part_of
from tests.packs.stories import plainly, play, story_of

# A number or a duration of its own: no part of a name (d10), of `$name` or of a quoted word.
_LITERAL: Final = re.compile(r"(?<![\w.$'-])\d+(?:\.\d+)?(?:ms|[smhdw])?(?![\w'.])")
_PARAMETERS: Final = re.compile(r"^parameters:\n(?:(?:[ #].*)?\n)*", re.MULTILINE)
_FOR_PEOPLE: Final = re.compile(r"^\s*(?:#|description:).*$", re.MULTILINE)

# What no story could tell, each with the reason: pack, and the literal in its line.
_NO_RHYTHM_YET: Final = (
    "stands for a rhythm that is not known; whatever is shorter than the other side of max is the same"
)
_UNTELLABLE: Final[dict[tuple[str, str], str]] = {
    (
        "fashion",
        'when: "since_bought >= max($quiet_after, coalesce($quiet_factor * buying_rhythm, <0d>))"',
    ): _NO_RHYTHM_YET,
    (
        "retail",
        '- {name: at_risk,     when: "since_order > max($risk_after, coalesce(2 * order_rhythm, <0>))"}',
    ): _NO_RHYTHM_YET,
    (
        "travel",
        'when: "since_booking > max($long_away, coalesce($away_rhythms * booking_rhythm, <0>))"',
    ): _NO_RHYTHM_YET,
    ("retail", "actions: {priority: <1>, group: retail_reminders}"): (
        "a step makes it the equal of cart_abandoned's 2, but what fills a cart ends browse_abandoned, "
        "so that the two are never open in this order"
    ),
}


@dataclass(frozen=True)
class Literal:
    """A number or a duration in the text of a pack's definitions; its line shows it as in `last: <90d>`."""

    start: int
    shown: str
    line: str


def literals(text: str) -> Iterator[Literal]:
    """All that stand below the parameters, outside comments and descriptions."""
    block = _PARAMETERS.search(text)
    assert block is not None
    passed_over = [match.span() for match in _FOR_PEOPLE.finditer(text)]
    for match in _LITERAL.finditer(text, block.end()):
        if not any(start <= match.start() < end for start, end in passed_over):
            before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()].lstrip()
            after = text[match.end() : text.index("\n", match.end())]
            yield Literal(match.start(), match[0], f"{before}<{match[0]}>{after}")


def neighbours(shown: str) -> list[str]:
    """A literal a little higher and a little lower, as the thresholds that are parameters."""
    if shown[-1].isalpha():
        length = parse_duration(shown)
        return [f"{length * 11 // 10}ms", f"{length * 9 // 10}ms"]
    number = float(shown)
    step = 1 if number.is_integer() and number <= 20 else number / 10
    return [f"{number + step:g}", f"{number - step:g}"]


def test_what_counts_as_a_literal() -> None:
    text = """parameters:
  k2: {type: number, default: 5}

# Since 7 days.
features:
  d10: {count: x, between: [90d, 30d]}
segments:
  s:
    description: At least 3
    when: "d10 >= $k2 and d10 / 2 < 0.5 and size != 'v 4'"
"""
    assert [literal.line for literal in literals(text)] == [
        "d10: {count: x, between: [<90d>, 30d]}",
        "d10: {count: x, between: [90d, <30d>]}",
        """when: "d10 >= $k2 and d10 / <2> < 0.5 and size != 'v 4'\"""",
        """when: "d10 >= $k2 and d10 / 2 < <0.5> and size != 'v 4'\"""",
    ]
    assert [neighbours(shown) for shown in ("90d", "2", "0.5")] == [
        [f"{99 * DAY}ms", f"{81 * DAY}ms"],
        ["3", "1"],
        ["0.55", "0.45"],
    ]


@pytest.mark.usefixtures("quick_yaml")
@pytest.mark.parametrize("pack", pack_names())
def test_a_changed_literal_is_noticed(pack: str) -> None:
    """Each on its own, up or down: the story, or what may be done about it, must be another one."""
    assert unnoticed(pack) == {line for name, line in _UNTELLABLE if name == pack}


def unnoticed(pack: str) -> set[str]:
    """The literals of a pack that can be changed in both directions while its story stays the same."""
    text = pack_path(pack).read_text("utf-8")
    events = story_of(pack).events

    def outcome(text: str) -> list[str]:
        return sorted(map(told, play(compile_plan(loads(text, pack)), events)))

    def is_noticed(literal: Literal) -> bool:
        """Whether a neighbour that the language takes changes the story, or it takes none."""
        end, accepted = literal.start + len(literal.shown), False
        for other in neighbours(literal.shown):
            try:
                changed = outcome(f"{text[: literal.start]}{other}{text[end:]}")
            except DefinitionError:  # as a window that begins after its end
                continue
            if changed != as_told:
                return True
            accepted = True
        return not accepted

    as_told = outcome(text)
    return {one.line for one in literals(text) if not is_noticed(one)}


def told(record: dict[str, Any]) -> str:
    """What a story tells of a change, what it brings along and whether it may be acted upon."""
    context = json.dumps(record.get("context"), sort_keys=True)
    return f"{plainly(record)} {part_of(record, 'policy.suppressed_by')} {context}"
