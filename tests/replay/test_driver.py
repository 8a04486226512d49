"""The replay driver: where it ends, what it does not read, where records go, what it keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream.definitions import loads
from stream.durations import HOUR, MINUTE
from stream.engine import Plan, compile_plan
from stream.ingest import DeadLetter
from stream.replay import Log, LogError, Outcome, Replay, members_of
from stream.replay.partitioner import partition_of

START = 1_795_262_400_000
DEFINITIONS = """
version: 1
events:
  cart: {type: product_added}
  buy: {type: order_completed}
segments:
  abandoned:
    when: {seq: [{do: cart}, {not: buy, for: 30m}]}
"""
Line = dict[str, Any]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return compile_plan(loads(DEFINITIONS))


def event(user: str, type_: str, minute: float, **fields: Any) -> Line:
    time = START + int(minute * MINUTE)
    return {"id": f"{user}-{type_}-{minute}", "type": type_, "time": time, "user_id": user, **fields}


def write(path: Path, lines: list[Line]) -> Log:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return Log(str(path))


def run(plan: Plan, logs: list[Log], **options: Any) -> Outcome:
    replay = Replay(plan, **options)
    for _ in replay.feed(*logs):
        pass
    return replay.finish()


def told(outcome: Outcome) -> list[tuple[str, str, float]]:
    return [(change.user, change.type, (change.effective_at - START) / MINUTE) for change in outcome.changes]


def test_the_end_is_the_largest_event_time_over_all_partitions(plan: Plan, tmp_path: Path) -> None:
    lines = [event("a", "product_added", 0), event("b", "page_viewed", 30)]
    for partitions in (1, 2, 5):
        outcome = run(plan, [write(tmp_path / "log.jsonl", lines)], partitions=partitions)
        assert told(outcome) == [("a", "entered", 30)], "what is due at the end fires"
        assert outcome.until == START + 30 * MINUTE
    lines[1] = event("b", "page_viewed", 30 - 1 / 60_000)
    assert told(run(plan, [write(tmp_path / "log.jsonl", lines)])) == []


def test_until_ends_it_and_later_records_are_not_read(plan: Plan, tmp_path: Path) -> None:
    lines = [
        event("a", "product_added", 0),
        event("a", "order_completed", 20),
        event("b", "product_added", 1),
    ]
    outcome = run(plan, [write(tmp_path / "log.jsonl", lines)], until=START + 10 * MINUTE)
    assert told(outcome) == []
    assert (outcome.beyond, outcome.records) == (1, 3)
    outcome = run(plan, [write(tmp_path / "log.jsonl", lines)], until=START + HOUR)
    assert told(outcome) == [("b", "entered", 31)]


def test_a_phone_a_year_ahead_moves_neither_the_end_nor_until(plan: Plan, tmp_path: Path) -> None:
    ahead = event("a", "product_added", 365 * 24 * 60, received_at=START)
    lines = [ahead, event("b", "page_viewed", 10)]
    assert run(plan, [write(tmp_path / "log.jsonl", lines)]).until == START + 10 * MINUTE
    outcome = run(plan, [write(tmp_path / "log.jsonl", lines)], until=START + 40 * MINUTE)
    assert (told(outcome), outcome.beyond) == ([("a", "entered", 30)], 0)


def test_clock_advanced_moves_all_partitions_of_an_ordinary_log(plan: Plan, tmp_path: Path) -> None:
    users = [f"u{number}" for number in range(20)]
    assert len({partition_of(user.encode(), 4) for user in users}) == 4
    lines: list[Line] = [event(user, "product_added", 0) for user in users]
    lines.append({"type": "clock_advanced", "time": START + HOUR})
    lines += [event(user, "order_completed", 15) for user in users]
    outcome = run(plan, [write(tmp_path / "log.jsonl", lines)], partitions=4)
    assert sorted(told(outcome)) == sorted(
        change for user in users for change in ((user, "entered", 30), (user, "retracted", 30))
    )


def test_several_logs_are_one(plan: Plan, tmp_path: Path) -> None:
    first = write(tmp_path / "1.jsonl", [event("a", "product_added", 0)])
    second = write(tmp_path / "2.jsonl", [event("b", "page_viewed", 45)])
    assert told(run(plan, [first, second])) == [("a", "entered", 30)]


def recorded(line: Line, partition: int, offset: int, timestamp: int | None = None) -> Line:
    key, time = line["user_id"], line["time"] if timestamp is None else timestamp
    return {
        "key": key,
        "value": json.dumps(line),
        "timestamp": time,
        "partition": partition,
        "offset": offset,
    }


def test_a_recorded_log_keeps_its_partitions_and_record_times(plan: Plan, tmp_path: Path) -> None:
    lines = [
        recorded(event("a", "product_added", 0), 3, 10),
        recorded(event("b", "page_viewed", 50), 0, 4),
        recorded(event("a", "order_completed", 20), 3, 11),
        recorded(event("b", "product_added", 365 * 24 * 60), 0, 5, START + 50 * MINUTE),
        recorded(event("b", "page_viewed", 80), 0, 6),
    ]
    log = tmp_path / "log.jsonl"
    assert told(run(plan, [write(log, lines)])) == [("b", "entered", 80)]
    # In one partition b's events move a's time: the order comes late.
    one = told(run(plan, [write(log, lines)], partitions=1))
    assert one == [("a", "entered", 30), ("a", "retracted", 30), ("b", "entered", 80)]


def test_recorded_and_plain_logs_need_a_number_of_partitions(plan: Plan, tmp_path: Path) -> None:
    plain = write(tmp_path / "1.jsonl", [event("a", "product_added", 0)])
    kept = write(tmp_path / "2.jsonl", [recorded(event("b", "product_added", 1), 2, 0)])
    with pytest.raises(LogError, match="--partitions"):
        run(plan, [kept, plain])


def test_bad_records_are_handed_over_with_their_line(plan: Plan, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    good = json.dumps(event("a", "product_added", 0))
    log.write_text(f"{good}\n{{\n[]\n\n{json.dumps({'type': 'x'})}\n", encoding="utf-8")
    letters: list[DeadLetter] = []
    outcome = run(plan, [Log(str(log))], on_dead_letter=letters.append, batch_size=2)
    assert [(letter.reason, letter.coordinates["line"], letter.raw) for letter in letters] == [
        ("bad_json", 2, b"{"),
        ("not_an_object", 3, b"[]"),
        ("bad_time", 5, b'{"type": "x"}'),
    ]
    assert (outcome.records, outcome.dead_letters) == (4, 3)


def test_members_hold_the_last_change_of_each(plan: Plan, tmp_path: Path) -> None:
    lines = [
        event("a", "product_added", 0),
        event("b", "product_added", 1),
        event("b", "order_completed", 40),
    ]
    outcome = run(plan, [write(tmp_path / "log.jsonl", lines)])
    last = {key: json.loads(value)["type"] for key, value in members_of(outcome)}
    assert last == {b'["abandoned","a",null]': "entered", b'["abandoned","b",null]': "exited"}


def test_an_empty_log_is_an_empty_answer(plan: Plan, tmp_path: Path) -> None:
    outcome = run(plan, [write(tmp_path / "log.jsonl", [])])
    assert (list(outcome.changes), outcome.until) == ([], None)
