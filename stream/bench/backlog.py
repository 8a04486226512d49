"""Whole programs on a real broker: how fast a backlog is worked off.

A backlog lies in the events topic; a program is started on it. CPU-seconds are charged from the first sample in which
the program answers at all, with nothing done: importing itself counts for nobody; joining its group, opening its state,
compiling itself (a JVM) and all that was computed before the first acknowledgement count. A program that has done
something before it answers is charged from its start. The wall clock runs from the last sample in which nothing is
done to the one in which all is: waiting for a group is no throughput.
Programs are measured one at a time. The broker's and the program's share of the cores is what the system gives them:
CPU-seconds of the program alone are the fairer figure on a small machine.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from math import inf
from pathlib import Path
from typing import NamedTuple

import yaml

from stream.bench.machine import ROOT
from stream.bench.processes import MeasuredProcess
from stream.bench.report import Measurement, Sample
from stream.errors import OperatorError

PARTITIONS = 4
SAMPLE_SECONDS = 0.1
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


def fill(brokers: str, topic: str, lines: Iterable[bytes], folder: Path) -> Backlog:
    """Produces the events into the topic, with the times at which they were received. Makes it if it is new."""
    program = beside_us("fill_topic.py")
    log = folder / f"{topic}.jsonl"
    count = write_log(log, lines)
    finish([sys.executable, str(program), brokers, topic, str(PARTITIONS), str(log)], folder)
    log.unlink()
    return Backlog(brokers, topic, count, folder)


def write_log(log: Path, lines: Iterable[bytes]) -> int:
    """The events as a file of lines; how many there were."""
    count = 0
    with log.open("wb") as file:
        for line in lines:
            file.write(line + b"\n")
            count += 1
    return count


def run_worker(backlog: Backlog, name: str, definitions: Sequence[str]) -> Sample:
    """Our worker on the backlog, with topics of its own for everything but the input."""
    port = free_port()
    config = configure(backlog, name, definitions, port)
    create_topics(config, backlog.folder)
    return measure(worker(config), dict(os.environ), backlog, name, scrape(port))


def worker(config: Path) -> list[str]:
    """The command that runs a worker."""
    return [sys.executable, "-m", "stream", "run", "--config", str(config)]


def create_topics(config: Path, folder: Path) -> None:
    """Makes the topics of a configuration that are not there."""
    finish([sys.executable, "-m", "stream", "topics", "--create", "--config", str(config)], folder)


def measure_changelog(brokers: str, folder: Path, records: int, repeat: int) -> Measurement:
    """Steps of 2,000 profiles into a changelog topic, each acknowledged. An `event` is a profile here."""
    program, name = beside_us("write_changelog.py"), f"{folder.name}-changelog"
    create_topics(configure(Backlog(brokers, f"{name}-events", 0, folder), name, []), folder)
    samples = []
    for _ in range(repeat):
        done = subprocess.run(
            [sys.executable, str(program), brokers, f"{name}-state", str(records)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise OperatorError(f"{program.name} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        seconds, cpu = map(float, done.stdout.split())
        samples.append(Sample(records, seconds, max(cpu, 0.01), 0))
    return Measurement(
        "changelog, write", tuple(samples), note="300-byte profiles, 2,000 a step, one partition"
    )


def measure(
    command: Sequence[str],
    env: Mapping[str, str],
    backlog: Backlog,
    name: str,
    progress: Progress,
    *,
    after: Callable[[], Mapping[str, float]] = dict,
) -> Sample:
    """Runs a program until `progress` says that the whole backlog is done.

    `after` is asked for more figures then, while the program still runs.
    """
    log = backlog.folder / f"{name}.log"
    with MeasuredProcess(command, log=log, env=env, cwd=backlog.folder) as process:
        idle: float | None = None  # CPU-seconds when it first answered
        begun = time.monotonic()
        done = changes = 0
        for look in watch(process, progress, backlog.events, name, _LIMIT_SECONDS):
            done, changes = look.done, look.changes
            if look.answered and idle is None:
                idle = 0.0 if done else process.cpu_seconds()
            if not done:
                begun = look.clock
        end, cpu = time.monotonic(), process.cpu_seconds()
        changes = _settled(changes, progress)
        figures = after()
    return Sample(
        events=done,
        seconds=end - begun,
        cpu_seconds=max(cpu - (idle or 0.0), 0.01),
        changes=changes,
        memory=process.memory,
        figures=figures,
    )


class Look(NamedTuple):
    """What a program said at some moment."""

    clock: float
    """Monotonic seconds."""
    done: int
    changes: int
    answered: bool
    """False while it cannot tell: the figures are those of the time before."""


def watch(
    process: MeasuredProcess, progress: Progress, events: int, name: str, limit_seconds: float = inf
) -> Iterator[Look]:
    """Looks at a program ten times a second until `events` are done.

    OperatorError, with the end of its log, where it ends, stands still, or takes longer than the limit.
    """
    started = moved = time.monotonic()
    done = changes = 0
    while done < events:
        time.sleep(SAMPLE_SECONDS)
        process.check()
        now, before, answered = time.monotonic(), done, True
        try:
            done, changes = progress()
        except OSError:
            answered = False
        if done > before:
            moved = now
        yield Look(now, done, changes, answered)
        if now - moved > _QUIET_SECONDS or now - started > limit_seconds:
            raise OperatorError(f"{name} stands at {done:,} of {events:,} events:\n{process.tail()}")


def _settled(changes: int, progress: Progress) -> int:
    """The number of changes once it has come to rest: some of an ordinary program's take a way of their own."""
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < _REST_SECONDS:
        time.sleep(SAMPLE_SECONDS)
        before, (_, changes) = changes, progress()
        if changes != before:
            quiet_since = time.monotonic()
    return changes


def exposition(port: int, *names: str) -> str:
    """These metrics of our worker; OSError while it cannot tell them."""
    query = urllib.parse.urlencode([("name[]", name) for name in names])
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics?{query}", timeout=5) as response:
            text: str = response.read().decode()
    except urllib.error.URLError as error:
        raise ConnectionError(str(error)) from error
    return text


def scrape(port: int) -> Progress:
    """What our worker's metrics say of its progress. Only those are asked for: ten times a second, all of them would be
    a tenth of what it is measured for."""
    events, changes = "segstream_events_consumed_total", "segstream_changes_total"

    def told() -> tuple[int, int]:
        text = exposition(port, events, changes)
        return total(text, events), total(text, changes)

    return told


def total(exposition: str, metric: str) -> int:
    """The sum of a metric over its labels."""
    total = 0.0
    for line in exposition.splitlines():
        if line.startswith((f"{metric}{{", f"{metric} ")):
            total += float(line.rpartition(" ")[2])
    return int(total)


def configure(
    backlog: Backlog, name: str, definitions: Sequence[str], port: int = 0, *, live: bool = False
) -> Path:
    """Settings of a worker called `name`: state, topics and group of its own, the input shared. A `live` one has the
    worker's own settings of time."""
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
        # A backlog is historic data: its end must not be taken for silence of the shop.
        "time": {} if live else {"idle_after": "off"},
        "http": {"port": port},
        "log": {"level": "info" if live else "warning"},
    }
    file = backlog.folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return file


def beside_us(name: str) -> Path:
    """A program of benchmarks/, which is not part of the package."""
    program = ROOT / "benchmarks" / name
    if not program.is_file():
        raise OperatorError(f"this part of the benchmark needs the source checkout (benchmarks/{name})")
    return program


def finish(command: Sequence[str], folder: Path) -> None:
    """Runs a command of ours to its end; OperatorError with its output if it fails."""
    log = folder / "command.log"
    with MeasuredProcess(command, log=log, env=os.environ, cwd=folder) as process:
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
