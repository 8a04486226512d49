"""Every pack does what its story says, and its story tells of every segment, tier and threshold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from difflib import unified_diff

import pytest

from stream.definitions import Parameter, load, read_parameters
from stream.durations import parse_duration
from stream.engine import compile_plan
from stream.errors import DefinitionError
from stream.instants import format_instant
from stream.packs import locate, pack_names
from tests.docs.examples import Expected, part_of
from tests.packs.stories import all_stories, further, plainly, plan_of, play, story_of, told_of


@pytest.mark.parametrize("pack", pack_names())
def test_the_story_comes_out_as_told(pack: str) -> None:
    story = story_of(pack)
    records = play(plan_of(pack), story.events)
    told, found = sorted(map(plainly, story.changes)), sorted(map(plainly, records))
    difference = unified_diff(told, found, "expected.txt", "the engine", lineterm="", n=0)
    assert told == found, "\n".join(difference)
    for change in story.changes:
        matching = [record for record in records if plainly(record) == plainly(change)]
        parts = further(change)
        assert any(all(part_of(r, path) == value for path, value in parts.items()) for r in matching), (
            f"{plainly(change)}: {parts} is not in {matching}"
        )


@pytest.mark.parametrize("pack", pack_names())
def test_somebody_gets_into_each_segment_and_somebody_nearly_does(pack: str) -> None:
    story, definitions = story_of(pack), plan_of(pack).definitions
    places = {*definitions.segments}
    places |= {f"{name}.{tier.name}" for name, ladder in definitions.ladders.items() for tier in ladder.tiers}
    entered = {
        (place_of(change), change["user.id"]) for change in story.changes if change["type"] != "exited"
    }
    assert places - {place for place, _ in entered} == set(), "nobody gets in"
    assert places - {one.place for one in story.nearly} == set(), "nobody nearly gets in"
    assert {one.place for one in story.nearly} - places == set(), "no such segment or tier"
    users = {event.get("user_id") for event in story.events}
    for one in story.nearly:
        assert one.user in users
        assert (one.place, one.user) not in entered, f"{one.user} does get into {one.place}"


def place_of(change: Expected) -> str:
    """The segment, or the ladder's tier that is entered."""
    tier = change["segment.value"]
    return change["segment.key"] if tier is None else f"{change['segment.key']}.{tier}"


def mutants() -> Iterator[tuple[str, Parameter, str]]:
    """Every parameter of every pack, a little lower and a little higher; words are replaced by others."""
    for pack in pack_names():
        for parameter in read_parameters(locate(f"pack:{pack}")):
            for value in others(parameter):
                yield pack, parameter, value


def others(parameter: Parameter) -> list[str]:
    """Values close to that of a parameter, for a threshold one on either side."""
    if parameter.kind == "duration":
        length = parse_duration(parameter.shown)
        return [f"{length * 9 // 10}ms", f"{length * 11 // 10}ms"]
    if parameter.kind == "number":
        number = float(parameter.shown)
        step = 1 if number.is_integer() and number <= 20 else number / 10
        return [f"{number - step:g}", f"{number + step:g}"]
    return ["Asia/Seoul"] if parameter.name == "timezone" else ["something_else"]


@pytest.mark.usefixtures("quick_yaml")
@pytest.mark.parametrize("pack", pack_names())
def test_a_changed_threshold_is_noticed(pack: str) -> None:
    """Each parameter on its own, in both directions: the story, or what may be done about it, must be another one."""
    story = story_of(pack)

    def outcome(given: str) -> Counter[str]:
        records = play(plan_of(f"{pack}{given}"), story.events)
        return Counter(f"{plainly(record)} {part_of(record, 'policy.suppressed_by')}" for record in records)

    told = outcome("")
    unnoticed, refused = [], Counter[str]()
    for name, parameter, value in mutants():
        if name != pack:
            continue
        try:
            if outcome(f"?{parameter.name}={value}") == told:
                unnoticed.append(f"{parameter.name}={value}")
        except DefinitionError:  # beyond another parameter, as the end of a window beyond its start
            refused[parameter.name] += 1
    assert all(times == 1 for times in refused.values()), f"{refused} cannot be changed at all"
    assert unnoticed == []


@pytest.mark.parametrize("pack", pack_names())
def test_parameters_are_explained(pack: str) -> None:
    parameters = read_parameters(locate(f"pack:{pack}"))
    assert parameters
    assert [parameter.name for parameter in parameters if not parameter.description] == []


def test_stories_do_not_disturb_each_other() -> None:
    packs = pack_names()
    events, end = all_stories(packs)
    plan = compile_plan(load([locate(f"pack:{pack}") for pack in packs]))
    records = play(plan, (*events, {"type": "clock_advanced", "time": format_instant(end)}))
    for pack in packs:
        told, found = told_of(pack, records)
        assert found == told, pack


def test_all_packs_go_together_and_need_no_advice() -> None:
    definitions = load([locate(f"pack:{pack}") for pack in pack_names()])
    assert definitions.warnings == ()
    groups = Counter[str]()
    for pack in pack_names():
        alone = load([locate(f"pack:{pack}")])
        assert alone.warnings == ()
        assert all(segment.description for segment in alone.segments.values())
        assert all(ladder.description for ladder in alone.ladders.values())
        groups.update({segment.actions.group for segment in alone.segments.values()} - {None})
    assert [group for group, packs in groups.items() if packs > 1] == [], "a group of two packs"
