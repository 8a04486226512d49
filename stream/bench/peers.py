"""Other engines beside our worker: the same job, the same log, one program at a time, in turns.

The job is benchmarks/peers_job.yaml; benchmarks/peers/ has it by hand for each engine, and what each of them promises.
Ratios are printed only after the outputs were compared:

* The log is the simulated shop's without what the hand-written programs do not know: nothing late, nothing twice, no
  wrong clock. So there is one right answer, and whoever has timers must give exactly it.
* Engines that do nothing while nothing comes tell what is due with the user's next event. What they never tell is then
  exactly what became due after the last event of each user that matters; it is counted and named.
* Timers at the very end of the log, which no later event of the partition has passed, are nobody's: what a program
  tells beyond the end that all have in common is compared for the time before it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream.bench.backlog import (
    PARTITIONS,
    Backlog,
    beside_us,
    fill,
    finish,
    measure,
    run_worker,
)
from stream.bench.machine import ROOT
from stream.bench.report import Measurement, Report, Sample
from stream.errors import OperatorError
from stream.instants import parse_instant

JOB = ROOT / "benchmarks" / "peers_job.yaml"
FEW_EVENTS = 100_000
"""At most so many for the ordinary Faust program: it takes as long for them as the others do for a million."""
_CACHE = ROOT / ".cache" / "peers"
_WATCHED = frozenset(("product_viewed", "product_added", "order_completed"))

Told = Counter[tuple[str, str, str, int]]
"""Changes as (user, segment, type, instant)."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another engine's program."""

    name: str
    title: str
    promises: str
    timers: bool
    """Tells what becomes due while nothing comes."""
    command: Callable[[Path], list[str]]
    """Makes what it needs, and gives the command; the path is its state folder. OperatorError if it cannot run here."""
    slow: bool = False


def orderly(lines: Iterable[bytes]) -> list[bytes]:
    """The events that arrived well, once each, by their times, received at once."""
    seen = set()
    events = []
    for line in lines:
        event = json.loads(line)
        time, received = parse_instant(event["time"]), parse_instant(event["received_at"])
        if event["id"] not in seen and 0 <= received - time < 5_000:
            seen.add(event["id"])
            old, new = (b'"received_at":"%s"' % event[name].encode() for name in ("received_at", "time"))
            events.append((time, line.replace(old, new)))
    return [line for _, line in sorted(events, key=lambda each: each[0])]


def measure_peers(
    report: Report,
    brokers: str,
    folder: Path,
    lines: Sequence[bytes],
    repeat: int,
    names: Sequence[str],
    tell: Callable[[str], object],
) -> None:
    """Our worker and the named engines, in turns, so that a machine that slows down slows all of them."""
    log = orderly(lines)
    whole = fill(brokers, f"{folder.name}-peers", log, folder)
    few = log[:FEW_EVENTS]
    short = whole if len(few) == len(log) else fill(brokers, f"{folder.name}-few", few, folder)
    last = {len(log): last_events(log), len(few): last_events(few)}
    programs = {}
    for name in names:
        tell(f"preparing {PEERS[name].title}")
        programs[name] = PEERS[name].command(folder)
    ours: list[Sample] = []
    theirs: dict[str, list[Sample]] = {name: [] for name in names}
    for turn in range(repeat):
        tell(f"peers' job, run {turn + 1} of {repeat}: our worker")
        app = f"{folder.name}-ours-{turn}"
        ours.append(run_worker(whole, app, [str(JOB)]))
        right = {len(log): _ours(brokers, app, folder)}
        for name in names:
            peer, backlog = PEERS[name], short if PEERS[name].slow else whole
            tell(f"peers' job, run {turn + 1} of {repeat}: {peer.title}")
            if backlog.events not in right:  # the right answer to the shorter log
                run_worker(backlog, f"{folder.name}-short-{turn}", [str(JOB)])
                right[backlog.events] = _ours(brokers, f"{folder.name}-short-{turn}", folder)
            sample = _run_peer(peer, programs[name], backlog, f"{folder.name}-{name}-{turn}")
            told = _read(brokers, f"{folder.name}-{name}-{turn}-changes", folder, _plain)
            difference = compare(right[backlog.events], told, peer, last[backlog.events])
            theirs[name].append(
                Sample(
                    sample.events,
                    sample.seconds,
                    sample.cpu_seconds,
                    sample.changes,
                    sample.memory,
                    {},
                    difference,
                )
            )
    worker = Measurement(
        "worker, peers' job",
        tuple(ours),
        note="RocksDB, changelog in Kafka, changes and members; general engine",
    )
    report.measurements.append(worker)
    for name in names:
        peer = PEERS[name]
        measurement = Measurement(f"{peer.title}, peers' job", tuple(theirs[name]), note=peer.promises)
        report.measurements.append(measurement)
        report.compare(worker, measurement)


def last_events(log: Iterable[bytes]) -> dict[str, int]:
    """When each user's last event came that the job looks at."""
    last: dict[str, int] = {}
    for line in log:
        event = json.loads(line)
        if event["type"] in _WATCHED:
            last[event.get("user_id") or event["anonymous_id"]] = parse_instant(event["time"])
    return last


def compare(right: Told, told: Told, peer: Peer, last: Mapping[str, int]) -> dict[str, float]:
    """How a peer's changes differ from ours; OperatorError where that cannot be explained."""
    # Timers of the very end wait for an event of their own partition, in each program as it sees time.
    end = max(last.values()) - 3_600_000
    right, told = (
        Counter({change: n for change, n in each.items() if change[3] < end}) for each in (right, told)
    )
    missing, extra = right - told, told - right
    silent = {change for change in missing if not peer.timers and change[3] > last[change[0]]}
    wrong = [*(set(missing) - silent), *extra]
    if wrong:
        raise OperatorError(
            f"{peer.title} tells other changes than our worker, so their speeds cannot be compared: {len(wrong)} of "
            f"{right.total()}, such as {sorted(wrong)[:3]}"
        )
    return {
        "changes equal to ours": float((right & told).total()),
        "never told for want of timers": float(len(silent)),
    }


def _run_peer(peer: Peer, command: list[str], backlog: Backlog, name: str) -> Sample:
    # Some engines write changes with the times of the log: retention must not delete them.
    fill(backlog.brokers, f"{name}-changes", [], backlog.folder)
    state = backlog.folder / name
    state.mkdir()
    progress = backlog.folder / f"{name}.progress"

    def done() -> tuple[int, int]:
        events, changes = progress.read_text(encoding="utf-8").split()
        return int(events), int(changes)

    if peer.name == "bytewax":
        subprocess.run(
            [command[0], "-m", "bytewax.recovery", str(state), "1"], check=True, capture_output=True
        )
        command = [*command, "-r", str(state)]
    return measure(command, peer_environment(backlog, name), backlog, name, done)


def peer_environment(backlog: Backlog, name: str) -> dict[str, str]:
    """What the programs of benchmarks/peers are told."""
    return {
        **os.environ,
        "APP": name,
        "BROKERS": backlog.brokers,
        "EVENTS_TOPIC": backlog.topic,
        "CHANGES_TOPIC": f"{name}-changes",
        "STATE_DIR": str(backlog.folder / name),
        "PARTITIONS": str(PARTITIONS),
        "PROGRESS": str(backlog.folder / f"{name}.progress"),
        "PYTHONPATH": str(ROOT / "benchmarks" / "peers"),
    }


def _ours(brokers: str, app: str, folder: Path) -> Told:
    def parts(change: dict[str, object]) -> tuple[str, str, str, int]:
        user, segment = change["user"], change["segment"]
        assert isinstance(user, dict)
        assert isinstance(segment, dict)
        return user["id"], segment["key"], str(change["type"]), parse_instant(change["effective_at"])

    return _read(brokers, f"{app}-changes", folder, parts)


def _plain(change: dict[str, object]) -> tuple[str, str, str, int]:
    return str(change["user"]), str(change["segment"]), str(change["type"]), int(str(change["at"]))


def _read(
    brokers: str, topic: str, folder: Path, parts: Callable[[dict[str, object]], tuple[str, str, str, int]]
) -> Told:
    out = folder / f"{topic}.jsonl"
    finish([sys.executable, str(beside_us("read_changes.py")), brokers, topic, str(out)], folder)
    told = Counter(parts(json.loads(line)) for line in out.read_bytes().splitlines())
    out.unlink()
    return told


def _python(folder: Path) -> str:
    """The interpreter of an environment of the peers' own: what they need does not mix with the project's.

    It is made of the Python that runs this, for one build of Python is a fifth quicker than another.
    """
    environment = _CACHE / "python"
    python = environment / "bin" / "python"
    stamp = environment / "installed"
    requirements = beside_us("peers/requirements.txt")
    wanted = f"{sys.base_prefix} {sys.version}\n{requirements.read_text(encoding='utf-8')}"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        venv.create(environment, with_pip=True, clear=True)
        finish([str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)], folder)
        stamp.write_text(wanted, encoding="utf-8")
    return str(python)


def _stock_faust(folder: Path) -> list[str]:
    program = beside_us("peers/stock_faust.py")
    return [sys.executable, str(program), "-L", "uvloop", "worker", "--loglevel", "warn", "--without-web"]


def _quix(folder: Path) -> list[str]:
    return [_python(folder), str(beside_us("peers/quix_streams.py"))]


def _bytewax(folder: Path) -> list[str]:
    beside_us("peers/bytewax_flow.py")
    return [_python(folder), "-m", "bytewax.run", "bytewax_flow", "-s", "10", "-b", "0"]


def _kafka_streams(folder: Path) -> list[str]:
    for command in ("java", "javac", "mvn"):
        if shutil.which(command) is None:
            raise OperatorError(
                f"Kafka Streams needs a Java 17 development kit and Maven: there is no `{command}`"
            )
    source = beside_us("peers/kafka_streams/PeersJob.java")
    jars, classes = _CACHE / "kafka-streams", folder / "classes"
    if not any(jars.glob("kafka-streams-*.jar")):
        pom = source.with_name("pom.xml")
        finish(
            ["mvn", "-B", "-q", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"],
            folder,
        )
    finish(["javac", "-cp", f"{jars}{os.sep}*", "-d", str(classes), str(source)], folder)
    options = ["-Xmx1g", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    return ["java", *options, "-cp", f"{classes}{os.pathsep}{jars}{os.sep}*", "PeersJob"]


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "stock-faust",
            "stock Faust",
            f"Table on RocksDB, changelog, at least once; 4 MiB fetches; the first {FEW_EVENTS:,} events",
            True,
            _stock_faust,
            slow=True,
        ),
        Peer("quix", "Quix Streams", "RocksDB, changelog, at least once; 4 MiB fetches", False, _quix),
        Peer(
            "bytewax",
            "Bytewax",
            "state in memory, snapshots in local SQLite every 10 s, no changelog; 4 MiB fetches",
            False,
            _bytewax,
        ),
        Peer(
            "kafka-streams",
            "Kafka Streams",
            "RocksDB behind a 64 MiB cache, changelog, at least once; 4 MiB fetches; one stream thread",
            True,
            _kafka_streams,
        ),
    )
}
