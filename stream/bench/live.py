"""A worker in the present: latency at a steady rate, timers that fall due all at once, and a million users.

The load and the stopwatch are a process of their own (benchmarks/live_load.py), so that the worker's CPU-seconds are
the worker's. Latency runs from the instant at which an event was due to be sent to the one at which its change was
consumed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from stream.bench.backlog import (
    Backlog,
    beside_us,
    configure,
    create_topics,
    exposition,
    fill,
    free_port,
    measure,
    scrape,
    total,
    worker,
    write_log,
)
from stream.bench.peers import PEERS, peer_environment
from stream.bench.processes import MeasuredProcess
from stream.bench.report import Measurement, Sample
from stream.errors import OperatorError
from stream.instants import format_instant

WARM_UP = 5.0
_START_SECONDS = 120.0
_LOAD_STARTS_SECONDS = 3.0
_CARTS_PER_SECOND = 15_000
_RESTORED = re.compile(r"restored from (\d+) changelog records in ([\d.]+) s")


def measure_latency(
    brokers: str,
    folder: Path,
    lines: Sequence[bytes],
    definitions: str,
    rates: Sequence[int],
    seconds: float,
    beside: Sequence[str],
    tell: Callable[[str], object],
) -> Iterator[Measurement]:
    """Our worker at each rate; at the first one also the CPU of the engines named in `beside` on the peers' job."""
    log = folder / "live.jsonl"
    write_log(log, lines)
    for rate in rates:
        tell(f"latency at {rate:,} events/s, {seconds:.0f} s")
        backlog = fill(brokers, f"{folder.name}-live-{rate}", [], folder)
        name = f"{folder.name}-at-{rate}"
        port = free_port()
        config = configure(backlog, name, [definitions], port, live=True)
        create_topics(config, folder)
        with MeasuredProcess(
            worker(config), log=folder / f"{name}.log", env=os.environ, cwd=folder
        ) as process:
            _await_ready(process, port)
            sample = load_live(process, backlog, f"{name}-changes", log, rate, seconds)
        yield Measurement(f"worker, {rate:,} events/s", (sample,), note=f"{definitions}, milliseconds")
    for peer in beside:
        yield _low_rate(brokers, folder, log, peer, rates[0], seconds, tell)


def _low_rate(
    brokers: str, folder: Path, log: Path, peer: str, rate: int, seconds: float, tell: Callable[[str], object]
) -> Measurement:
    """What an engine takes of a core at a low rate, on the peers' job."""
    tell(f"CPU at {rate:,} events/s: {peer}")
    name = f"{folder.name}-slow-{peer}"
    backlog = fill(brokers, f"{name}-events", [], folder)
    if peer == "worker":
        port = free_port()
        config = configure(backlog, name, [str(beside_us("peers_job.yaml"))], port, live=True)
        create_topics(config, folder)
        command, env = worker(config), dict(os.environ)
    else:
        fill(brokers, f"{name}-changes", [], folder)
        command, env = PEERS[peer].command(folder), peer_environment(backlog, name)
    with MeasuredProcess(command, log=folder / f"{name}.log", env=env, cwd=folder) as process:
        if peer == "worker":
            _await_ready(process, port)
        else:
            time.sleep(10)  # to join and to be warm
        sample = load_live(process, backlog, f"{name}-changes", log, rate, seconds)
    figures = {"cores": sample.figures["cores"]}
    title = "worker" if peer == "worker" else PEERS[peer].title
    quiet = Sample(sample.events, sample.seconds, sample.cpu_seconds, 0, process.memory, figures=figures)
    return Measurement(f"{title}, {rate:,} events/s, peers' job", (quiet,))


def measure_million(
    brokers: str,
    folder: Path,
    users: int,
    due: int,
    rate: int,
    seconds: float,
    lines: Sequence[bytes],
    tell: Callable[[str], object],
) -> Iterator[Measurement]:
    """Memory and restore with many users who all have a timer, and what live events wait while `due` of them fire."""
    definitions = [str(beside_us("live.yaml"))]
    now = int(time.time() * 1000)
    tell(f"{users:,} users with a timer each")
    backlog = fill(brokers, f"{folder.name}-million", _carts(0, users - due, now - 900_000, 600_000), folder)
    name = f"{folder.name}-million-worker"
    port = free_port()
    config = configure(backlog, name, definitions, port, live=True)
    create_topics(config, folder)

    def pending() -> Mapping[str, float]:
        time.sleep(1.5)  # gauges are set once a second
        metric = "segstream_timers_pending"
        return {"timers pending": total(exposition(port, metric), metric)}

    sample = measure(worker(config), dict(os.environ), backlog, name, scrape(port), after=pending)
    yield Measurement(
        f"worker, {users - due:,} new users", (sample,), note="each with a timer, from a backlog"
    )
    shutil.rmtree(folder / name)
    tell("restoring them without a local store")
    log = folder / f"{name}.log"
    with MeasuredProcess(worker(config), log=log, env=os.environ, cwd=folder) as process:
        _await_ready(process, port)
        found = _RESTORED.search(process.text())
        if found is None:
            raise OperatorError(f"the worker does not tell of its restore:\n{process.tail()}")
        records, took = int(found[1]), float(found[2])
        used = process.cpu_seconds()
        restore = Sample(
            records,
            took,
            used,
            0,
            process.resident(),
            figures={"resident MiB": process.resident() / 2**20},
        )
        yield Measurement(
            "restore", (restore,), note="changelog records, wiped store; CPU with the start of Python"
        )
        tell(f"{due:,} timers at once, with {rate:,} events/s")
        before = (
            WARM_UP + _LOAD_STARTS_SECONDS + seconds / 2
        )  # half of the live events come before they are due
        expiry = int((time.time() + due / _CARTS_PER_SECOND + before) * 1000) + 5_000
        fill(brokers, backlog.topic, _carts(users - due, users, expiry - 1_800_000, 1), folder)
        load = folder / "live.jsonl"
        write_log(load, lines)
        time.sleep(max(0.0, expiry / 1000 - time.time() - before))
        sample = load_live(process, backlog, f"{name}-changes", load, rate, seconds)
        resident = process.resident()
    figures = {**sample.figures, "resident MiB": resident / 2**20}
    yield Measurement(
        f"{due:,} timers at once",
        (
            Sample(
                sample.events,
                sample.seconds,
                sample.cpu_seconds,
                sample.changes,
                process.memory,
                figures=figures,
            ),
        ),
        note=f"{users:,} users, {rate:,} live events/s meanwhile, milliseconds",
    )


def _carts(first: int, end: int, begin: int, span: int) -> Iterable[bytes]:
    """One cart of each user, spread over `span` milliseconds from `begin`."""
    for number in range(first, end):
        stamp = format_instant(begin + (number - first) * span // (end - first))
        yield (
            f'{{"id":"c-{number}","type":"product_added","time":"{stamp}","user_id":"million-{number:07d}",'
            f'"items":[{{"product_id":"p-{number % 1000}","price":19.9}}],"received_at":"{stamp}"}}'
        ).encode()


def _await_ready(process: MeasuredProcess, port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.1)
        process.check()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5):
                return
        except OSError:  # not up yet, or 503
            continue
    raise OperatorError(f"the worker is not ready after {_START_SECONDS:.0f} s:\n{process.tail()}")


def load_live(
    process: MeasuredProcess, backlog: Backlog, changes: str, log: Path, rate: int, seconds: float
) -> Sample:
    """Live events for a while; how long their changes took, and what the process needed."""
    command = [sys.executable, str(beside_us("live_load.py")), backlog.brokers, backlog.topic, changes]
    command += [str(log), str(rate), str(seconds), str(WARM_UP)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        assert load.stdout is not None
        load.stdout.readline()  # it is warm
        began, cpu = time.monotonic(), process.cpu_seconds()
        time.sleep(seconds)
        used, took = process.cpu_seconds() - cpu, time.monotonic() - began
        answer = load.stdout.readline()
    process.check()
    if load.returncode or not answer:
        raise OperatorError(f"the load for {backlog.topic} ended with {load.returncode}")
    figures = json.loads(answer)
    return Sample(
        int(rate * took),
        took,
        max(used, 0.01),
        int(figures["changes"]),
        figures={**figures, "cores": used / took},
    )
