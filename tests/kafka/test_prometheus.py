"""A real Prometheus scrapes a worker through a day in miniature: every panel has data, and moves when it should."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaProducer

from stream.runtime.kafka.changelog import EPOCH_HEADER, Claim, decode, encode
from tests.conftest import lacking
from tests.deploy.dashboards import QUERIES, Query
from tests.kafka.broker import Broker
from tests.kafka.harness import REAL, Deployment
from tests.kafka.prometheus import Prometheus

DEFINITIONS = """
version: 1
events:
  cart: {type: product_added}
  buy: {type: order_completed}
features:
  orders: {count: buy, last: 30d}
segments:
  shopper: {when: {do: cart}, ttl: 2s}
  abandoned:
    when: {seq: [{do: cart}, {not: buy, for: 1s}]}
    exit: {do: buy}
    ttl: 1s
    actions: {cooldown: 12h}
ladders:
  tier:
    tiers:
      - {name: gold, when: orders >= 3}
      - {name: silver, when: orders >= 1}
"""
WINDOW = "8s"
MOVED = {
    "Lag in records",
    "Lag in time",
    "Dead letters",
    "Late events",
    "Failures",
    "Repeated, from the future, evicted",
}
# Nothing is read twice here, and no keys are evicted.
FAULTS = [
    query for query in QUERIES if query.panel in MOVED and not re.search("skipped|evicted", query.expression)
]


class Run:
    """What was scraped, and when the faults began."""

    def __init__(self, prometheus: Prometheus, began: float, faults: float, ended: float) -> None:
        self.prometheus = prometheus
        self.began = began
        self.faults = faults
        self.ended = ended


def event(user: str, type_: str, instant: int, number: int = 0) -> tuple[str, bytes, None]:
    value = {"id": f"{user}-{type_}-{instant}-{number}", "type": type_, "time": instant, "user_id": user}
    return user, json.dumps(value).encode(), None


def now() -> int:
    return int(time.time() * 1000)


def shop(deployment: Deployment, seconds: int) -> None:
    """Every second forty shoppers put something in their carts, half of them buy, and ten new ones come.

    What is bought at the till comes by a topic of its own.
    """
    for _ in range(seconds):
        at = now()
        rows = [event(f"u{number}", "product_added", at) for number in range(40)]
        rows += [event(f"u{number}", "order_completed", at + 1) for number in range(20)]
        rows += [event(f"new-{at}-{number}", "product_added", at) for number in range(10)]
        deployment.produce(rows)
        with KafkaProducer(bootstrap_servers=deployment.broker.address) as producer:
            for number in range(40, 50):
                producer.send(f"{deployment.name}-till", event(f"u{number}", "order_completed", at)[1])
        time.sleep(1)


def usurp(deployment: Deployment) -> None:
    """Somebody else claims every partition: the worker stops as soon as it notices."""
    newest: dict[int, Claim] = {}
    for record in deployment.read("state"):
        if record.key == b"c":
            newest[record.partition] = decode(record.value or b"", Claim)
    with KafkaProducer(bootstrap_servers=deployment.broker.address) as producer:
        for partition, claim in newest.items():
            epoch = claim.epoch + 1
            value = encode(Claim(claim.log, epoch, "somebody else"))
            header = [(EPOCH_HEADER, epoch.to_bytes(4, "big"))]
            producer.send(deployment.settings.topics.state, value, b"c", header, partition)


@pytest.fixture(scope="module")
def run(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    if shutil.which("prometheus") is None:
        lacking("Prometheus is not installed (Debian's package `prometheus`)")
    folder = tmp_path_factory.mktemp("prometheus")
    definitions = folder / "segments.yaml"
    definitions.write_text(DEFINITIONS)
    name = f"prom-{now()}"
    sources = {f"{name}-till": "canonical"}
    deployment = Deployment(broker, folder / "worker", name, definitions=[str(definitions)], sources=sources)
    prometheus = Prometheus(folder / "prometheus", deployment.port)
    try:
        deployment.create_topics()
        worker = deployment.worker(REAL)
        worker.wait_ready()
        worker.wait(prometheus.scrapes, "being scraped")
        began = time.time()
        shop(deployment, 4)
        faults = time.time()
        at = now()
        deployment.produce(
            [("x", b"not json", None)] * 5
            + [event(f"u{number}", "product_added", at - 2_000, 1) for number in range(10)]
            + [event("u1", "product_added", at - 2_000, 1)]
            + [event("u2", "product_added", at + 86_400_000)]
        )
        worker.wait(lambda: worker.metric("segstream_events_duplicate_total") > 0, "reading what is wrong")
        shop(deployment, 2)
        usurp(deployment)
        deployment.produce([event(f"u{number}", "product_added", now()) for number in range(40)])
        assert worker.process.wait(60) == 3
        backlog = [event(f"u{number % 40}", "product_added", now(), number) for number in range(40_000)]
        deployment.produce(backlog)
        worker = deployment.worker(REAL, env={"SEGSTREAM_BATCH_MAX_POLL_RECORDS": "100"})
        worker.wait(worker.is_done, "reading the backlog")
        shop(deployment, 3)
        yield Run(prometheus, began, faults, time.time())
    finally:
        prometheus.stop()
        deployment.stop()


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_every_panel_has_data(run: Run, query: Query) -> None:
    assert run.prometheus.values(query.filled(WINDOW), run.began, run.ended)


@pytest.mark.parametrize("query", FAULTS, ids=str)
def test_panels_of_faults_move_when_there_is_one(run: Run, query: Query) -> None:
    before = run.prometheus.values(query.filled(WINDOW), run.began, run.faults)
    after = run.prometheus.values(query.filled(WINDOW), run.faults, run.ended)
    assert max(after) > max(before, default=0.0)
    if query.panel not in {"Lag in records", "Lag in time"}:  # a moment's lag is nothing wrong
        assert max(before) == 0


def test_the_failed_worker_is_told_of_by_the_next(run: Run) -> None:
    increase = 'increase(segstream_failures_total{kind="changelog"}[1m])'
    assert max(run.prometheus.values(increase, run.faults, run.ended)) > 0


def test_rules_are_evaluated(run: Run) -> None:
    for record in ("job:segstream_events_consumed:rate5m", "job:segstream_consumer_lag_records:sum"):
        assert run.prometheus.values(record, run.began, run.ended)
    alerts: Any = run.prometheus.series('ALERTS{alertname="SegstreamChangelogErrors"}', run.faults, run.ended)
    assert alerts
