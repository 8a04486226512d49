"""The commands of docker-compose.yml without containers: topics, two workers, their health check, the producer."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition

from tests.kafka.broker import Broker, free_port
from tests.kafka.harness import PATIENCE
from tests.test_deploy import CONTAINER_CONFIG, SERVICES, on_host


def test_what_the_containers_run_works(broker: Broker, tmp_path: Path, unique: Callable[[str], str]) -> None:
    """Only names, places and ports are another's: those of this machine and of this test."""
    folder = Path(sys.executable).parent
    roles = ("events", "changes", "members", "dead_letters", "state")
    topics = {f"SEGSTREAM_TOPICS_{role.upper()}": unique(role) for role in roles}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SEGSTREAM_")},
        **topics,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "SEGSTREAM_CONFIG": str(on_host(SERVICES["worker"], CONTAINER_CONFIG)),
        "SEGSTREAM_APP": unique("compose"),
        "SEGSTREAM_KAFKA_BROKERS": broker.address,
        "SEGSTREAM_STATE_DIR": str(tmp_path / "state"),
        "SEGSTREAM_HTTP_HOST": "127.0.0.1",
    }

    def command(name: str) -> list[str]:
        return [
            "segstream",
            *(str(on_host(SERVICES[name], word) or word) for word in SERVICES[name]["command"]),
        ]

    subprocess.run(command("topics"), env=environment, check=True, capture_output=True, timeout=PATIENCE)
    log = tmp_path / "workers.log"
    running: list[subprocess.Popen[bytes]] = []
    ports = [free_port(), free_port()]
    assert len(ports) == SERVICES["worker"]["deploy"]["replicas"]
    (script,) = SERVICES["producer"]["command"]
    script = script.replace("$$", "$").replace("/tmp/", f"{tmp_path}/")
    try:
        for port in ports:
            variables = {**environment, "SEGSTREAM_HTTP_PORT": str(port)}
            with log.open("ab") as output:
                running.append(subprocess.Popen(command("worker"), env=variables, stderr=output))
        for port in ports:
            wait(lambda: is_healthy(port), f"the health check of {port}")  # noqa: B023
        shell = [*SERVICES["producer"]["entrypoint"], script]
        running.append(subprocess.Popen(shell, env=environment, stderr=subprocess.DEVNULL))
        events = topics["SEGSTREAM_TOPICS_EVENTS"]
        wait(lambda: count(broker, events) >= 3, "events of the simulated shop")
        for process in running:
            assert process.poll() is None, log.read_text()
            process.terminate()
        assert [process.wait(PATIENCE) for process in running[:2]] == [0, 0]
    finally:
        for process in running:
            process.kill()
            process.wait(PATIENCE)


def is_healthy(port: int) -> bool:
    """The health check as it stands in the file, by this Python, at another port."""
    kind, program, *arguments = SERVICES["worker"]["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    words = [word.replace("6066", str(port)) for word in arguments]
    return subprocess.run([sys.executable, *words], capture_output=True, check=False).returncode == 0


def count(broker: Broker, topic: str) -> int:
    consumer = KafkaConsumer(bootstrap_servers=broker.address)
    try:
        tps = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        return sum(consumer.end_offsets(tps).values())
    finally:
        consumer.close()


def wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} took too long"
        time.sleep(0.2)
