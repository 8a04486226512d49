"""Parts of the benchmark on a real broker, small."""

from __future__ import annotations

import pytest

from stream.bench import run_bench
from tests.kafka.broker import Broker


@pytest.mark.slow
def test_the_worker_and_an_ordinary_faust_program_do_the_same_job(broker: Broker) -> None:
    report = run_bench(["peers"], events=6_000, repeat=1, peers=["stock-faust"], brokers=broker.address)
    ours, theirs = report.measurements
    assert [ours.name, theirs.name] == ["worker, peers' job", "stock Faust, peers' job"]
    assert len(report.ratios) == 2
    # Their changes were compared, or there would be no ratio. The last hour is left out of that.
    assert theirs.figures["changes equal to ours"] > 100
    assert theirs.figures["never told for want of timers"] == 0


@pytest.mark.slow
def test_a_live_worker_is_measured(broker: Broker) -> None:
    report = run_bench(
        ["changelog", "restore", "timers"],
        events=2_000,
        repeat=1,
        users=200,
        rate=200,
        seconds=6,
        brokers=broker.address,
    )
    changelog, *restores, backlog, restore, expiry = report.measurements
    assert changelog.samples[0].events == 2_000
    timers = [each.samples[0].figures["timers"] for each in restores]
    assert timers == [200] * 4 + [80] * 2, "cold and warm: 1 partition, 4, and updates of fewer users"
    assert restores[4].samples[0].events > 400, "five records of each user"
    assert backlog.figures == {"timers pending": 180}
    assert restore.samples[0].events >= 180
    assert expiry.figures["timers"] == 20, "all that were due fired while live events came"
    assert expiry.figures["changes"] > 0
    assert 0 < expiry.figures["p50"] <= expiry.figures["p99"]


@pytest.mark.slow
def test_a_worker_under_pressure_is_watched_to_its_end(broker: Broker) -> None:
    report = run_bench(["pressure"], events=800, repeat=1, rate=200, seconds=3, brokers=broker.address)
    waiting, live = report.measurements
    assert waiting.samples[0].events == 8_000
    assert waiting.samples[0].memory is not None
    figures = waiting.samples[0].figures
    assert all(figures[f"MiB after {part}/10"] > 10 for part in (1, 3, 5, 7, 10))
    assert live.samples[0].figures["changes"] > 0
