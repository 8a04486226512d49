"""The benchmark measures what it says. No test here is about how fast anything is."""

from __future__ import annotations

import io
import json
import os
import sys
from itertools import chain, repeat
from pathlib import Path

import pytest
from rich.console import Console

from stream.bench import Report, run_bench
from stream.bench.backlog import Backlog, measure, total
from stream.bench.processes import MeasuredProcess
from stream.bench.report import Measurement, Sample
from stream.bench.run import simulated_log
from stream.errors import OperatorError


def python(code: str, folder: Path) -> MeasuredProcess:
    return MeasuredProcess([sys.executable, "-c", code], log=folder / "log", env=os.environ)


def test_the_log_is_as_long_as_asked_for_and_always_the_same() -> None:
    lines = simulated_log(3_000)
    assert len(lines) == 3_000
    assert lines == simulated_log(3_000)


def test_the_engine_alone_is_measured_on_both_jobs() -> None:
    told: list[str] = []
    report = run_bench("engine", events=2_000, repeat=2, tell=told.append)
    assert [each.name for each in report.measurements] == ["engine, retail pack", "engine, cart abandonment"]
    for each in report.measurements:
        assert [sample.events for sample in each.samples] == [2_000, 2_000]
        assert each.samples[0].changes == each.samples[1].changes > 0
        assert sum(each.stages.values()) == pytest.approx(1e6 / each.per_cpu_second, rel=0.5)
    assert len(told) == 3


def test_a_part_that_does_not_exist_is_named() -> None:
    with pytest.raises(OperatorError, match="there is no part `motor`; there are: engine, worker"):
        run_bench("motor")


def test_medians_ratios_and_the_table() -> None:
    ours = Measurement(
        "ours", tuple(Sample(100, seconds, seconds / 2, 7) for seconds in (1.0, 2.0, 4.0)), "here"
    )
    theirs = Measurement("theirs", (Sample(100, 10.0, 10.0, 5, memory=3 << 20),))
    assert (ours.per_second, ours.per_cpu_second, ours.spread) == (50, 100, 1.5)
    report = Report({"python": "3"}, [ours, theirs])
    report.compare(ours, theirs)
    assert report.ratios == [
        ("ours / theirs, events/s", 5.0),
        ("ours / theirs, events per CPU-second", 10.0),
    ]
    out = io.StringIO()
    report.print(Console(file=out, width=60))
    printed = out.getvalue()
    for shown in ("python 3", "150%", "3 MiB", "ours: here", "ours / theirs, events/s: 5.0 ×"):
        assert shown in printed
    again = json.loads(json.dumps(report.as_json()))
    assert again["measurements"][0]["events_per_second"] == 50
    assert again["ratios"] == {"ours / theirs, events/s": 5.0, "ours / theirs, events per CPU-second": 10.0}


def test_a_process_is_measured_and_ended(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ntime.sleep(600)"
    with python(busy, tmp_path) as process:
        while "done" not in process.tail():
            process.check()
        assert process.cpu_seconds() >= 0.25
    assert process.memory is not None
    assert process.memory > 1 << 20
    with pytest.raises(OperatorError, match="ended with -15"):
        process.check()


def test_a_process_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    with (
        python("raise SystemExit('no luck')", tmp_path) as process,
        pytest.raises(OperatorError, match="no luck"),
    ):
        process.wait()


def test_the_clock_runs_from_the_first_sample_with_events_to_the_last(tmp_path: Path) -> None:
    progress = chain([OSError("not yet"), (0, 0), (10, 1), (60, 2), (60, 2), (100, 7)], repeat((100, 9)))

    def told() -> tuple[int, int]:
        now = next(progress)
        if isinstance(now, OSError):
            raise now
        return now

    backlog = Backlog("nowhere:1", "events", 100, tmp_path)
    sample = measure(
        [sys.executable, "-c", "import time; time.sleep(600)"], os.environ, backlog, "test", told
    )
    assert (sample.events, sample.changes) == (90, 9)
    assert sample.seconds > 0
    assert sample.memory is not None


def test_too_few_events_and_a_program_that_ends_are_errors(tmp_path: Path) -> None:
    backlog = Backlog("nowhere:1", "events", 100, tmp_path)
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(OperatorError, match="too few for a measurement of test: raise --events"):
        measure(sleeper, os.environ, backlog, "test", lambda: (100, 9))
    with pytest.raises(OperatorError, match="ended with 3"):
        measure([sys.executable, "-c", "raise SystemExit(3)"], os.environ, backlog, "test", lambda: (0, 0))


def test_metrics_are_summed_over_labels() -> None:
    text = '# HELP m_total x\nm_total{a="1"} 3.0\nm_total{a="2"} 4.0\nm_total_more 9\nm_created{a="1"} 5\n'
    assert total(text, "m_total") == 7
    assert total(text, "m") == 0
