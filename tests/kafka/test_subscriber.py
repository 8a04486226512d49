"""Every change once, whatever was published twice, failed, or died."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from stream.subscriber import (
    SeenInFile,
    SeenInMemory,
    SegmentChange,
    Subscriber,
    TryAgainError,
    UnreadableChangeError,
)
from stream.subscriber.changes import read_change
from tests.kafka.broker import Broker
from tests.kafka.harness import ROOT

PATIENCE = 60.0


def change(user: str, seq: int, segment: str = "cart", **fields: Any) -> bytes:
    body = {"schema": "segment-change/1", "event_id": f"{user} {segment} {seq}", "type": "entered"}
    body |= {"segment": {"key": segment, "kind": "segment"}, "user": {"id": user}, "seq": seq}
    body |= {"effective_at": "2026-03-01T00:00:00Z", **fields}
    return json.dumps(body).encode()


class Topic:
    """A changes topic with a dead-letter topic beside it."""

    def __init__(self, broker: Broker, name: str) -> None:
        self.address, self.name, self.dead = broker.address, name, f"{name}-dead"
        options = {"num_partitions": 2, "replication_factor": 1}
        with KafkaAdminClient(bootstrap_servers=self.address) as admin:
            admin.create_topics({name: options, self.dead: options}, wait_for_metadata=True)

    def publish(self, *values: bytes, source: bytes = b"/segstream/shop") -> None:
        with KafkaProducer(bootstrap_servers=self.address) as producer:
            for value in values:
                key = json.loads(value)["user"]["id"].encode() if value[:1] == b"{" else b"ann"
                producer.send(self.name, value, key, headers=[("ce_source", source)])

    def subscriber(self, **options: Any) -> Subscriber:
        consumer = {"max_poll_records": 5, "session_timeout_ms": 6_000}
        return Subscriber(self.address, f"{self.name}-group", topic=self.name, consumer=consumer, **options)

    def take(self, number: int, **options: Any) -> list[str]:
        """The ids of the next changes."""
        taken: list[str] = []
        with self.subscriber(**options) as subscriber:

            def handle(each: SegmentChange) -> None:
                taken.append(each.event_id)
                if len(taken) == number:
                    subscriber.stop()

            subscriber.run(handle)
        return taken

    def dead_letters(self) -> list[tuple[bytes, dict[str, bytes]]]:
        consumer = KafkaConsumer(bootstrap_servers=self.address, enable_auto_commit=False)
        try:
            tps = [TopicPartition(self.dead, number) for number in range(2)]
            consumer.assign(tps)
            consumer.seek_to_beginning(*tps)
            ends, found = consumer.end_offsets(tps), []
            while any(consumer.position(tp) < ends[tp] for tp in tps):
                for records in consumer.poll(timeout_ms=500).values():
                    found += [(each.value, dict(each.headers)) for each in records]
            return found
        finally:
            consumer.close()


@pytest.fixture
def topic(broker: Broker, unique: Callable[[str], str]) -> Topic:
    return Topic(broker, unique("changes"))


def test_repeats_are_dropped_and_other_segments_left_out(topic: Topic) -> None:
    topic.publish(change("ann", 1), change("bob", 1), change("ann", 2), change("ann", 1), change("ann", 2))
    topic.publish(change("ann", 1, "tea"), change("ann", 3), change("bob", 1), change("zoe", 1))
    taken = topic.take(5, segments=["cart"])
    assert [each for each in taken if each.startswith("ann")] == ["ann cart 1", "ann cart 2", "ann cart 3"]
    assert sorted(taken) == ["ann cart 1", "ann cart 2", "ann cart 3", "bob cart 1", "zoe cart 1"]


def test_what_was_handled_is_committed_and_what_failed_comes_again(topic: Topic) -> None:
    topic.publish(*(change("ann", seq) for seq in range(1, 8)))
    assert topic.take(2) == ["ann cart 1", "ann cart 2"]
    with topic.subscriber() as subscriber:
        for each in subscriber:
            if each.seq == 4:
                break
    assert topic.take(1) == ["ann cart 4"]


def test_a_file_remembers_what_was_not_committed(topic: Topic, tmp_path: Path) -> None:
    topic.publish(*(change("ann", seq) for seq in range(1, 6)))
    seen = SeenInFile(tmp_path / "seen")
    for seq in (1, 2, 3):  # handled by a process that was killed before it could commit
        seen.keep(("/segstream/shop", "ann", "cart"), seq)
    seen.close()
    assert topic.take(2, seen=SeenInFile(tmp_path / "seen")) == ["ann cart 4", "ann cart 5"]


def test_what_cannot_be_taken_is_buried_and_the_rest_goes_on(topic: Topic) -> None:
    topic.publish(change("ann", 1), b"nonsense", change("ann", 2), change("ann", 3))
    tries: list[str] = []
    with topic.subscriber(dead_letters=topic.dead, attempts=2) as subscriber:

        def handle(each: SegmentChange) -> None:
            tries.append(each.event_id)
            if each.seq == 2:
                raise ValueError("no such template")
            if each.seq == 3 and tries.count("ann cart 3") < 3:
                raise TryAgainError("the provider is down")
            if each.seq == 3:
                subscriber.stop()

        subscriber.run(handle)
    assert [each for each in tries if each != "ann cart 1"] == ["ann cart 2"] * 2 + ["ann cart 3"] * 3
    buried = {value: headers["reason"] for value, headers in topic.dead_letters()}
    assert buried == {b"nonsense": b"UnreadableChangeError", change("ann", 2): b"ValueError"}


def test_without_a_place_for_dead_letters_it_ends(topic: Topic) -> None:
    topic.publish(b"nonsense")
    with pytest.raises(UnreadableChangeError, match="no segment change"), topic.subscriber() as subscriber:
        subscriber.run(lambda each: None)


def test_another_deployment_counts_anew(topic: Topic) -> None:
    topic.publish(change("ann", 1), change("ann", 2))
    topic.publish(change("ann", 1), source=b"/segstream/other")
    assert topic.take(3) == ["ann cart 1", "ann cart 2", "ann cart 1"]


def test_the_example_sends_each_mail_once_though_it_is_killed(topic: Topic, tmp_path: Path) -> None:
    outbox = tmp_path / "outbox.jsonl"
    command = [sys.executable, str(ROOT / "examples" / "messaging.py"), "--brokers", topic.address]
    command += ["--topic", topic.name, "--segments", "cart", "--outbox", str(outbox)]
    command += ["--dead-letters", topic.dead]
    for last in (20, 40):
        topic.publish(*(change("ann", seq) for seq in range(1, last + 1)))
        process = subprocess.Popen(
            [*command, "--group", f"{topic.name}-{last}"], cwd=ROOT
        )  # knows no offsets
        deadline = time.monotonic() + PATIENCE
        while not outbox.exists() or len(outbox.read_bytes().splitlines()) < last:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL if last == 20 else signal.SIGTERM)
        process.wait(PATIENCE)
    assert process.returncode == 0
    sent = [json.loads(line)["id"] for line in outbox.read_text().splitlines()]
    assert sent == [f"ann cart {seq}" for seq in range(1, 41)]


def test_memory_forgets_the_least_recent() -> None:
    seen = SeenInMemory(2)
    for user in ("ann", "bob", "ann", "cyd"):
        seen.keep(("", user, "s"), seen.last(("", user, "s")) + 1)
    assert [seen.last(("", user, "s")) for user in ("ann", "bob", "cyd")] == [2, 0, 1]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"", "no segment change"),
        (b"[]", "no segment change"),
        (change("ann", 1, schema="segment-change/2"), "expected schema 'segment-change/1'"),
        (change("ann", 0), "expected schema"),
    ],
)
def test_what_is_no_change_says_so(value: bytes, told: str) -> None:
    with pytest.raises(UnreadableChangeError, match=told):
        read_change(value, [])


def test_a_change_tells_what_it_is() -> None:
    each = read_change(
        change("ann", 3, instance="p1", policy={"actionable": False}), [("ce_source", b"/segstream/shop")]
    )
    assert (each.user, each.segment, each.instance, each.seq, each.value) == ("ann", "cart", "p1", 3, None)
    assert (each.type, each.actionable, each.effective_at) == ("entered", False, 1_772_323_200_000)
    assert each.place == ("/segstream/shop", "ann", "cart")
