"""The comparison is of programs that do the same, or it is none."""

from __future__ import annotations

import json
import sys
from collections import Counter
from importlib import import_module
from itertools import islice
from typing import Any

import pytest

from stream.bench.machine import ROOT
from stream.bench.peers import JOB, PEERS, compare, last_events, orderly
from stream.definitions import load
from stream.engine import compile_plan
from stream.errors import OperatorError
from stream.ingest import Ingest
from stream.instants import parse_instant
from stream.runtime.embedded import EmbeddedRuntime
from stream.simulate import Shop, simulate

LOG = orderly(islice(simulate(Shop(users=150, days=14, rate=4)), 6_000))
LAST = last_events(LOG)


@pytest.fixture(scope="module")
def job() -> Any:
    sys.path.insert(0, str(ROOT / "benchmarks" / "peers"))
    try:
        return import_module("job")
    finally:
        sys.path.pop(0)


def right() -> Counter[Any]:
    plan = compile_plan(load([JOB]))
    events, _ = Ingest(event_type=plan.event_type).read_batch([(line, 0, None) for line in LOG])
    changes = [json.loads(change.value) for change in EmbeddedRuntime(plan).feed(0, events)]
    return Counter(
        (each["user"]["id"], each["segment"]["key"], each["type"], parse_instant(each["effective_at"]))
        for each in changes
    )


def by_hand(job: Any, timers: bool) -> Counter[Any]:
    """What the programs of benchmarks/peers do, without an engine."""
    states: dict[str, Any] = {}
    told: Counter[Any] = Counter()
    time = 0
    for line in LOG:
        event = json.loads(line)
        user, time = job.user_of(event), job.instant_of(event["time"])
        if event["type"] in job.MATTERS:
            states[user], changes = job.apply(states.get(user), event["type"], time)
            told.update((user, *change) for change in changes)
    if timers:
        for user, state in states.items():
            told.update((user, *change) for change in job.advance(state, time) if state)
    return told


def test_the_orderly_log_has_nothing_late_nothing_twice_and_no_wrong_clock() -> None:
    events = [json.loads(line) for line in LOG]
    times = [parse_instant(event["time"]) for event in events]
    assert times == sorted(times)
    assert len({event["id"] for event in events}) == len(events) > 5_000
    assert all(event["received_at"] == event["time"] for event in events)


def test_the_job_by_hand_gives_what_our_definitions_give(job: Any) -> None:
    ours, theirs = right(), by_hand(job, timers=True)
    assert ours == theirs
    assert {change[1:3] for change in ours} == {
        ("cart_abandoned", "entered"),
        ("cart_abandoned", "exited"),
        ("keen_browser", "entered"),
        ("keen_browser", "exited"),
    }


def test_what_an_engine_without_timers_never_tells_is_counted(job: Any) -> None:
    figures = compare(right(), by_hand(job, timers=False), PEERS["quix"], LAST)
    assert figures["never told for want of timers"] > 0
    with pytest.raises(OperatorError, match="stock Faust tells other changes than our worker"):
        compare(right(), by_hand(job, timers=False), PEERS["stock-faust"], LAST)


def test_another_answer_is_no_comparison(job: Any) -> None:
    told = by_hand(job, timers=True)
    user, segment, type_, at = next(iter(told))
    for wrong in (
        told + Counter([("nobody", segment, type_, at)]),
        told - Counter([(user, segment, type_, at)]),
    ):
        with pytest.raises(OperatorError, match="cannot be compared: 1 of"):
            compare(right(), wrong, PEERS["kafka-streams"], LAST)
