"""Definitions change between two starts of a worker on a real broker."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stream.durations import MINUTE
from tests.kafka.broker import Broker
from tests.kafka.harness import REAL, Deployment

START = 1_750_000_000_000
DEFINITIONS = """
version: 1
events:
  cart: {type: product_added}
  buy: {type: order_completed}
segments:
  abandoned: {when: {seq: [{do: cart}, {not: buy, for: 30m}]}}
"""


def row(user: str, type_: str, minute: int) -> tuple[str, bytes, int]:
    instant = START + minute * MINUTE
    body = {"id": f"{user}{minute}", "type": type_, "time": instant, "user_id": user}
    return user, json.dumps(body).encode(), instant


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_everybody_is_reviewed_and_newcomers_are_not_acted_on(
    broker: Broker, tmp_path: Path, unique: Callable[[str], str], killed: bool
) -> None:
    definitions = tmp_path / "segments.yaml"
    definitions.write_text(DEFINITIONS, encoding="utf-8")
    settings = {"definitions": [str(definitions)], "time": {"idle_after": "off"}, "partitions": 2}
    deployment = Deployment(broker, tmp_path, unique("redefined"), **settings)
    try:
        deployment.create_topics(create_time=True, partitions=2)
        users = [f"u{number}" for number in range(20)]
        deployment.produce([row(user, "product_added", 0) for user in users])
        deployment.produce([row(user, "page_viewed", 20) for user in users])
        worker = deployment.worker(REAL)
        worker.wait(worker.is_done, "reading")
        if killed:
            worker.kill()
        else:
            worker.terminate()
        assert list(deployment.read("changes")) == []
        definitions.write_text(DEFINITIONS.replace("30m", "10m"), encoding="utf-8")
        worker = deployment.worker(REAL)
        worker.wait(lambda: worker.metric("segstream_changes_total") == len(users), "reviewing everybody")
        worker.terminate()
        told = [json.loads(record.value or b"") for record in deployment.read("changes")]
        assert sorted(change["user"]["id"] for change in told) == sorted(users)
        assert {change["cause"] for change in told} == {"definition_change"}
        assert all(change["policy"]["suppressed_by"] == ["backfill"] for change in told)
    finally:
        deployment.stop()
