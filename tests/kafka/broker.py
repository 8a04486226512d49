"""A real Kafka broker for tests, the benchmark and development: Apache's own jars in one JVM, no Docker.

Maven copies the jars named in pom.xml into `.cache/kafka` of the project once; a broker is then a format of a temporary
folder and one `kafka.Kafka` process in KRaft mode (broker and controller in one) on free ports of the loopback.

    python -m tests.kafka.broker --port 9092        runs one until Ctrl-C

`Broker` is the handle: `start()`, `stop()`, `kill()` (kill -9, for fault tests), and again `start()` on the same data.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
JARS = Path(__file__).parents[2] / ".cache" / "kafka" / "jars"
START_SECONDS = 60.0

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.backoff.ms=1000
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=1000
"""


class BrokerUnavailableError(Exception):
    """No broker can run here; the message says what is missing."""


class BrokerFailedError(Exception):
    """A broker should run here and does not."""


def missing() -> str | None:
    """What the machine lacks for a broker, or None."""
    for command, package in (("java", "a Java 17 runtime"), ("mvn", "Maven")):
        if shutil.which(command) is None and not (command == "mvn" and any(JARS.glob("kafka_*.jar"))):
            return f"{package} (`{command}`) is not installed"
    return None


def fetch_jars() -> Path:
    """The folder of Kafka's jars, filled by Maven the first time."""
    if any(JARS.glob("kafka_*.jar")):
        return JARS
    JARS.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=JARS.parent))
    command = [
        "mvn",
        "-B",
        "-q",
        "-f",
        str(POM),
        "dependency:copy-dependencies",
        f"-DoutputDirectory={staging}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        shutil.rmtree(staging)
        raise BrokerUnavailableError(
            f"Maven could not fetch Kafka's jars:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    try:
        staging.rename(JARS)
    except OSError:  # somebody else was faster
        shutil.rmtree(staging)
    return JARS


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Broker:
    """One broker with its own ports and data folder."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        heap: str = "512m",
        properties: str = "",
        listeners: Mapping[str, str] | None = None,
        scram: Mapping[str, str] | None = None,
    ) -> None:
        """`listeners`: name → protocol of more listeners, whose ports `ports` tells. `scram`: users → passwords."""
        self.folder = folder
        self.port = port or free_port()
        self.heap = heap
        self.log = folder / "broker.log"
        self._classpath = f"{fetch_jars()}{os.sep}*"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._properties = folder / "server.properties"
        text = PROPERTIES.format(port=self.port, controller_port=free_port(), data=folder / "data")
        self.ports = {name: free_port() for name in listeners or {}}
        for name, protocol in (listeners or {}).items():
            address = f",{name}://127.0.0.1:{self.ports[name]}"
            text = re.sub(r"^((?:advertised\.)?listeners=.*)$", rf"\1{address}", text, flags=re.MULTILINE)
            text = re.sub(
                r"^(listener\.security\.protocol\.map=.*)$",
                rf"\1,{name}:{protocol}",
                text,
                flags=re.MULTILINE,
            )
        self._properties.write_text(text + properties)
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        users = [
            f"--add-scram=SCRAM-SHA-512=[name={user},password={word}]" for user, word in (scram or {}).items()
        ]
        self._run_tool(
            *("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}"),
            *("-c", str(self._properties), *users),
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Broker:
        """Starts it and waits until clients can work."""
        command = [
            "java",
            f"-Xmx{self.heap}",
            f"-Xms{self.heap}",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
        ]
        command += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", self._classpath]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "kafka.Kafka", str(self._properties)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._process.poll() is not None:
                raise BrokerFailedError(f"the broker ended with {self._process.returncode}:\n{self._tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise BrokerFailedError(
                    f"the broker was not ready within {START_SECONDS:.0f} s:\n{self._tail()}"
                )
            time.sleep(0.1)
        return self

    def stop(self) -> None:
        """A controlled shutdown; killed if that takes longer than 20 s."""
        if self._process is not None and self.alive:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
        self._process = None

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """SIGSTOP, and SIGCONT afterwards."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _ready(self) -> bool:
        """An admin call answers: an open port alone is not a broker that has registered with its controller."""
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=0.5).close()
            admin = KafkaAdminClient(bootstrap_servers=self.address, request_timeout_ms=5_000)
        except (OSError, KafkaError):
            return False
        try:
            return bool(admin.describe_cluster()["brokers"])
        except KafkaError:
            return False
        finally:
            admin.close()

    def _run_tool(self, tool: str, *arguments: str) -> None:
        command = [
            "java",
            "-Xmx256m",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
        ]
        done = subprocess.run(
            [*command, "-cp", self._classpath, tool, *arguments], capture_output=True, text=True, timeout=60
        )
        if done.returncode != 0:
            raise BrokerFailedError(f"{tool} failed:\n{done.stdout}{done.stderr}")

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""


def main() -> int:
    parser = argparse.ArgumentParser(description="A Kafka broker on this machine, until Ctrl-C.")
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--data", type=Path, help="data folder, kept afterwards (default: a temporary one)")
    parser.add_argument("--heap", default="1g")
    options = parser.parse_args()
    reason = missing()
    if reason is not None:
        print(f"no broker here: {reason}", file=sys.stderr)
        return 3
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: the broker must not stay behind
    folder = options.data or Path(tempfile.mkdtemp(prefix="segstream-broker-"))
    broker = Broker(folder, port=options.port, heap=options.heap)
    try:
        broker.start()
        print(f"Kafka is ready at {broker.address} (data in {folder}); Ctrl-C stops it", flush=True)
        while broker.alive:
            time.sleep(1)
        return 3
    except KeyboardInterrupt:
        return 0
    finally:
        broker.stop()
        if options.data is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
