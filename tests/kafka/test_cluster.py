"""What a worker asks about its topics, and what it refuses to start with."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from stream.config import load_settings
from stream.errors import OperatorError
from stream.runtime.kafka import cluster
from stream.runtime.kafka.cluster import USUAL_LAG_SECONDS, Cluster

SETTINGS = load_settings(None, {"SEGSTREAM_APP": "shop"})
TOPICS = SETTINGS.topics
ALL = dict.fromkeys((TOPICS.events, TOPICS.changes, TOPICS.members, TOPICS.dead_letters, "shop-state"), 4)


def check(partitions: dict[str, int]) -> int:
    async def fetch_all_metadata() -> Any:
        return SimpleNamespace(partitions_for_topic=lambda name: set(range(partitions.get(name, 0))))

    producer: Any = SimpleNamespace(client=SimpleNamespace(fetch_all_metadata=fetch_all_metadata))
    return asyncio.run(Cluster({}, SETTINGS, "shop-state").check_topics(producer))


def test_the_partitions_of_the_input() -> None:
    assert check({**ALL, TOPICS.changes: 1}) == 4


def test_all_missing_topics_are_named_with_the_fix() -> None:
    present = {name: count for name, count in ALL.items() if name not in (TOPICS.members, "shop-state")}
    with pytest.raises(OperatorError, match=f"{TOPICS.members}, shop-state.*segstream topics --create"):
        check(present)


@pytest.mark.parametrize("logged", [3, 5])
def test_a_changelog_of_another_width_is_refused(logged: int) -> None:
    with pytest.raises(OperatorError, match=f"shop-state has {logged} partitions and {TOPICS.events} has 4"):
        check({**ALL, "shop-state": logged})


class Admin:
    """aiokafka's, as far as it is used."""

    entries: list[tuple[str, str]] | None = None

    def __init__(self, **_: Any) -> None:
        self.closed = False

    async def start(self) -> None:
        if self.entries is None:
            raise KafkaConnectionError("not allowed")

    async def describe_configs(self, _: Any) -> Any:
        return [SimpleNamespace(resources=[(0, "", 2, "shop-state", self.entries)])]

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("entries", "seconds"),
    [
        ([("cleanup.policy", "compact"), ("min.compaction.lag.ms", "90000")], 90.0),
        ([("cleanup.policy", "compact")], USUAL_LAG_SECONDS),
        (None, USUAL_LAG_SECONDS),
    ],
    ids=["known", "not told", "not allowed"],
)
def test_the_lag_of_compaction_or_the_usual_one(
    monkeypatch: pytest.MonkeyPatch, entries: list[tuple[str, str]] | None, seconds: float
) -> None:
    admin = Admin()
    admin.entries = entries
    monkeypatch.setattr(cluster, "AIOKafkaAdminClient", lambda **_: admin)
    assert asyncio.run(Cluster({}, SETTINGS, "shop-state").compaction_lag()) == seconds
    assert admin.closed
