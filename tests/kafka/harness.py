"""Worker processes, and both ends of the topics, for tests on the real broker. Every wait is bounded."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from stream.config import Settings, load_settings
from stream.runtime.kafka.topics import create_topics
from tests.kafka.broker import Broker, free_port

ROOT = Path(__file__).parents[2]
FAKE = ("-m", "tests.kafka.fake_worker")
REAL = ("-m", "stream", "run", "--config")
PATIENCE = 60.0


class Record(NamedTuple):
    """A record as it stands in a topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Deployment:
    """Topics, configuration and workers of one test, on a broker that others use too."""

    def __init__(self, broker: Broker, folder: Path, name: str, **settings: Any) -> None:
        self.broker = broker
        self.name = name
        self.port = free_port()
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / "segstream.yaml"
        topics = {
            role: f"{name}-{role}" for role in ("events", "changes", "members", "dead_letters", "state")
        }
        content = {
            "app": name,
            # A killed worker keeps its partitions until its session ends: some seconds, not the usual thirty.
            "kafka": {"brokers": broker.address, "client": {"session_timeout_ms": 4_000}},
            "topics": topics,
            "state_dir": str(self.state),
            "http": {"port": self.port},
            "log": {"level": "info"},
            **settings,
        }
        folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(yaml.safe_dump(content))
        self.settings: Settings = load_settings(self.config, {})
        self.log = folder / "worker.log"
        self._workers: list[WorkerProcess] = []

    def create_topics(self, *, create_time: bool = False, partitions: int | None = None) -> None:
        """`create_time`: keep the timestamps that producers send, for recorded logs."""
        if create_time:
            with KafkaAdminClient(bootstrap_servers=self.broker.address) as admin:
                count = partitions or self.settings.partitions
                options = {
                    "num_partitions": count,
                    "replication_factor": 1,
                    # Of any time, past or to come: by default a broker refuses what is an hour ahead of its clock.
                    "configs": {"retention.ms": "-1", "message.timestamp.after.max.ms": str(2**63 - 1)},
                }
                admin.create_topics({self.settings.topics.events: options}, wait_for_metadata=True)
        create_topics(self.settings)

    def worker(
        self,
        command: tuple[str, ...] = FAKE,
        env: Mapping[str, str] | None = None,
        last: str | None = None,
        port: int | None = None,
    ) -> WorkerProcess:
        """`last`: the last argument, if not the configuration. `port`: where it answers, if `env` says so."""
        worker = WorkerProcess((*command, last or str(self.config)), self.log, port or self.port, env or {})
        self._workers.append(worker)
        return worker

    def stop(self) -> None:
        for worker in self._workers:
            worker.kill()

    def produce(self, rows: Iterable[tuple[str | None, bytes, int | None]], *, pace: float = 0.0) -> None:
        """(key, value, timestamp) rows; `pace` rows a second, 0 for as fast as can be."""
        with KafkaProducer(bootstrap_servers=self.broker.address, linger_ms=5) as producer:
            began = time.monotonic()
            for number, (key, value, timestamp) in enumerate(rows):
                encoded = None if key is None else key.encode()
                producer.send(self.settings.topics.events, value, encoded, timestamp_ms=timestamp)
                if pace and number % 100 == 99:
                    time.sleep(max(0.0, began + number / pace - time.monotonic()))
            producer.flush(timeout=PATIENCE)

    def produce_to(self, values: Mapping[int, tuple[bytes, int]]) -> None:
        """One (value, timestamp) without a key to each partition."""
        with KafkaProducer(bootstrap_servers=self.broker.address) as producer:
            for partition, (value, timestamp) in values.items():
                producer.send(self.settings.topics.events, value, partition=partition, timestamp_ms=timestamp)
            producer.flush(timeout=PATIENCE)

    def read(self, role: str) -> list[Record]:
        """Everything in a topic, by partition and offset."""
        topic = getattr(self.settings.topics, role)
        consumer = KafkaConsumer(bootstrap_servers=self.broker.address, enable_auto_commit=False)
        try:
            tps = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
            consumer.assign(tps)
            consumer.seek_to_beginning(*tps)
            ends = consumer.end_offsets(tps)
            records: list[Record] = []
            deadline = time.monotonic() + PATIENCE
            while any(consumer.position(tp) < ends[tp] for tp in tps):
                assert time.monotonic() < deadline, f"{topic} could not be read to its end"
                for tp, batch in consumer.poll(timeout_ms=500, max_records=50_000).items():
                    records += [
                        Record(tp.partition, each.offset, each.key, each.value, list(each.headers))
                        for each in batch
                    ]
            return sorted(records, key=lambda record: (record.partition, record.offset))
        finally:
            consumer.close()

    def input_size(self) -> int:
        consumer = KafkaConsumer(bootstrap_servers=self.broker.address)
        try:
            topic = self.settings.topics.events
            tps = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
            return sum(consumer.end_offsets(tps).values())
        finally:
            consumer.close()

    def reset_group(self) -> None:
        """The group's committed offsets go to zero: nobody may care."""
        deadline = time.monotonic() + PATIENCE
        with KafkaAdminClient(bootstrap_servers=self.broker.address) as admin:
            while (result := admin.delete_groups([self.settings.app])[self.settings.app]) != "OK":
                # Not while a killed worker's session lasts.
                assert time.monotonic() < deadline, f"the group cannot be deleted: {result}"
                time.sleep(0.2)


class WorkerProcess:
    """A worker in a process of its own."""

    def __init__(self, command: tuple[str, ...], log: Path, port: int, env: Mapping[str, str]) -> None:
        self._log = log
        self._port = port
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                stdout=output,
                stderr=output,
                env={**os.environ, **env},
            )

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels; 0 while it cannot be asked."""
        try:
            _, text = self.get("/metrics")
        except OSError:
            return 0.0
        return sum(
            float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        )

    def lags(self) -> list[float]:
        """Of the partitions of sources, in records, as far as they are known."""
        try:
            _, text = self.get("/metrics")
        except OSError:
            return []
        return [
            float(lag)
            for lag in re.findall(r"^segstream_source_lag_records{[^}]*} (\S+)$", text, re.MULTILINE)
        ]

    def is_ready(self) -> bool:
        try:
            return self.get("/ready")[0] == 200
        except OSError:
            return False

    def wait(self, condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
        """Until `condition` holds; fails with the log if the worker ends or takes too long."""
        deadline = time.monotonic() + patience
        while not condition():
            assert self.process.poll() is None, f"the worker ended while {what}:\n{self.tail()}"
            assert time.monotonic() < deadline, f"{what} took longer than {patience:.0f} s:\n{self.tail()}"
            time.sleep(0.05)

    def wait_ready(self) -> None:
        self.wait(self.is_ready, "waiting for readiness")

    def consumed(self) -> int:
        return int(self.metric("segstream_events_consumed_total"))

    def is_done(self) -> bool:
        """The input is in the state to its end, and what is due has fired."""
        if not self.is_ready():
            return False
        state = json.loads(self.get("/ready")[1])
        _, text = self.get("/metrics")
        lags = re.findall(r"^segstream_consumer_lag_records{[^}]*} (\S+)$", text, re.MULTILINE)
        return len(lags) == len(state["partitions"]) and not sum(map(float, lags)) and not state["firing"]

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)

    def tail(self, size: int = 4000) -> str:
        return self._log.read_text(errors="replace")[-size:]
