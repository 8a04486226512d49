"""Traits: facts about a user, as the last write of each leaf by (time, id).

`null` deletes a leaf, and a scalar or null at an ancestor deletes what is older below it. A deletion is itself a write
and stays remembered, so that an older write that arrives late does not come back to life.
"""

from __future__ import annotations

from typing import Any

from stream.engine.cells import to_scalar
from stream.engine.profile import Profile
from stream.events import Event

CAPACITY = 256
"""Leaves kept per user, the newest writes."""


def leaves_of(traits: dict[str, Any]) -> list[tuple[str, Any]]:
    """(path, value) of the leaves of an event's traits, as many as a user can have."""
    found: list[tuple[str, Any]] = []
    _gather(traits, "", found)
    return found


def _gather(node: dict[str, Any], prefix: str, found: list[tuple[str, Any]]) -> None:
    for name, value in node.items():
        if len(found) >= CAPACITY:
            return
        if type(value) is dict:
            _gather(value, f"{prefix}{name}.", found)
        else:
            found.append((prefix + name, value))


def write_traits(profile: Profile, event: Event, leaves: list[tuple[str, Any]]) -> None:
    """Adds the leaves of an event's traits."""
    traits = profile.traits
    _write(traits, leaves, event.time, event.id)
    if len(traits) > CAPACITY:
        oldest = sorted((entry[0], entry[1], path) for path, entry in traits.items())
        for _, _, path in oldest[: len(traits) - CAPACITY]:
            del traits[path]
    profile.traits = traits


def _write(traits: dict[str, list[Any]], leaves: list[tuple[str, Any]], time: int, event_id: str) -> None:
    for path, value in leaves:
        known = traits.get(path)
        if known is not None and (known[0], known[1]) > (time, event_id):
            continue
        if _is_dead(traits, path, time, event_id):
            continue
        below = path + "."
        replaced = False
        for other in [other for other in traits if other.startswith(below)]:
            if (traits[other][0], traits[other][1]) < (time, event_id):
                del traits[other]
            else:
                replaced = True  # a newer write put leaves below: this one only deletes what is older
        traits[path] = [time, event_id, None if replaced else to_scalar(value)]
        at = path.rfind(".")
        while at != -1:
            if (ancestor := traits.get(path[:at])) is not None:
                ancestor[2] = None
            at = path.rfind(".", 0, at)


def _is_dead(traits: dict[str, list[Any]], path: str, time: int, event_id: str) -> bool:
    """Whether a newer scalar or null at an ancestor has deleted this leaf."""
    at = path.rfind(".")
    while at != -1:
        ancestor = traits.get(path[:at])
        if ancestor is not None and (ancestor[0], ancestor[1]) > (time, event_id):
            return True
        at = path.rfind(".", 0, at)
    return False
