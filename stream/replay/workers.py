"""A replay by several processes: each reads all logs and decides for its share of the users.

Reading and decoding a record costs a small part of what applying it does, so every process reads everything and no
event has to travel between them; what time other users' records tell is kept (driver.py), and the output is that of one
process to the byte. A store belongs to one process, so with `--state` a share is whole partitions instead of users.

Each process leaves sorted runs of changes in one folder; reading them together is merging them.
"""

from __future__ import annotations

import copyreg
import gc
import signal
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from stream.definitions import load
from stream.engine import Plan, TimeSettings, compile_plan
from stream.errors import OperatorError, SegstreamError
from stream.ingest import MAX_EVENT_BYTES, DeadLetter, load_mapping
from stream.replay.driver import BATCH_SIZE, Mine, Outcome, Replay
from stream.replay.logs import STDIN, Log
from stream.replay.packing import packed
from stream.replay.states import check_states, open_states
from stream.state import MemoryStore, Store

_COPY_BYTES = 1 << 20


def _reduce(times: TimeSettings) -> tuple[type[TimeSettings], tuple[Any, ...]]:
    return type(times), astuple(times)


copyreg.pickle(TimeSettings, _reduce)  # compiled and frozen, it could be written but not read again


@dataclass(frozen=True)
class Job:
    """What is to be replayed, as one can tell it to another process."""

    logs: tuple[str, ...]
    definitions: tuple[str, ...]
    """Files."""
    mapping: str = "canonical"
    times: TimeSettings = field(default_factory=TimeSettings)
    partitions: int | None = None
    batch_size: int = BATCH_SIZE
    until: int | None = None
    max_event_bytes: int = MAX_EVENT_BYTES
    state: str | None = None
    """Where users are kept; None: in memory."""
    dead_letters: str | None = None
    """The file for what cannot be read."""


@dataclass
class Run:
    """A finished job."""

    outcome: Outcome
    reasons: Counter[str]
    """Dead letters by reason."""
    examples: dict[str, str]
    """The first of each reason: where it stands, and what is wrong with it."""


Progress = Callable[[int, int | None], object]
"""Is told the records read so far, and the bytes of the logs if anybody knows."""


def run_job(
    job: Job,
    workers: int = 1,
    *,
    plan: Plan | None = None,
    progress: Progress = lambda records, position: None,
    files: ExitStack | None = None,
) -> Run:
    """Do it, in this process or in several. What is left on disk lives as long as `files`.

    `plan`: of the job's definitions, if it is at hand. Raises what reading definitions, mappings and logs raises.
    """
    if job.state is not None:
        check_states(Path(job.state), job.partitions or 1)
    with ExitStack() as own:
        if workers == 1:
            return _replay(job, plan or compile_plan(load(list(job.definitions))), None, None, progress)
        keep = own if files is None else files
        folder = Path(keep.enter_context(TemporaryDirectory(prefix="segstream-")))
        if STDIN in job.logs:
            job = with_copy_of_stdin(job, folder)
        return _share(job, workers, folder, progress)


def _replay(job: Job, plan: Plan, mine: Mine | None, folder: Path | None, progress: Progress) -> Run:
    reasons: Counter[str] = Counter()
    examples: dict[str, str] = {}
    with ExitStack() as files:
        letters = None
        if job.dead_letters is not None:
            to_stdout = job.dead_letters == STDIN
            letters = sys.stdout.buffer if to_stdout else files.enter_context(packed(Path(job.dead_letters)))
        mapping = load_mapping(job.mapping)
        run = Replay(
            plan,
            job.times,
            mapping=mapping,
            partitions=job.partitions,
            batch_size=job.batch_size,
            until=job.until,
            max_event_bytes=job.max_event_bytes,
            store=_stores(job, mine),
            on_dead_letter=_keep(letters, reasons, examples),
            mine=mine,
            spool_in=folder,
        )
        files.callback(run.runtime.close)
        # Batches leave no cycles behind: collecting young objects all the time finds nothing.
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)
        logs = [Log(path, mapping) for path in job.logs]
        for records in run.feed(*logs):
            positions = [log.position for log in logs]
            progress(records, None if None in positions else sum(filter(None, positions)))
        return Run(run.finish(), reasons, examples)


def _stores(job: Job, mine: Mine | None) -> Callable[[int], Store]:
    if job.state is None:
        return lambda partition: MemoryStore()
    on_disk = open_states(Path(job.state))
    # A store that another process has open is not ours to open: nobody of it is looked at here.
    return lambda partition: on_disk(partition) if mine is None or mine("", partition) else MemoryStore()


def _keep(
    file: IO[bytes] | None, reasons: Counter[str], examples: dict[str, str]
) -> Callable[[DeadLetter], None]:
    def keep(letter: DeadLetter) -> None:
        reasons[letter.reason] += 1
        if letter.reason not in examples:
            place = letter.coordinates
            examples[letter.reason] = f"{place.get('file')}:{place.get('line')}: {letter.message}"
        if file is not None:
            file.write(letter.to_json() + b"\n")

    return keep


def with_copy_of_stdin(job: Job, folder: Path) -> Job:
    """Standard input can be read once: everybody reads a copy."""
    copy = folder / "stdin"
    with copy.open("wb") as file:
        source = Log(STDIN)
        while block := source.read(_COPY_BYTES):
            file.write(block)
    return replace(job, logs=tuple(str(copy) if path == STDIN else path for path in job.logs))


# --- the shares ------------------------------------------------------------------------------------------------------


def _share(job: Job, workers: int, folder: Path, progress: Progress) -> Run:
    context = get_context("spawn")
    processes: list[BaseProcess] = []
    ends: list[Connection] = []
    try:
        for number in range(workers):
            (folder / str(number)).mkdir()
            ours, theirs = context.Pipe(duplex=False)
            arguments = (job, number, workers, str(folder / str(number)), theirs)
            process: BaseProcess = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            ends.append(ours)
        done = dict(_results(ends, processes, progress))
    finally:
        for process in processes:
            process.terminate()
            process.join()
        for end in ends:
            end.close()
    return _together([done[number] for number in range(workers)])


def _results(
    ends: list[Connection], processes: list[BaseProcess], progress: Progress
) -> Iterator[tuple[int, Run]]:
    waiting = {end: number for number, end in enumerate(ends)}
    while waiting:
        for ready in wait(list(waiting)):
            assert isinstance(ready, Connection)
            number = waiting[ready]
            try:
                kind, *said = ready.recv()
            except EOFError:
                processes[number].join()
                raise OperatorError(
                    f"process {number} of the replay ended with {processes[number].exitcode} before it was done; was "
                    "there too little memory? Fewer --workers need less, and --state keeps users on disk"
                ) from None
            if kind == "read":
                progress(*said)
            elif kind == "failed":
                raise _WorkerError(*said)
            else:
                del waiting[ready]
                yield number, said[0]


class _WorkerError(SegstreamError):
    """What a process could not do, with its message and exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def _work(job: Job, number: int, workers: int, folder: str, to: Connection) -> None:
    """One process. The first one also does what is done once: dead letters and progress."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches everybody; the first process ends the others
    is_first = number == 0

    def tell(records: int, position: int | None) -> None:
        if is_first:
            to.send(("read", records, position))

    def mine_of_users(user: str, partition: int) -> bool:
        return zlib.crc32(user.encode()) % workers == number if user else is_first

    def mine_of_partitions(user: str, partition: int) -> bool:
        return partition % workers == number

    if not is_first:
        job = replace(job, dead_letters=None)
    try:
        plan = compile_plan(load(list(job.definitions)))
        run = _replay(job, plan, mine_of_partitions if job.state else mine_of_users, Path(folder), tell)
        run.outcome.changes.flush()
        to.send(("done", run))
    except SegstreamError as error:
        to.send(("failed", str(error), error.exit_code))
    except OSError as error:
        to.send(("failed", str(error), 3))


def _together(runs: list[Run]) -> Run:
    """The outcome as one process would have given it."""
    first, *others = runs
    outcome = first.outcome
    for other in (run.outcome for run in others):
        outcome.changes.adopt(other.changes.runs, len(other.changes))
        outcome.tally.join(other.tally)
        outcome.users += other.users
        for segment, count in other.members.items():
            outcome.members[segment] = outcome.members.get(segment, 0) + count
    return first
