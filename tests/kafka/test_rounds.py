"""A changelog that is slow holds everything up: what waits in the process stays small, whatever the backlog."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream.errors import RecordError
from stream.events import Event
from stream.ingest import DeadLetter, Ingest
from stream.ingest.origin import Record
from stream.metrics import Metrics
from stream.runtime.kafka import rounds as rounds_module
from stream.runtime.kafka.changelog import Anchor, Marker
from stream.runtime.kafka.commit import Committer
from stream.runtime.kafka.owned import Owned
from stream.runtime.kafka.pulse import Pulse
from stream.runtime.kafka.raw import Fetched
from stream.runtime.kafka.rounds import Rounds
from stream.runtime.kafka.waypoints import Waypoint, nobody
from stream.state import MemoryStore
from tests.kafka.fake_engine import FakeEngine, Step

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
    return [
        fetch(start, [f"u{offset * 7 % USERS}" for offset in range(start, start + BATCH)])
        for start in range(0, BATCH * BATCHES, BATCH)
    ]


def fetch(start: int, users: list[str], unreadable: Container[int] = ()) -> Fetched:
    """An event of each of `users`, one after the other from offset `start` on; at some there is none to be read."""
    records: list[Any] = []
    for offset, user in enumerate(users, start):
        now = START + offset * 1_000
        event = {"id": f"e{offset}", "type": "product_viewed", "time": now, "user_id": user}
        value = b"{" if offset in unreadable else json.dumps(event).encode()
        records.append(
            SimpleNamespace(value=value, key=user.encode(), offset=offset, timestamp=now, headers=[])
        )
    return Fetched([records], start, start + len(users))


def make_rounds(
    engine: FakeEngine, fail: Callable[[BaseException], Awaitable[None]], ingest: Ingest | None = None
) -> Rounds:
    return Rounds(
        engine,  # type: ignore[arg-type]
        ingest or Ingest(),
        Metrics(),
        topic="events",
        partitions=1,
        source="/test",
        step_bytes=64 << 10,
        failed=fail,
        lost=fail,
    )


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
    rounds = make_rounds(engine, fail)
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


def test_a_round_is_for_who_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds_module, "_HOLD_SECONDS", 3_600.0)
    asyncio.run(_hold_back())


async def _hold_back() -> None:
    logs, outputs, engine = (Log(), Log()), Outputs(), FakeEngine()
    acknowledged: list[str] = []

    async def fail(error: BaseException) -> None:
        raise error

    anything: Any = outputs
    rounds = make_rounds(engine, fail)
    owned = {}
    for number, log in enumerate(logs):
        store, changelog = MemoryStore(), cast("Any", log)
        owned[number] = Owned(number, store, changelog, cast("Any", engine.open(store, None)), position=0)

    async def bring(number: int, batch: Fetched) -> None:
        name = f"{number}-{batch.start}"
        await rounds.offer(SimpleNamespace(ack=lambda: acknowledged.append(name)), number, batch)
        await _rest()

    rounds.start()
    committer = Committer(anything, anything, Metrics(), Pulse(1.0), nobody, topic="events", partitions=1)
    rounds.resume(owned, committer)
    try:
        await bring(0, fetch(0, ["ann", "ann"]))
        assert (logs[0].ends, logs[1].ends) == ([], []), "nobody is told anything yet"
        await bring(1, fetch(0, ["bob", "bob", "bob"]))  # every third event makes a change
        assert (logs[0].ends, logs[1].ends) == ([], [3])
        await bring(0, fetch(2, ["ann", "eve"]))
        assert (logs[0].ends, logs[1].ends) == ([4], [3])
        await bring(1, fetch(3, ["eve"]))
        assert acknowledged == ["1-0", "0-0", "0-2"]
        assert committer.rounds == 2
        await asyncio.wait_for(rounds.pause(), 60)
    finally:
        await rounds.stop()
    assert (logs[0].ends, logs[1].ends) == ([4], [3, 4]), "what was stepped is put away before a rest"
    assert acknowledged == ["1-0", "0-0", "0-2", "1-3"]
    assert len(outputs.values) == 2


def test_partitions_of_one_fetch_go_together() -> None:
    asyncio.run(_go_together())


async def _go_together() -> None:
    logs, engine = (Log(), Log(), Log()), FakeEngine()

    async def fail(error: BaseException) -> None:
        raise error

    anything: Any = Outputs()
    rounds = make_rounds(engine, fail)
    owned = {}
    for number, log in enumerate(logs):
        store, changelog = MemoryStore(), cast("Any", log)
        owned[number] = Owned(number, store, changelog, cast("Any", engine.open(store, None)), position=0)
    rounds.start()
    committer = Committer(anything, anything, Metrics(), Pulse(60.0), nobody, topic="events", partitions=1)
    rounds.resume(owned, committer)
    await _rest()
    try:
        for number in owned:  # each has something to tell at once
            await rounds.offer(SimpleNamespace(ack=lambda: None), number, fetch(0, ["ann"] * 3))
        await _rest()
    finally:
        await rounds.stop()
    assert [log.ends for log in logs] == [[3], [3], [3]]
    assert committer.rounds == 1


def test_what_waits_goes_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds_module, "_HOLD_SECONDS", 0.01)
    asyncio.run(_wait_it_out())


async def _wait_it_out() -> None:
    put_away = asyncio.Event()
    log, engine, store = Log(), FakeEngine(), MemoryStore()

    async def passing(waypoint: Waypoint) -> None:
        if waypoint is Waypoint.ACKNOWLEDGED:
            put_away.set()

    async def fail(error: BaseException) -> None:
        raise error

    anything: Any = Outputs()
    rounds = make_rounds(engine, fail)
    owned = Owned(0, store, cast("Any", log), cast("Any", engine.open(store, None)), position=0)
    rounds.start()
    rounds.resume(
        {0: owned},
        Committer(anything, anything, Metrics(), Pulse(60.0), passing, topic="events", partitions=1),
    )
    try:
        for at in range(3):
            put_away.clear()
            await rounds.offer(SimpleNamespace(ack=lambda: None), 0, fetch(at, [f"u{at}"]))
            await asyncio.wait_for(put_away.wait(), 60)
            assert log.ends[-1] == owned.committed == at + 1
    finally:
        await rounds.stop()


@pytest.mark.parametrize("each", [1, 3])
def test_a_full_draft_takes_no_more_of_its_batch(each: int) -> None:
    asyncio.run(_cut(FanOut(each)))


class FanOut(Ingest):
    """Makes several events of each record."""

    def __init__(self, each: int) -> None:
        super().__init__()
        self._each = each

    def read_records(
        self, records: Sequence[Record]
    ) -> tuple[list[Event], list[tuple[int, RecordError]], bool]:
        events, errors, placed = super().read_records(records)
        return [event for event in events for _ in range(self._each)], errors, placed


class SmallSteps(FakeEngine):
    """Whose steps are full after ten events."""

    def step(self, partition: Any, events: Sequence[Event], next_offset: int) -> Step:
        few = events[:10]
        return super().step(partition, few, events[10].offset if len(few) < len(events) else next_offset)


async def _cut(ingest: Ingest) -> None:
    (whole,), *at_once = await _take_one_batch(FakeEngine(), ingest)
    cuts, *in_parts = await _take_one_batch(SmallSteps(), ingest)
    assert whole == cuts[-1] == 3 * BATCH
    assert len(cuts) > 1
    assert cuts == sorted(set(cuts))
    assert at_once == in_parts
    assert all(at_once)


async def _take_one_batch(
    engine: FakeEngine, ingest: Ingest
) -> tuple[list[int], list[bytes], dict[str, bytes | None]]:
    """Where the steps in the log end, what was published, and the profiles."""
    log, outputs, store = Log(), Outputs(), MemoryStore()
    dead: list[int] = []
    acknowledged: list[int] = []
    put_away = asyncio.Event()

    async def bury(letters: Iterable[DeadLetter]) -> None:
        dead.extend(letter.coordinates["offset"] for letter in letters)

    async def fail(error: BaseException) -> None:
        raise error

    async def passing(waypoint: Waypoint) -> None:
        if waypoint is Waypoint.ACKNOWLEDGED and owned.committed == 3 * BATCH:
            put_away.set()

    anything: Any = outputs
    anything.dead_letters = bury
    rounds = make_rounds(engine, fail, ingest)
    owned = Owned(0, store, cast("Any", log), cast("Any", engine.open(store, None)), position=0)
    unreadable = [0, 57, 58, 3 * BATCH - 1]
    batch = fetch(0, [f"u{offset % USERS}" for offset in range(3 * BATCH)], unreadable)
    rounds.start()
    rounds.resume(
        {0: owned},
        Committer(anything, anything, Metrics(), Pulse(60.0), passing, topic="events", partitions=1),
    )
    try:
        await rounds.offer(SimpleNamespace(ack=lambda: acknowledged.append(owned.committed)), 0, batch)
        await asyncio.wait_for(put_away.wait(), 60)
    finally:
        await rounds.stop()
    assert dead == unreadable, "each is told once, with the step that leaves it behind"
    assert acknowledged == [3 * BATCH]
    assert dict(store.scan()) == log.profiles
    return log.ends, outputs.values, log.profiles


async def _rest() -> None:
    """Long enough for everything that can go on to go on."""
    for _ in range(200):
        await asyncio.sleep(0)
