"""A changelog that is slow holds everything up: what waits in the process stays small, whatever the backlog."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from stream.ingest import Ingest
from stream.metrics import Metrics
from stream.runtime.kafka.changelog import Anchor, Marker
from stream.runtime.kafka.commit import Committer
from stream.runtime.kafka.owned import Owned
from stream.runtime.kafka.pulse import Pulse
from stream.runtime.kafka.raw import Fetched
from stream.runtime.kafka.rounds import Rounds
from stream.runtime.kafka.waypoints import Waypoint
from stream.state import MemoryStore
from tests.kafka.fake_engine import FakeEngine

START = 1_750_000_000_000
BATCH = 100
BATCHES = 150
USERS = 90
MOST = 6 * BATCH
"""Of records. One batch is stepped, one waits, Faust brings one more; one draft fills (by a batch at most to more than
it should hold), one is on its way."""


class Log:
    """A changelog that takes everything, when it is let."""

    foreign = range(0)

    def __init__(self) -> None:
        self.ends: list[int] = []
        self.profiles: dict[str, bytes | None] = {}

    async def append(self, profiles: Mapping[str, bytes | None], marker: Marker) -> Anchor:
        self.ends.append(marker.next_offset)
        self.profiles.update(profiles)
        return Anchor("log", len(self.ends), 0, marker.next_offset, marker.engine, 0)


class Outputs:
    """What was published, and nothing to repair."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    async def changes(self, pending: Any) -> None:
        self.values += [change.value for _, changes in pending for change in changes]

    async def repair(self, *_: Any) -> None:
        return None


def backlog() -> list[Fetched]:
    batches = []
    for start in range(0, BATCH * BATCHES, BATCH):
        batch = Fetched()
        batch.start, batch.next_offset = start, start + BATCH
        for offset in range(start, start + BATCH):
            now, user = START + offset * 1_000, f"u{offset * 7 % USERS}"
            event = {"id": f"e{offset}", "type": "product_viewed", "time": now, "user_id": user}
            record: Any = SimpleNamespace(
                value=json.dumps(event).encode(), key=user.encode(), offset=offset, timestamp=now, headers=[]
            )
            batch.append(record)
        batches.append(batch)
    return batches


def test_a_backlog_waits_outside_while_the_changelog_is_slow() -> None:
    asyncio.run(_hold_up())


async def _hold_up() -> None:
    may_pass, put_away = asyncio.Semaphore(0), asyncio.Event()
    held: list[int] = []
    log, outputs, store, engine = Log(), Outputs(), MemoryStore(), FakeEngine()
    acknowledged: list[int] = []
    failures: list[BaseException] = []

    async def passing(waypoint: Waypoint) -> None:
        held.append(owned.read - owned.committed)
        if waypoint is Waypoint.PARTLY_LOGGED:
            await may_pass.acquire()
        if owned.committed == BATCH * BATCHES:
            put_away.set()

    async def fail(error: BaseException) -> None:
        failures.append(error)

    anything: Any = outputs
    changelog: Any = log
    state: Any = engine.open(store, None)
    rounds = Rounds(
        engine,  # type: ignore[arg-type]
        Ingest(),
        Metrics(),
        topic="events",
        partitions=1,
        source="/test",
        step_bytes=64 << 10,
        failed=fail,
        lost=fail,
    )
    committer = Committer(anything, anything, Metrics(), Pulse(1.0), passing, topic="events", partitions=1)
    owned = Owned(0, store, changelog, state, position=0)

    async def bring() -> None:
        for batch in backlog():
            next_offset = batch.next_offset
            event = SimpleNamespace(ack=lambda next_offset=next_offset: acknowledged.append(next_offset))
            await rounds.offer(event, 0, batch)
            held.append(owned.read - owned.committed)

    rounds.start()
    rounds.resume({0: owned}, committer)
    bringing = asyncio.create_task(bring())
    try:
        for _ in range(20):  # stuck, then a round at a time
            await _rest()
            assert not bringing.done(), "a backlog was taken that nobody could put away"
            may_pass.release()
        assert 0 < owned.committed < BATCH * BATCHES / 2
        for _ in range(2 * BATCHES):  # full speed again
            may_pass.release()
        await bringing
        await asyncio.wait_for(put_away.wait(), 60)
        await rounds.pause()
    finally:
        bringing.cancel()
        await rounds.stop()
    assert failures == []
    assert max(held) <= MOST
    assert log.ends == sorted(set(log.ends))
    assert log.ends[-1] == owned.committed == BATCH * BATCHES
    assert acknowledged == list(range(BATCH, BATCH * BATCHES + 1, BATCH))
    assert dict(store.scan()) == log.profiles
    seqs: dict[str, list[int]] = defaultdict(list)
    for value in map(json.loads, outputs.values):
        seqs[value["user"]].append(value["seq"])
    assert len(seqs) == USERS
    assert all(each == list(range(1, len(each) + 1)) for each in seqs.values()), "order was lost"


async def _rest() -> None:
    """Long enough for everything that can go on to go on."""
    for _ in range(200):
        await asyncio.sleep(0)
