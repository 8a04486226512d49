"""One call of the benchmark: which parts, on which log, into which report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from stream.bench.backlog import fill, local_broker, measure_changelog, run_worker
from stream.bench.engine import measure_engine
from stream.bench.live import measure_latency, measure_million
from stream.bench.machine import describe_machine
from stream.bench.mappings import measure_mapping
from stream.bench.peers import JOB, PEERS, measure_peers
from stream.bench.pieces import (
    measure_decode,
    measure_kinds,
    measure_segments,
    measure_state,
    measure_users,
)
from stream.bench.pressure import measure_pressure
from stream.bench.report import Measurement, Report
from stream.bench.restores import measure_restore
from stream.definitions import load
from stream.engine import Plan, compile_plan
from stream.errors import OperatorError
from stream.packs import pack_path
from stream.simulate import Shop, simulate

EVENTS: Final = 1_000_000
REPEAT: Final = 3
RATE: Final = 1_000
"""Live events a second; latency is measured at five times as many, too."""
MILLION: Final = 1_000_000

_DAYS: Final = 14.0
_RATE: Final = 2.0
_RETAIL: Final = pack_path("retail")
_SHOPS: Final = (("retail pack", _RETAIL), ("small shop", JOB.with_name("small_shop.yaml")))
"""Definitions of twenty segments, and of nine; the latter only in a checkout."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one call of the benchmark was asked for, and where its report grows."""

    report: Report
    lines: Sequence[bytes]
    repeat: int
    seconds: float
    rate: int
    users: int
    peers: Sequence[str]
    tell: Callable[[str], object]

    def add(self, measurements: Iterable[Measurement]) -> None:
        for each in measurements:
            self.tell(f"{each.name}: done")
            self.report.measurements.append(each)


def _decode(job: Job) -> None:
    plans = {"retail pack": _plan(_RETAIL)} | ({"peers' job": _plan(JOB)} if JOB.is_file() else {})
    job.add(measure_decode(job.lines, plans, job.repeat))


def _mapping(job: Job) -> None:
    job.add(measure_mapping(job.lines, job.repeat))


def _engine(job: Job) -> None:
    jobs = (*_SHOPS, ("peers' job", JOB))
    job.add(
        measure_engine(f"engine, {name}", _plan(file), job.lines, job.repeat)
        for name, file in jobs
        if file.is_file()
    )


def _kinds(job: Job) -> None:
    job.add(measure_kinds(job.lines, job.repeat))


def _growth(job: Job) -> None:
    job.add(measure_segments(job.lines, job.repeat))
    counts = [count for count in (10_000, 100_000, 1_000_000) if count <= job.users]
    job.add(measure_users(_plan(_RETAIL), job.lines, counts or [job.users], job.repeat))


def _state(job: Job) -> None:
    job.add(measure_state(_plan(_RETAIL), job.lines, job.repeat))


def _changelog(job: Job, brokers: str, folder: Path) -> None:
    job.add([measure_changelog(brokers, folder, len(job.lines), job.repeat)])


def _restore(job: Job, brokers: str, folder: Path) -> None:
    job.add(measure_restore(brokers, folder, job.users, job.repeat))


def _worker(job: Job, brokers: str, folder: Path) -> None:
    job.tell(f"producing {len(job.lines):,} events")
    backlog = fill(brokers, f"{folder.name}-events", job.lines, folder)
    for number, (name, file) in enumerate(_SHOPS):
        if file.is_file():
            apps = [f"{folder.name}-shop{number}-{turn}" for turn in range(job.repeat)]
            samples = tuple(run_worker(backlog, app, [str(file)]) for app in apps)
            note = "end to end: RocksDB, changelog, changes and members"
            job.add([Measurement(f"worker, {name}", samples, note)])


def _peers(job: Job, brokers: str, folder: Path) -> None:
    measure_peers(job.report, brokers, folder, job.lines, job.repeat, job.peers, job.tell)


def _pressure(job: Job, brokers: str, folder: Path) -> None:
    events = 10 * len(job.lines)
    job.tell(f"{events:,} events, in the topic before the worker starts")
    arguments = (simulate(_shop(events)), events, [str(JOB)], job.lines, job.rate, job.seconds)
    job.add(measure_pressure(brokers, folder, *arguments))


def _latency(job: Job, brokers: str, folder: Path) -> None:
    beside = ["worker", "quix"] if "quix" in job.peers else []
    rates = (job.rate, 5 * job.rate)
    arguments = (job.lines, str(_RETAIL), rates, job.seconds, beside, job.tell)
    job.add(measure_latency(brokers, folder, *arguments))


def _timers(job: Job, brokers: str, folder: Path) -> None:
    job.add(
        measure_million(
            brokers, folder, job.users, job.users // 10, job.rate, job.seconds, job.lines, job.tell
        )
    )


_ALONE: Final[dict[str, Callable[[Job], None]]] = {
    "decode": _decode,
    "mapping": _mapping,
    "engine": _engine,
    "kinds": _kinds,
    "growth": _growth,
    "state": _state,
}
_WITH_BROKER: Final[dict[str, Callable[[Job, str, Path], None]]] = {
    "changelog": _changelog,
    "restore": _restore,
    "worker": _worker,
    "pressure": _pressure,
    "peers": _peers,
    "latency": _latency,
    "timers": _timers,
}
PARTS: Final = (*_ALONE, *_WITH_BROKER)


def run_bench(
    parts: Sequence[str] = PARTS,
    *,
    events: int = EVENTS,
    repeat: int = REPEAT,
    seconds: float = 60.0,
    rate: int = RATE,
    users: int = MILLION,
    peers: Sequence[str] = tuple(PEERS),
    brokers: str | None = None,
    tell: Callable[[str], object] = lambda text: None,
) -> Report:
    """Measures the parts one after the other.

    `seconds` of live load, at `rate` and five times that; up to `users` for growth, restore and timers; `peers` to
    stand beside our worker. `brokers`: a cluster to use instead of a broker of our own; its topics are new ones and
    stay. `tell` is told what is being done. OperatorError where something that is needed is missing.
    """
    for part in parts:
        if part not in PARTS:
            raise OperatorError(f"there is no part `{part}`; there are: {', '.join(PARTS)}")
    tell(f"simulating {events:,} events")
    job = Job(Report(describe_machine()), simulated_log(events), repeat, seconds, rate, users, peers, tell)
    for part in parts:
        if part in _ALONE:
            tell(f"{part}: {repeat} × {events:,} events")
            _ALONE[part](job)
    if any(part in _WITH_BROKER for part in parts):
        with _workplace(brokers) as (address, folder):
            for part in parts:
                if part in _WITH_BROKER:
                    tell(part)
                    _WITH_BROKER[part](job, address, folder)
    return job.report


def simulated_log(events: int) -> list[bytes]:
    """The first `events` events of a fortnight in a shop that is large enough for them."""
    return list(islice(simulate(_shop(events)), events))


def _shop(events: int) -> Shop:
    """Large enough for so many."""
    return Shop(users=max(200, round(1.1 * events / (_DAYS * _RATE))), days=_DAYS, rate=_RATE)


def _plan(definitions: Path) -> Plan:
    return compile_plan(load([definitions]))


@contextmanager
def _workplace(brokers: str | None) -> Iterator[tuple[str, Path]]:
    """The brokers to use, and a folder whose name is new, for names of topics."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if brokers is not None:
            yield brokers, folder
        else:
            with local_broker(folder) as address:
                yield address, folder
