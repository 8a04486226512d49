"""Whole programs on a real broker: how fast a backlog is worked off.

A backlog lies in the events topic; a program is started on it. The clock runs from the first sample in which events are
done to the one in which all are, so that starting up counts for nobody; events done before the first sample are not
counted either. Programs are measured one at a time. The broker's and the program's share of the cores is what the
system gives them: CPU-seconds of the program alone are the fairer figure on a small machine.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import yaml

from stream.bench.machine import ROOT
from stream.bench.processes import MeasuredProcess
from stream.bench.report import Sample
from stream.errors import OperatorError

PARTITIONS = 4
_SAMPLE_SECONDS = 0.1
_LIMIT_SECONDS = 1_800.0
_QUIET_SECONDS = 120.0
_REST_SECONDS = 1.5

Progress = Callable[[], tuple[int, int]]
"""Events done and changes published so far; OSError while it cannot be told yet."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Events that lie in a topic of a broker."""

    brokers: str
    topic: str
    events: int
    folder: Path
    """For logs, state and settings of the programs."""


@contextmanager
def local_broker(folder: Path) -> Iterator[str]:
    """The broker of the tests for the time of the benchmark; yields its address. Needs the source checkout and Java."""
    file = ROOT / "tests" / "kafka" / "broker.py"
    if not file.is_file():
        raise OperatorError("no broker: give --brokers HOST:PORT, or run from a source checkout")
    spec = spec_from_file_location("segstream_test_broker", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    if reason := module.missing():
        raise OperatorError(f"no broker: {reason}; give --brokers HOST:PORT to use another")
    try:
        broker = module.Broker(folder / "broker", heap="1g").start()
    except module.BrokerUnavailableError as error:
        raise OperatorError(f"no broker: {error}") from error
    try:
        yield broker.address
    finally:
        broker.stop()


def fill(brokers: str, topic: str, lines: Sequence[bytes], folder: Path) -> Backlog:
    """Makes the topic and produces the events into it, with the times at which they were received."""
    program = _beside_us("fill_topic.py")
    log = folder / f"{topic}.jsonl"
    with log.open("wb") as file:
        file.writelines(line + b"\n" for line in lines)
    _finish([sys.executable, str(program), brokers, topic, str(PARTITIONS), str(log)], folder)
    log.unlink()
    return Backlog(brokers, topic, len(lines), folder)


def run_worker(backlog: Backlog, name: str, definitions: Sequence[str]) -> Sample:
    """Our worker on the backlog, with topics of its own for everything but the input."""
    port = _free_port()
    config = _config(backlog, name, definitions, port)
    _finish([sys.executable, "-m", "stream", "topics", "--create", "--config", str(config)], backlog.folder)
    command = [sys.executable, "-m", "stream", "run", "--config", str(config)]
    return measure(command, dict(os.environ), backlog, name, _scrape(f"http://127.0.0.1:{port}/metrics"))


def run_stock_faust(backlog: Backlog, name: str) -> Sample:
    """The ordinary Faust program on the backlog."""
    program = _beside_us("peers/stock_faust.py")
    config = _config(backlog, name, [])
    _finish([sys.executable, "-m", "stream", "topics", "--create", "--config", str(config)], backlog.folder)
    progress = backlog.folder / f"{name}.progress"
    env = {
        **os.environ,
        "APP": name,
        "BROKERS": backlog.brokers,
        "EVENTS_TOPIC": backlog.topic,
        "CHANGES_TOPIC": f"{name}-changes",
        "STATE_DIR": str(backlog.folder / name),
        "PARTITIONS": str(PARTITIONS),
        "PROGRESS": str(progress),
    }
    command = [sys.executable, str(program), "worker", "--loglevel", "warn", "--without-web"]

    def told() -> tuple[int, int]:
        events, changes = progress.read_text(encoding="utf-8").split()
        return int(events), int(changes)

    return measure(command, env, backlog, name, told)


def measure(
    command: Sequence[str], env: Mapping[str, str], backlog: Backlog, name: str, progress: Progress
) -> Sample:
    """Runs a program until `progress` says that the whole backlog is done."""
    log = backlog.folder / f"{name}.log"
    with MeasuredProcess(command, log=log, env=env, cwd=backlog.folder) as process:
        first: tuple[float, float, int] | None = None
        started = moved = time.monotonic()
        done = changes = 0
        while done < backlog.events:
            time.sleep(_SAMPLE_SECONDS)
            process.check()
            now = time.monotonic()
            before = done
            try:
                done, changes = progress()
            except OSError:
                done = before
            if done > before:
                moved = now
                first = first or (now, process.cpu_seconds(), done)
            if now - moved > _QUIET_SECONDS or now - started > _LIMIT_SECONDS:
                raise OperatorError(
                    f"{name} stands at {done:,} of {backlog.events:,} events:\n{process.tail()}"
                )
        end, cpu = time.monotonic(), process.cpu_seconds()
        changes = _settled(changes, progress)
    if first is None or first[2] >= done:
        raise OperatorError(f"{done:,} events are too few for a measurement of {name}: raise --events")
    return Sample(
        events=done - first[2],
        seconds=end - first[0],
        cpu_seconds=max(cpu - first[1], 0.01),
        changes=changes,
        memory=process.memory,
    )


def _settled(changes: int, progress: Progress) -> int:
    """The number of changes once it has come to rest: some of an ordinary program's take a way of their own."""
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < _REST_SECONDS:
        time.sleep(_SAMPLE_SECONDS)
        before, (_, changes) = changes, progress()
        if changes != before:
            quiet_since = time.monotonic()
    return changes


def _scrape(url: str) -> Progress:
    """What our worker's metrics say."""

    def told() -> tuple[int, int]:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                text = response.read().decode()
        except urllib.error.URLError as error:
            raise ConnectionError(str(error)) from error
        return total(text, "segstream_events_consumed_total"), total(text, "segstream_changes_total")

    return told


def total(exposition: str, metric: str) -> int:
    """The sum of a metric over its labels."""
    total = 0.0
    for line in exposition.splitlines():
        if line.startswith((f"{metric}{{", f"{metric} ")):
            total += float(line.rpartition(" ")[2])
    return int(total)


def _config(backlog: Backlog, name: str, definitions: Sequence[str], port: int = 0) -> Path:
    """Settings of a worker called `name`: state, topics and group of its own, the input shared."""
    settings = {
        "app": name,
        "definitions": list(definitions),
        "state_dir": str(backlog.folder / name),
        "kafka": {"brokers": backlog.brokers},
        "topics": {
            "events": backlog.topic,
            "changes": f"{name}-changes",
            "members": f"{name}-members",
            "dead_letters": f"{name}-dead-letters",
        },
        "partitions": PARTITIONS,
        # The backlog is historic data: its end must not be taken for silence of the shop.
        "time": {"idle_after": "off"},
        "http": {"port": port},
        "log": {"level": "warning"},
    }
    file = backlog.folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return file


def _beside_us(name: str) -> Path:
    """A program of benchmarks/, which is not part of the package."""
    program = ROOT / "benchmarks" / name
    if not program.is_file():
        raise OperatorError(f"this part of the benchmark needs the source checkout (benchmarks/{name})")
    return program


def _finish(command: Sequence[str], folder: Path) -> None:
    """Runs a command of ours to its end; OperatorError with its output if it fails."""
    log = folder / "command.log"
    with MeasuredProcess(command, log=log, env=os.environ, cwd=folder) as process:
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
