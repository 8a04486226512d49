"""The comparison of the benchmark on a real broker, small."""

from __future__ import annotations

import pytest

from stream.bench import run_bench
from tests.kafka.broker import Broker


@pytest.mark.slow
def test_the_worker_and_an_ordinary_faust_program_do_the_same_job(broker: Broker) -> None:
    report = run_bench("stock-faust", events=60_000, repeat=1, brokers=broker.address)
    ours, theirs = report.measurements
    assert [ours.name, theirs.name] == ["worker, cart abandonment", "stock Faust, cart abandonment"]
    assert len(report.ratios) == 2
    # What is decided by the engine alone is decided by the worker, but for timers of the last half hour, which wait
    # for a later event of their own partition.
    (alone,) = (
        each for each in run_bench("engine", events=60_000, repeat=1).measurements if "cart" in each.name
    )
    assert ours.samples[0].changes == pytest.approx(alone.samples[0].changes, rel=0.02)
    # The ordinary program knows no late events: it misses the entries that are taken back, and the retractions.
    assert theirs.samples[0].changes == pytest.approx(ours.samples[0].changes, rel=0.1)
