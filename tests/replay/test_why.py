"""Why somebody was not in a segment, at an instant of a replay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stream.definitions import loads
from stream.durations import MINUTE
from stream.engine import Plan, TimeSettings, compile_plan
from stream.replay import Job
from stream.replay.why import Ask, explain_all
from tests.replay.test_driver import START, event

DEFINITIONS = """
version: 1
events:
  cart: {type: product_added}
  buy: {type: order_completed}
features: {spent: {sum: buy.value}, carts: {count: cart}}
segments:
  abandoned: {when: {seq: [{do: cart}, {not: buy, for: 45m}]}}
  spender: {when: "spent >= 100"}
  two: {when: "carts >= 2"}
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return compile_plan(loads(DEFINITIONS))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    lines = [
        event("a", "product_added", 0),
        event("b", "order_completed", 10, value=60),
        event("c", "page_viewed", 40),
        event("a", "order_completed", 50, value=10),
        event("b", "order_completed", 60, value=60),
        {**event("a", "product_added", 20), "received_at": START + 70 * MINUTE},
        event("c", "page_viewed", 200),
    ]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return Job((str(log),), (), times=TimeSettings(), batch_size=3)


def ask(user: str, segment: str, minute: int, after: str | None = None) -> Ask:
    return Ask(user, segment, None, START + minute * MINUTE, after)


def test_the_state_is_that_of_the_instant_not_that_of_the_end(job: Job, plan: Plan) -> None:
    asks = [ask("a", "abandoned", 30), ask("a", "abandoned", 46), ask("a", "abandoned", 55)]
    asks += [
        ask("b", "spender", 10),
        ask("b", "spender", 59),
        ask("b", "spender", 60),
        ask("z", "spender", 1),
    ]
    answers = explain_all(job, plan, asks)
    found = {(each.user, (each.at - START) // MINUTE): answer for each, answer in answers.items()}
    waiting = found["a", 30]
    assert waiting is not None
    ((_, when), *_) = waiting.conditions
    assert (waiting.member, when.verdict, when.value, when.bound) == (False, False, 30 * MINUTE, 45 * MINUTE)
    assert [found[key] and found[key].member for key in (("a", 46), ("a", 55))] == [True, False]  # type: ignore[union-attr]
    spent = [found["b", minute] for minute in (10, 59, 60)]
    assert [each and (each.conditions[0][1].value, each.member) for each in spent] == [
        (60, False),
        (60, False),
        (120, True),
    ]
    assert found["z", 1] is None


def test_a_late_event_that_decided_is_known_when_it_is_asked_about(job: Job, plan: Plan) -> None:
    late, before = ask("a", "two", 50, after="a-product_added-20"), ask("a", "two", 50)
    answers = explain_all(job, plan, [late, before])
    known = [answer and answer.conditions[0][1].value for answer in (answers[late], answers[before])]
    assert known == [2, 1]
