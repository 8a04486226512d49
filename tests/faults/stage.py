"""A stage on which a log is played: topics of its own, workers that can be hurt, and the clock of their recovery."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stream.runtime.kafka.changelog import MARKER, Marker, decode
from tests.faults.shop import PACK, Shop
from tests.faults.verdict import Verdict, judge
from tests.kafka.broker import Broker, free_port
from tests.kafka.harness import Deployment, WorkerProcess

FAULTY = ("-m", "tests.faults.worker")
PATIENCE = 180.0


class Stage:
    """One play of a shop's log on a broker."""

    def __init__(self, broker: Broker, folder: Path, name: str, shop: Shop, **settings: Any) -> None:
        self.shop = shop
        self.broker = broker
        self.deployment = Deployment(
            broker, folder, name, definitions=[PACK], time={"idle_after": "off"}, **settings
        )
        self.deployment.create_topics(create_time=True, partitions=shop.partitions)
        self.hits = folder / "hits"
        self.injected = 0
        self.recovery = 0.0
        self._producing: threading.Thread | None = None
        self._workers = 0

    # the log

    def produce(self, rows: slice = slice(None), pace: float = 0.0) -> None:
        self.deployment.produce(self.shop.rows[rows], pace=pace)

    def produce_beside(self, pace: float, rows: slice = slice(None)) -> None:
        """In a thread, `pace` rows a second; `close` waits for it."""
        self._producing = threading.Thread(target=self.produce, args=(rows, pace))
        self._producing.start()

    @property
    def producing(self) -> bool:
        return self._producing is not None and self._producing.is_alive()

    def join(self) -> None:
        """Until `produce_beside` is done."""
        if self._producing is not None:
            self._producing.join()

    def close(self) -> None:
        """Everything is due up to the end of the log."""
        self.join()
        at = self.shop.until + 1
        value = json.dumps({"type": "clock_advanced", "time": at}).encode()
        self.deployment.produce_to(dict.fromkeys(range(self.shop.partitions), (value, at)))

    # workers

    def worker(self, *, fault: dict[str, Any] | None = None, own: str = "", **env: str) -> WorkerProcess:
        """`fault` as tests.faults.worker takes it; `own` names a worker with a state folder and port of its own."""
        if fault:
            env |= {"FAULT": json.dumps(fault), "FAULT_HITS": str(self.hits)}
        if own:
            folder = self.deployment.folder / own
            env |= {"SEGSTREAM_STATE_DIR": str(folder)}
        # Faust's assignor expects a static member that comes back at the address that it had.
        port = free_port() if own else self.deployment.port
        env |= {"SEGSTREAM_HTTP_PORT": str(port)}
        return self.deployment.worker(FAULTY, env, port=port)

    @contextmanager
    def recovering(self) -> Iterator[None]:
        """One more fault, from here until the block ends with a worker that is ready again."""
        began = time.monotonic()
        yield
        self.injected += 1
        self.recovery = max(self.recovery, time.monotonic() - began)

    def until_hit(self, worker: WorkerProcess, waypoint: str, result: int = -signal.SIGKILL) -> None:
        """The worker ends at a waypoint."""
        code = worker.process.wait(PATIENCE / 2)
        assert code == result, f"expected {result} at {waypoint}, got {code}:\n{worker.tail()}"
        assert waypoint in self.hits.read_text().split(), f"{waypoint} was never passed"

    def finish(self, fault: str, *workers: WorkerProcess) -> Verdict:
        """Reads the log to its end with `workers`, or with one that is started now, and compares."""
        self.close()
        crew = list(workers or (self.worker(),))
        wait_all(crew, "reading the log to its end", self.is_logged)
        wait_all(crew, "firing what is due", lambda: done(crew, self.shop.partitions))
        for worker in crew:
            assert worker.terminate() == 0, worker.tail()
        return judge(fault, self.injected, self.recovery, self.deployment, self.shop)

    def is_logged(self) -> bool:
        """The input is in the changelog to its end. (A worker's own lag is up to a second old.)"""
        reached: dict[int, int] = {}
        for record in self.deployment.read("state"):
            if record.key == MARKER and record.value is not None:
                reached[record.partition] = decode(record.value, Marker).next_offset
        return sum(reached.values()) == self.deployment.input_size()

    def stop(self) -> None:
        self.deployment.stop()
        if self._producing is not None:
            self._producing.join()


def done(crew: list[WorkerProcess], partitions: int) -> bool:
    """All partitions are somebody's, and read to their end."""
    return (
        all(worker.is_done() for worker in crew) and sum(len(owned(worker)) for worker in crew) == partitions
    )


def owned(worker: WorkerProcess) -> list[int]:
    """The worker's partitions; none while it cannot be asked or is not ready."""
    try:
        status, text = worker.get("/ready")
    except OSError:
        return []
    return json.loads(text)["partitions"] if status == 200 else []


def wait_all(crew: list[WorkerProcess], what: str, condition: Callable[[], bool]) -> None:
    """Until `condition`; fails if a worker ends."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        for worker in crew:
            assert worker.process.poll() is None, f"a worker ended while {what}:\n{worker.tail()}"
        assert time.monotonic() < deadline, f"{what} took longer than {PATIENCE:.0f} s:\n{crew[0].tail()}"
        time.sleep(0.1)


def is_stopped(worker: WorkerProcess) -> bool:
    """SIGSTOP has arrived."""
    with open(f"/proc/{worker.process.pid}/stat") as file:  # noqa: PTH123
        return file.read().rsplit(")", 1)[1].split()[0] == "T"


def resume(worker: WorkerProcess) -> None:
    os.kill(worker.process.pid, signal.SIGCONT)
