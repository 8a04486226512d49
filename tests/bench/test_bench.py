"""The benchmark measures what it says. No test here is about how fast anything is."""

from __future__ import annotations

import io
import json
import os
import sys
from functools import partial
from itertools import chain, repeat
from pathlib import Path

import pytest
from rich.console import Console

from stream.bench import Report, run_bench
from stream.bench.backlog import Backlog, measure, total
from stream.bench.mappings import _segment_call
from stream.bench.pieces import AGGREGATES
from stream.bench.processes import MeasuredProcess
from stream.bench.report import Measurement, Sample
from stream.bench.run import simulated_log
from stream.engine import Engine
from stream.errors import OperatorError
from stream.ingest import Ingest, load_mapping


def python(code: str, folder: Path) -> MeasuredProcess:
    return MeasuredProcess([sys.executable, "-c", code], log=folder / "log", env=os.environ)


def test_the_log_is_as_long_as_asked_for_and_always_the_same() -> None:
    lines = simulated_log(3_000)
    assert len(lines) == 3_000
    assert lines == simulated_log(3_000)


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("decode", {"decode, all fields, batches of 500", "decode, peers' job, batches of 10,000"}),
        ("mapping", {"mapping, retailrocket", "mapping, segment", "mapping, segment, order_completed"}),
        ("engine", {"engine, retail pack", "engine, small shop", "engine, peers' job"}),
        ("kinds", {"engine, nothing matches", "engine, count, session 30m", "engine, seq by product"}),
        ("growth", {"engine, 1 segments", "engine, 100 segments", "engine, 300 users"}),
        ("state", {"profiles, decode", "profiles, write to RocksDB"}),
    ],
)
def test_each_part_is_measured_alone(part: str, names: set[str]) -> None:
    told: list[str] = []
    report = run_bench([part], events=800, repeat=1, users=300, tell=told.append)
    assert names <= {each.name for each in report.measurements}
    for each in report.measurements:
        assert all(sample.events > 0 for sample in each.samples)
        assert each.per_second > 0
    assert any(part in text for text in told)


def test_the_engine_does_the_same_in_every_run_and_its_stages_add_up() -> None:
    report = run_bench(["engine"], events=1_500, repeat=2)
    for each in report.measurements:
        assert each.samples[0].changes == each.samples[1].changes > 0
        assert sum(each.stages.values()) == pytest.approx(1e6 / each.per_cpu_second, rel=0.5)


def test_the_stages_of_growth_add_up_with_those_of_rocksdb() -> None:
    report = run_bench(["growth"], events=800, repeat=1, users=300)
    grown = next(each for each in report.measurements if each.name == "engine, 300 users")
    assert set(grown.stages) >= {"read profiles", "write profiles", "RocksDB's threads"}
    assert all(cost > 0 for cost in grown.stages.values())
    assert sum(grown.stages.values()) == pytest.approx(1e6 / grown.per_cpu_second, rel=0.01)


def test_growth_applies_every_event_however_soon_a_step_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    def changes() -> int:
        report = run_bench(["growth"], events=800, repeat=1, users=300)
        return report.measurements[-1].samples[0].changes

    whole = changes()
    monkeypatch.setattr("stream.bench.pieces.Engine", partial(Engine, step_bytes=50_000))
    assert changes() == whole > 0


def test_what_is_measured_of_the_segment_preset_is_the_shop() -> None:
    """Calls that the mapping refused or read by its slow way would be measured as something else."""
    lines = simulated_log(800)
    read = Ingest(load_mapping("segment"))
    events, errors = read.read_batch([(_segment_call(json.loads(line)), 0, None) for line in lines])
    sent = [json.loads(line) for line in lines]
    assert not errors
    assert [(each.id, each.type) for each in events] == [(each["id"], each["type"]) for each in sent]
    assert [each.value for each in events] == [each.get("value") for each in sent]
    assert [each.items for each in events] == [each.get("items") for each in sent]


def test_nothing_is_measured_where_nothing_should_match() -> None:
    """What is told of the cost of an aggregate is the cost of summarising, not of changes."""
    report = run_bench(["kinds"], events=800, repeat=1)
    changes = {each.name: each.samples[0].changes for each in report.measurements}
    assert not any(changes[f"engine, {name}"] for name in ("nothing matches", *AGGREGATES))
    assert all(changes[f"engine, {name}"] for name in ("do", "seq do, not for", "seq by product"))


def test_a_part_that_does_not_exist_is_named() -> None:
    with pytest.raises(OperatorError, match="there is no part `motor`; there are: decode, mapping"):
        run_bench(["motor"])


def test_medians_ratios_and_the_table() -> None:
    ours = Measurement(
        "ours",
        tuple(Sample(100, each, each / 2, 7, figures={"p50 ms": each}) for each in (1.0, 2.0, 4.0)),
        "here",
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
    for shown in ("python 3", "150%", "3 MiB", "ours: here; p50 ms 2", "ours / theirs, events/s: 5.0 ×"):
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


SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def test_the_clock_runs_from_the_last_sample_without_events_to_the_first_with_all(tmp_path: Path) -> None:
    progress = chain([OSError("not yet"), (0, 0), (10, 1), (60, 2), (60, 2), (100, 7)], repeat((100, 9)))

    def told() -> tuple[int, int]:
        now = next(progress)
        if isinstance(now, OSError):
            raise now
        return now

    backlog = Backlog("nowhere:1", "events", 100, tmp_path)
    sample = measure(SLEEPER, os.environ, backlog, "test", told, after=lambda: {"x": 1.0})
    assert (sample.events, sample.changes, sample.figures) == (100, 9, {"x": 1.0})
    assert sample.seconds > 0
    assert sample.memory is not None


@pytest.mark.parametrize(("answers_first", "charged"), [(True, False), (False, True)])
def test_cpu_is_charged_from_the_first_answer_that_nothing_is_done(
    tmp_path: Path, answers_first: bool, charged: bool
) -> None:
    """Work before anything is acknowledged counts; only what passed before the program could answer does not."""
    ready = tmp_path / "ready"
    busy = f"""import pathlib, time
while time.process_time() < 0.6: pass
pathlib.Path({str(ready)!r}).touch()
time.sleep(600)"""
    answers = iter([(0, 0)] if answers_first else [])

    def told() -> tuple[int, int]:
        if not ready.exists():
            raise OSError("not yet")
        return next(answers, (5, 0))

    backlog = Backlog("nowhere:1", "events", 5, tmp_path)
    sample = measure([sys.executable, "-c", busy], os.environ, backlog, "test", told)
    assert (sample.cpu_seconds >= 0.5) is charged


def test_a_program_that_ends_is_an_error(tmp_path: Path) -> None:
    backlog = Backlog("nowhere:1", "events", 100, tmp_path)
    with pytest.raises(OperatorError, match="ended with 3"):
        measure([sys.executable, "-c", "raise SystemExit(3)"], os.environ, backlog, "test", lambda: (0, 0))


def test_metrics_are_summed_over_labels() -> None:
    text = '# HELP m_total x\nm_total{a="1"} 3.0\nm_total{a="2"} 4.0\nm_total_more 9\nm_created{a="1"} 5\n'
    assert total(text, "m_total") == 7
    assert total(text, "m") == 0
