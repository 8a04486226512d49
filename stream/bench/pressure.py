"""More events waiting than memory could hold: the worker must take them at its own pace, and be as fast afterwards.

Tenths of the backlog are told apart, by resident memory and by events a second. Memory that grows with what waits or
was read, or a state that slows down what comes later, would show between them. (Until the cache of the local state is
full, memory grows with the state.) Afterwards the same process gets the events of a live shop.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from stream.bench.backlog import (
    PARTITIONS,
    SAMPLE_SECONDS,
    Backlog,
    Progress,
    configure,
    create_topics,
    fill,
    free_port,
    scrape,
    watch,
    worker,
    write_log,
)
from stream.bench.live import load_live
from stream.bench.processes import MeasuredProcess
from stream.bench.report import Measurement, Sample
from stream.errors import OperatorError
from stream.instants import format_instant

_TENTHS = 10
_LOOKS = (1, 3, 5, 7, 10)
"""Tenths after which memory is told."""
_SLICE = 500_000
"""Events that lie on disk as a file before they are in the topic."""
_LIMIT_SECONDS = 900.0
_QUIET_LOOKS = 5


class _Seen(NamedTuple):
    """What was seen at some moment."""

    clock: float
    cpu: float
    done: int
    changes: int
    resident: int


def measure_pressure(
    brokers: str,
    folder: Path,
    lines: Iterator[bytes],
    events: int,
    definitions: Sequence[str],
    live: Sequence[bytes],
    rate: int,
    seconds: float,
) -> Iterator[Measurement]:
    """`events` of `lines` wait when the worker starts; `live` ones come when they are done."""
    name = f"{folder.name}-pressure"
    backlog = _fill(brokers, name, lines, events, folder)
    port = free_port()
    config = configure(backlog, f"{name}-worker", definitions, port)
    create_topics(config, folder)
    with MeasuredProcess(worker(config), log=folder / f"{name}.log", env=os.environ, cwd=folder) as process:
        seen = _work_off(process, scrape(port), backlog.events)
        # What became due since then, months perhaps, fires before latency is looked at.
        fill(brokers, name, _present(), folder)
        _await_quiet(port)
        log = folder / f"{name}.jsonl"
        write_log(log, live)
        after = load_live(process, backlog, f"{name}-worker-changes", log, rate, seconds)
    tenths = [
        next(at for at, each in enumerate(seen) if each.done * _TENTHS >= part * backlog.events)
        for part in range(_TENTHS + 1)
    ]
    figures = {f"MiB after {part}/10": seen[tenths[part]].resident / 2**20 for part in _LOOKS}
    for name, part in (("first", 0), ("last", _TENTHS - 1)):
        figures[f"events/s in the {name} tenth"] = _rate(seen[tenths[part] : tenths[part + 1] + 1])
    title = f"worker, {backlog.events:,} events waiting"
    yield Measurement(title, (_sample(seen, process.memory, figures),), note=", ".join(definitions))
    yield Measurement(f"worker, {rate:,} events/s afterwards", (after,), note="milliseconds")


def _fill(brokers: str, topic: str, lines: Iterator[bytes], events: int, folder: Path) -> Backlog:
    produced = 0
    while produced < events:
        part = fill(brokers, topic, islice(lines, min(_SLICE, events - produced)), folder)
        if not part.events:
            break
        produced += part.events
    return Backlog(brokers, topic, produced, folder)


def _present() -> Iterator[bytes]:
    """Events of now for all partitions."""
    stamp = format_instant(int(time.time() * 1000))
    for number in range(100 * PARTITIONS):
        yield (
            f'{{"id":"now-{number}","type":"page_viewed","time":"{stamp}","user_id":"now-{number}",'
            f'"received_at":"{stamp}"}}'
        ).encode()


def _await_quiet(port: int) -> None:
    """Until nothing is firing."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    quiet = 0
    while quiet < _QUIET_LOOKS:
        if time.monotonic() > deadline:
            raise OperatorError(f"timers still fire after {_LIMIT_SECONDS:.0f} s")
        time.sleep(1.0)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=30) as response:
            quiet = 0 if json.loads(response.read())["firing"] else quiet + 1


def _work_off(process: MeasuredProcess, progress: Progress, events: int) -> list[_Seen]:
    """From the first answer until `events` are done."""
    return [
        _Seen(look.clock, process.cpu_seconds(), look.done, look.changes, process.resident())
        for look in watch(process, progress, events, "the worker")
        if look.answered
    ]


def _rate(seen: Sequence[_Seen]) -> float:
    return (seen[-1].done - seen[0].done) / max(seen[-1].clock - seen[0].clock, SAMPLE_SECONDS)


def _sample(seen: Sequence[_Seen], memory: int | None, figures: dict[str, float]) -> Sample:
    """From the last moment at which nothing was done."""
    start = [each for each in seen if each.done == seen[0].done][-1]
    end = seen[-1]
    return Sample(
        end.done - start.done,
        max(end.clock - start.clock, SAMPLE_SECONDS),
        max(end.cpu - start.cpu, 0.01),
        end.changes - start.changes,
        memory,
        figures=figures,
    )
