"""Makes a case on which oracle and engine disagree as small as it gets, and prints it.

python -m tests.oracle.smaller FAMILY SEED
"""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import yaml

from stream.errors import DefinitionError
from tests.oracle.engine_run import PLAIN, Manner, by_engine, by_oracle
from tests.oracle.strategies import Case, seeded
from tests.oracle.timeline import Settings, milliseconds

OPTIONAL = (
    "exit",
    "ttl",
    "min_dwell",
    "renew",
    "demote_after",
    "min_n",
    "last",
    "where",
    "by",
    "from",
    "restart",
)
OPTIONAL += (
    "without",
    "timezone",
    "name",
    "anchor",
    "items",
    "props",
    "traits",
    "value",
    "channel",
    "id",
    "actions",
    "attach",
    "for_each",
)
OPTIONAL += ("cooldown", "cap", "holdout", "consent", "quiet_hours", "priority", "since", "remove", "max")


def disagrees(case: Case, manner: Manner = PLAIN) -> bool:
    """False also where taking something away has broken the definitions."""
    try:
        return by_engine(case, manner) != by_oracle(case)
    except (DefinitionError, ValueError, KeyError, TypeError, StopIteration):
        return False


def smaller(case: Case, fails: Callable[[Case], bool] = disagrees) -> Case:
    """The smallest case found by taking away one thing after the other while it still fails."""
    shrunk = True
    while shrunk:
        shrunk = False
        for candidate in candidates(case):
            if fails(candidate):
                case, shrunk = candidate, True
                break
    return case


def candidates(case: Case) -> Iterator[Case]:
    records = case.records
    size = len(records) // 2
    while size:
        for start in range(0, len(records), size):
            yield replace(case, records=records[:start] + records[start + size :])
        size //= 2
    if case.settings != Settings():
        yield replace(case, settings=Settings())
        for name in ("lateness", "idle_after", "dedup_window"):
            default = getattr(Settings(), name)
            if getattr(case.settings, name) != default:
                yield replace(case, settings=replace(case.settings, **{name: default}))
    if case.until is not None:
        yield replace(case, until=None)
    if any(record.partition for record in records):
        yield replace(case, records=tuple(replace(record, partition=0) for record in records))
    if any(record.record_time is not None for record in records):
        yield replace(case, records=tuple(replace(record, record_time=None) for record in records))
    for raw in variants(case.raw):
        yield replace(case, raw=raw)
    for number, record in enumerate(records):
        for name in ("items", "props", "traits", "value", "channel"):
            if name in record.event:
                event = {key: value for key, value in record.event.items() if key != name}
                changed = replace(record, event=event)
                yield replace(case, records=(*records[:number], changed, *records[number + 1 :]))


def variants(raw: Any) -> Iterator[Any]:
    """The same definitions with one thing less."""
    for path, node in walk(raw):
        if path[:1] == ("events",) and len(path) != 2:
            continue
        if isinstance(node, dict):
            for key in node:
                if key in OPTIONAL or path in (("segments",), ("ladders",), ("features",), ("events",)):
                    yield edited(raw, (*path, key))
            for kind in ("all", "any", "of"):
                for child in node.get(kind, ()) if isinstance(node.get(kind), list) else ():
                    yield edited(raw, path, child)
            if set(node) == {"not"}:
                yield edited(raw, path, node["not"])
        elif isinstance(node, list) and len(node) > 1 and path[-1] != "between":
            for index in range(len(node)):
                yield edited(raw, path, node[:index] + node[index + 1 :])
        elif isinstance(node, str):
            pieces = re.split(r" (?:and|or) ", node)
            if len(pieces) > 1:
                for piece in pieces:
                    yield edited(raw, path, piece.removeprefix("(").removesuffix(")"))


def walk(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    yield path, node
    if isinstance(node, dict):
        for key, value in node.items():
            yield from walk(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from walk(value, (*path, index))


MISSING = object()


def edited(raw: Any, path: tuple[Any, ...], value: Any = MISSING) -> Any:
    raw = copy.deepcopy(raw)
    if not path:
        return copy.deepcopy(value)
    *way, last = path
    node = raw
    for step in way:
        node = node[step]
    if value is MISSING:
        del node[last]
    else:
        node[last] = copy.deepcopy(value)
    return raw


def shown(case: Case, manner: Manner = PLAIN) -> str:
    """The case and both answers, for people."""
    lines = [yaml.safe_dump(case.raw, sort_keys=False), f"{case.settings} until={case.until} {manner}"]
    start = min((milliseconds(record.event["time"]) for record in case.records), default=0)
    for record in case.records:
        event = {**record.event, "time": f"+{milliseconds(record.event['time']) - start}"}
        lines.append(
            json.dumps(event) + (f" record {record.record_time - start}" if record.record_time else "")
        )
    lines.append(f"times from {start}")
    oracle, engine = by_oracle(case), by_engine(case, manner)
    for name, rows in (("oracle", oracle), ("engine", engine)):
        lines.append(name)
        for each in rows:
            told = {key: value for key, value in each.items() if value not in (None, False)}
            told["effective_at"] = f"+{each['effective_at'] - start}"
            lines.append(("    " if each in oracle and each in engine else "  ! ") + str(told))
    return "\n".join(lines)


if __name__ == "__main__":
    print(shown(smaller(seeded(sys.argv[1], int(sys.argv[2])))))
