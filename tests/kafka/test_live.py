"""A live worker: the wall clock, bad records, what HTTP says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stream.durations import DAY, MINUTE, SECOND
from stream.instants import format_instant
from stream.runtime.kafka.logs import record
from stream.simulate import Shop, simulate
from tests.kafka.broker import Broker
from tests.kafka.harness import REAL, ROOT, Deployment
from tests.metric_names import exposed_names

DEFINITIONS = """
version: 1
events:
  cart: {type: product_added}
  buy: {type: order_completed}
segments:
  cart_abandoned:
    when: {seq: [{do: cart}, {not: buy, for: 30m}]}
    exit: {do: buy}
"""
START = 1_750_000_000_000

Make = Callable[..., Deployment]


@pytest.fixture
def make(broker: Broker, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Make]:
    made: list[Deployment] = []
    definitions = tmp_path / "segments.yaml"
    definitions.write_text(DEFINITIONS)

    def make(**settings: Any) -> Deployment:
        made.append(Deployment(broker, tmp_path, unique("live"), definitions=[str(definitions)], **settings))
        return made[-1]

    yield make
    for deployment in made:
        deployment.stop()


def event(user: str, type_: str, instant: int, **fields: object) -> bytes:
    return json.dumps(
        {"id": f"{user}-{instant}", "type": type_, "time": instant, "user_id": user, **fields}
    ).encode()


def changes(deployment: Deployment) -> list[dict[str, Any]]:
    return [json.loads(each.value or b"") for each in deployment.read("changes")]


def told(change: dict[str, Any]) -> tuple[str, str, str, str]:
    return change["user"]["id"], change["type"], change["cause"], change["effective_at"]


def test_silence_is_reported_by_the_wall_clock(make: Make, tmp_path: Path) -> None:
    """Nobody else comes either: the due instant passes all the same. The recorded topic replays to the same bytes."""
    deployment = make()
    deployment.create_topics()
    cart = int(time.time() * 1000) - 30 * MINUTE + 3 * SECOND
    worker = deployment.worker(REAL)
    worker.wait_ready()
    deployment.produce([("ann", event("ann", "product_added", cart), None)])
    worker.wait(lambda: worker.metric("segstream_changes_total") == 1, "waiting for the half hour")
    worker.terminate()
    (published,) = deployment.read("changes")
    change = json.loads(published.value or b"")
    assert told(change) == ("ann", "entered", "timer", format_instant(cart + 30 * MINUTE))
    headers = dict(published.headers)
    assert headers["ce_type"] == b"segment.entered"
    assert headers["segstream_topic"] == deployment.settings.topics.events.encode()
    log, out = tmp_path / "recorded.jsonl", tmp_path / "replayed.jsonl"
    record(deployment.settings, deployment.settings.topics.events, log)
    command = [sys.executable, "-m", "stream", "replay", str(log), "--out", str(out), "--until", "now"]
    command[-1] = str(cart + 31 * MINUTE)
    command += ["--config", str(deployment.config), "--segments", deployment.settings.definitions[0]]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60, capture_output=True)
    assert out.read_bytes().splitlines() == [published.value]


def test_a_recorded_topic_replays_to_the_live_changes_whatever_was_late_and_idle(
    make: Make, tmp_path: Path
) -> None:
    """Two days of a shop in two bursts: after the silence between them the watermark is at the wall clock, and the rest
    comes late. Only the record times tell a replay so."""
    deployment = make(partitions=3)
    deployment.create_topics()
    events = list(simulate(Shop(users=300, days=2, seed=3)))
    worker = deployment.worker(REAL)
    worker.wait_ready()
    half = len(events) // 2
    for part in (events[:half], events[half:]):
        deployment.produce((user_of(line), line, None) for line in part)
        worker.wait(worker.is_done, "reading")
        time.sleep(1.5)  # longer than time.idle_after and its margin
    assert worker.metric("segstream_events_late_total") > 0
    worker.terminate()
    published = [record.value or b"" for record in deployment.read("changes")]
    log, out = tmp_path / "recorded.jsonl.zst", tmp_path / "replayed.jsonl"
    arguments = ["record", "--config", str(deployment.config), "--out", str(log)]
    subprocess.run([sys.executable, "-m", "stream", *arguments], cwd=ROOT, check=True, timeout=60)
    arguments = ["replay", str(log), "--config", str(deployment.config), "--out", str(out), "--until"]
    arguments.append(str(int(time.time() * 1000)))
    subprocess.run([sys.executable, "-m", "stream", *arguments], cwd=ROOT, check=True, timeout=60)
    replayed = out.read_bytes().splitlines()
    assert sorted(published) == sorted(replayed)
    assert {json.loads(change)["type"] for change in replayed} == {"entered", "exited", "retracted"}
    assert len(replayed) > 30


def user_of(line: bytes) -> str:
    event = json.loads(line)
    return str(event.get("user_id") or event["anonymous_id"])


def test_time_moves_with_other_users_and_late_events_take_back(make: Make) -> None:
    deployment = make(time={"idle_after": "off"}, partitions=1)
    deployment.create_topics(create_time=True, partitions=1)
    year_ahead = START + 10 * MINUTE + 365 * DAY
    deployment.produce(
        [
            ("ann", event("ann", "product_added", START), START),
            ("bob", event("bob", "product_added", START), START),
            # A phone with a clock a year ahead fires nobody's timers.
            ("cyd", event("cyd", "product_added", year_ahead), START + 10 * MINUTE),
        ]
    )
    worker = deployment.worker(REAL)
    worker.wait(worker.is_done, "reading")
    assert worker.metric("segstream_events_clamped_total") == 1
    assert changes(deployment) == []
    later = START + 31 * MINUTE
    deployment.produce([("dan", event("dan", "order_completed", later), later)])
    worker.wait(lambda: worker.metric("segstream_changes_total") == 2, "letting the half hour pass")
    late = event("ann", "order_completed", START + 5 * MINUTE)
    deployment.produce([("ann", late, later + SECOND)])
    worker.wait(lambda: worker.metric("segstream_changes_total") == 3, "taking back")
    assert worker.terminate() == 0
    due = format_instant(START + 30 * MINUTE)
    found = changes(deployment)
    assert sorted(map(told, found[:2])) == [
        ("ann", "entered", "timer", due),
        ("bob", "entered", "timer", due),
    ]
    assert told(found[2]) == ("ann", "retracted", "late_event", due)
    (entered,) = [change for change in found if told(change)[:2] == ("ann", "entered")]
    assert found[2]["retracts"] == entered["event_id"]


def test_bad_records_are_kept_and_nothing_stops(make: Make) -> None:
    deployment = make()
    deployment.create_topics()
    now = int(time.time() * 1000)
    good = event("ann", "product_added", now)
    bad = {
        "bad_json": b"not json",
        "not_an_object": b"[1]",
        "bad_user": json.dumps({"id": "1", "type": "product_added", "time": now}).encode(),
        "bad_time": json.dumps({"id": "1", "type": "product_added", "user_id": "u"}).encode(),
        "bad_type": json.dumps({"id": "1", "type": 7, "time": now, "user_id": "u"}).encode(),
        "bad_id": json.dumps({"id": 7, "type": "product_added", "time": now, "user_id": "u"}).encode(),
        "too_large": event("big", "product_added", now, props={"text": "x" * 300 * 1024}),
    }
    kept = event("bob", "product_added", now, value="many", items=3)  # wrong types that only read as unknown
    deployment.produce([*((reason, value, None) for reason, value in bad.items()), ("bob", kept, None)])
    deployment.produce([("ann", good, None)])
    worker = deployment.worker(REAL)
    worker.wait(lambda: worker.metric("segstream_state_users") == 2, "reading on")
    worker.wait(worker.is_done, "reading")
    assert worker.metric("segstream_events_dead_lettered_total") == len(bad)
    worker.terminate()
    letters = deployment.read("dead_letters")
    assert {(letter.key or b"").decode(): letter.value for letter in letters} == bad
    for letter in letters:
        headers = dict(letter.headers)
        assert headers["reason"] == letter.key
        assert headers["message"]
        assert headers["source_topic"].decode() == deployment.settings.topics.events
        assert headers["source_offset"].isdigit()


def test_a_user_of_a_worker_is_explained_while_it_runs_and_when_it_has_stopped(make: Make) -> None:
    deployment = make()
    deployment.create_topics()
    worker = deployment.worker(REAL, env={"SEGSTREAM_HTTP_TOKEN": "s3cret"})
    worker.wait_ready()
    deployment.produce([("ann/1", event("ann/1", "product_added", int(time.time() * 1000)), None)])
    command = [
        "explain",
        "ann/1",
        "cart_abandoned",
        "--segments",
        deployment.settings.definitions[0],
        "--json",
    ]

    def explain(
        *where: str, token: str = "s3cret", user: str = "ann/1"
    ) -> subprocess.CompletedProcess[bytes]:
        words = [sys.executable, "-m", "stream", *command, *where]
        words[4] = user
        variables = {**os.environ, "SEGSTREAM_HTTP_TOKEN": token}
        return subprocess.run(words, cwd=ROOT, env=variables, capture_output=True, check=False, timeout=60)

    url = f"http://127.0.0.1:{deployment.port}"
    worker.wait(lambda: explain("--url", url).returncode == 0, "knowing of ann")
    (told,) = json.loads(explain("--url", url).stdout)["segments"]
    assert told["member"] is False
    locked = explain("--url", url, token="")
    assert locked.returncode == 3
    assert b"SEGSTREAM_HTTP_TOKEN" in locked.stderr
    nobody = explain("--url", url, user="nobody")
    assert nobody.returncode == 1
    assert b"nobody called nobody is in the partitions of this worker (0, 1, 2, 3)" in nobody.stderr
    assert worker.terminate() == 0
    (stopped,) = json.loads(explain("--state", str(deployment.state)).stdout)["segments"]
    assert stopped["member"] is False


def test_what_http_says(make: Make) -> None:
    deployment = make()
    deployment.create_topics()
    worker = deployment.worker(REAL)
    worker.wait_ready()
    status, text = worker.get("/live")
    assert (status, json.loads(text)) == (200, {"live": True})
    assert (deployment.state.stat().st_mode & 0o777) == 0o700
    started = worker.tail()
    for told in (
        "segstream",
        "plain Python",
        "definitions",
        deployment.settings.topics.events,
        "partitions=4",
    ):
        assert told in started or told.replace("=", '": ') in started, told
    status, text = worker.get("/ready")
    assert (status, json.loads(text)) == (
        200,
        {
            "ready": True,
            "state": "serving",
            "partitions": [0, 1, 2, 3],
            "firing": [],
        },
    )
    worker.wait(lambda: worker.metric("segstream_consumer_lag_records") == 0, "setting gauges")
    status, text = worker.get("/metrics")
    assert status == 200
    told = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    # Each family is there, labelled or not; a name is that of its first series but for the suffix.
    assert all(any(name.startswith(family) for family in told) for name in exposed_names())
    assert worker.terminate() == 0


def test_faust_s_own_command_starts_the_same_worker(make: Make) -> None:
    deployment = make()
    deployment.create_topics()
    command = ("-m", "faust", "-A", "stream.runtime.kafka.app", "worker", "--loglevel")
    worker = deployment.worker(command, env={"SEGSTREAM_CONFIG": str(deployment.config)}, last="info")
    worker.wait_ready()
    assert worker.terminate() == 0


def test_without_topics_it_says_how_to_make_them(make: Make) -> None:
    worker = make().worker(REAL)
    assert worker.process.wait(60) == 3
    assert "segstream topics --create" in worker.tail()


def test_wrong_definitions_do_not_start(make: Make, tmp_path: Path) -> None:
    deployment = make()
    (tmp_path / "segments.yaml").write_text(DEFINITIONS + "    whenn: x\n")
    worker = deployment.worker(REAL)
    assert worker.process.wait(60) == 1
    assert "segments.yaml:" in worker.tail()
