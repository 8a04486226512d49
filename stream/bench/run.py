"""One call of the benchmark: which parts, on which log, into which report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from stream.bench.backlog import Backlog, fill, local_broker, run_stock_faust, run_worker
from stream.bench.engine import measure_engine
from stream.bench.machine import ROOT, describe_machine
from stream.bench.report import Measurement, Report, Sample
from stream.definitions import load
from stream.engine import Plan, compile_plan
from stream.errors import OperatorError
from stream.packs import pack_path
from stream.simulate import Shop, simulate

PARTS: Final = ("engine", "worker", "stock-faust", "all")
EVENTS: Final = 1_000_000
REPEAT: Final = 3
STOCK_EVENTS: Final = 100_000
"""At most so many for the ordinary Faust program: it takes as long for them as we do for a million."""

_DAYS: Final = 14.0
_RATE: Final = 2.0
_RETAIL: Final = pack_path("retail")
_ONE_JOB: Final = ROOT / "benchmarks" / "cart_abandonment.yaml"


def run_bench(
    part: str = "all",
    *,
    events: int = EVENTS,
    repeat: int = REPEAT,
    brokers: str | None = None,
    tell: Callable[[str], object] = lambda text: None,
) -> Report:
    """Measures one part, or all. `brokers`: a cluster to use instead of a broker of our own; its topics are new ones
    and stay. `tell` is told what is being done. OperatorError where something that is needed is missing."""
    if part not in PARTS:
        raise OperatorError(f"there is no part `{part}`; there are: {', '.join(PARTS)}")
    report = Report(describe_machine())
    tell(f"simulating {events:,} events")
    lines = simulated_log(events)
    if part in ("engine", "all"):
        for name, definitions in (("engine, retail pack", _RETAIL), ("engine, cart abandonment", _ONE_JOB)):
            if definitions.is_file():
                tell(f"{name}: {repeat} × {len(lines):,} events")
                report.measurements.append(measure_engine(name, _plan(definitions), lines, repeat))
    if part in ("worker", "stock-faust", "all"):
        with _workplace(brokers) as (address, folder):
            tell(f"producing {len(lines):,} events into {address}")
            backlog = fill(address, f"{folder.name}-events", lines, folder)
            if part in ("worker", "all"):
                report.measurements.append(_worker("worker, retail pack", backlog, _RETAIL, repeat, tell))
            if part in ("stock-faust", "all"):
                _beside_stock_faust(report, backlog, lines, repeat, tell)
    return report


def simulated_log(events: int) -> list[bytes]:
    """The first `events` events of a fortnight in a shop that is large enough for them."""
    users = max(200, round(1.1 * events / (_DAYS * _RATE)))
    return list(islice(simulate(Shop(users=users, days=_DAYS, rate=_RATE)), events))


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


def _beside_stock_faust(
    report: Report, backlog: Backlog, lines: Sequence[bytes], repeat: int, tell: Callable[[str], object]
) -> None:
    """The same job for both, one program at a time, in turns, so that a machine that slows down slows both."""
    if not _ONE_JOB.is_file():
        raise OperatorError("the comparison comes with the source checkout (benchmarks/)")
    few = lines[:STOCK_EVENTS]
    short = (
        backlog
        if len(few) == len(lines)
        else fill(backlog.brokers, f"{backlog.folder.name}-few", few, backlog.folder)
    )
    ours: list[Sample] = []
    theirs: list[Sample] = []
    for turn in range(repeat):
        tell(f"cart abandonment, run {turn + 1} of {repeat}: worker")
        ours.append(run_worker(backlog, f"{backlog.folder.name}-ours-{turn}", [str(_ONE_JOB)]))
        tell(f"cart abandonment, run {turn + 1} of {repeat}: stock Faust")
        theirs.append(run_stock_faust(short, f"{backlog.folder.name}-stock-{turn}"))
    worker = Measurement(
        "worker, cart abandonment", tuple(ours), note="RocksDB, changelog, changes and members"
    )
    note = f"Table on RocksDB, changelog, changes; first {len(few):,} events"
    stock = Measurement("stock Faust, cart abandonment", tuple(theirs), note=note)
    report.measurements += [worker, stock]
    report.compare(worker, stock)


def _worker(
    name: str, backlog: Backlog, definitions: Path, repeat: int, tell: Callable[[str], object]
) -> Measurement:
    samples = []
    for turn in range(repeat):
        tell(f"{name}, run {turn + 1} of {repeat}")
        samples.append(run_worker(backlog, f"{backlog.folder.name}-retail-{turn}", [str(definitions)]))
    return Measurement(name, tuple(samples), note="end to end: RocksDB, changelog, changes and members")
