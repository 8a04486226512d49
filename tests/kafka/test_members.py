"""The members topic is put right where an older change was told last."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner
from kafka import KafkaProducer

from stream.cli import main
from stream.runtime.kafka.members import repair_members
from tests.kafka.broker import Broker
from tests.kafka.harness import Deployment


def test_the_newest_change_of_each_membership_stands_last(
    broker: Broker, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    deployment = Deployment(broker, tmp_path, unique("members"), partitions=2)
    deployment.create_topics()
    topics = deployment.settings.topics
    with KafkaProducer(bootstrap_servers=broker.address) as producer:

        def change(user: str, seq: int, cause: str = "event") -> bytes:
            body = {"event_id": f"{user}{seq}", "segment": {"key": "s"}, "user": {"id": user}}
            value = json.dumps({**body, "instance": "p1", "seq": seq, "cause": cause}).encode()
            producer.send(topics.changes, value, user.encode(), partition=1)
            return value

        def member(user: str, value: bytes | None, seq: int) -> None:
            key = json.dumps(["s", user, "p1"], separators=(",", ":")).encode()
            producer.send(topics.members, value, key, [("ce_id", f"{user}{seq}".encode())], partition=1)

        ann1, ann2 = change("ann", 1), change("ann", 2)
        member("ann", ann1, 1)
        member("ann", ann2, 2)
        member("ann", ann1, 1)  # once more, by a zombie
        bob1 = change("bob", 1)
        change("bob", 2, "evicted")
        member("bob", None, 2)
        member("bob", bob1, 1)
        member("cyd", change("cyd", 1), 1)
        dan1 = change("dan", 1)  # compaction and a zombie have left nothing of it
    assert repair_members(deployment.settings) == 3
    newest = {json.loads(record.key or b"")[1]: record for record in deployment.read("members")}
    assert newest["ann"].value == ann2
    assert newest["bob"].value is None
    assert json.loads(newest["cyd"].value or b"")["seq"] == 1
    assert (newest["dan"].value, newest["dan"].partition) == (dan1, 1)
    told = CliRunner().invoke(main, ["topics", "--repair-members", "--config", str(deployment.config)])
    assert told.exit_code == 0, told.output
    assert "0 memberships put right" in told.output
