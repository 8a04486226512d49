"""TLS, SASL and Kafka's permissions, on a real broker that asks for them; and no secret in any log.

One broker with three more listeners: TLS, and SCRAM and PLAIN over TLS. Permissions hold for the users of SASL;
without SASL a client is the super user, who prepares the tests.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from tests.conftest import lacking
from tests.kafka.broker import Broker, BrokerUnavailableError, missing
from tests.kafka.conftest import unavailable
from tests.kafka.harness import REAL, ROOT, Deployment
from tests.kafka.test_live import DEFINITIONS, event

# A broker of its own, so it need not wait for the tests that share the other one.
pytestmark = pytest.mark.broker

PASSWORD = "correct-horse"
TOKEN = "battery-staple"
PAGE = ROOT / "docs" / "security.md"
PROPERTIES = """
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.client.auth=none
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.scram.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.plain.sasl.enabled.mechanisms=PLAIN
listener.name.plain.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
  user_segstream="{password}" user_nobody="{password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A key and a certificate that is its own authority."""
    key, made = folder / f"{name}.key", folder / f"{name}.crt"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
    ]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return key, made


class Secured:
    """The broker, the certificate that proves it, and one that does not."""

    def __init__(self, broker: Broker, trusted: Path, other: Path) -> None:
        self.broker = broker
        self.trusted = trusted
        self.other = other

    def kafka(self, listener: str, *, trusted: bool = True, **client: str) -> dict[str, Any]:
        """The section `kafka` of a worker's settings."""
        protocol = "SSL" if listener == "TLS" else "SASL_SSL"
        authority = str(self.trusted if trusted else self.other)
        given = {
            "security_protocol": protocol,
            "ssl_cafile": authority,
            "session_timeout_ms": 2_000,
            **client,
        }
        return {"brokers": f"127.0.0.1:{self.broker.ports[listener]}", "client": given}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    if reason := missing():
        unavailable(reason)
    if shutil.which("openssl") is None:
        lacking("openssl is not installed: no certificates for a broker")
    folder = tmp_path_factory.mktemp("secured")
    key, trusted = certificate(folder, "broker")
    _, other = certificate(folder, "other")
    keystore = folder / "broker.pem"
    keystore.write_text(key.read_text() + trusted.read_text())
    try:
        broker = Broker(
            folder / "kafka",
            properties=PROPERTIES.format(keystore=keystore, password=PASSWORD),
            listeners={"TLS": "SSL", "SCRAM": "SASL_SSL", "PLAIN": "SASL_SSL"},
            scram={"segstream": PASSWORD},
        ).start()
    except BrokerUnavailableError as error:
        unavailable(str(error))
    yield Secured(broker, trusted, other)
    broker.stop()


class Place:
    """A deployment behind the locks, and the same one seen by the super user."""

    def __init__(self, secured: Secured, folder: Path, name: str, **settings: Any) -> None:
        definitions = folder / "segments.yaml"
        definitions.write_text(DEFINITIONS)
        self.open = Deployment(secured.broker, folder / "open", name)
        self.locked = Deployment(
            secured.broker, folder / "locked", name, definitions=[str(definitions)], **settings
        )
        self.open.create_topics()

    def allow(self, user: str) -> None:
        """What docs/security.md says is enough, and nothing else."""
        topics = self.open.settings.topics
        names = {
            "events": topics.events,
            "segment-changes": topics.changes,
            "segment-members": topics.members,
            "dead-letters": topics.dead_letters,
            "segstream-state": topics.state,
            "segstream": self.open.settings.app,
        }
        rows = re.findall(r"^\| (Topic|Group) \| `([\w-]+)` \| ([\w, ]+) \|$", PAGE.read_text(), re.MULTILINE)
        acls = [
            ACL(
                *(f"User:{user}", "*", ACLOperation[operation.strip().upper()], ACLPermissionType.ALLOW),
                ResourcePattern(ResourceType[kind.upper()], names[name]),
            )
            for kind, name, operations in rows
            for operation in operations.split(",")
        ]
        assert {name for _, name, _ in rows} == set(names)
        with KafkaAdminClient(bootstrap_servers=self.open.broker.address) as admin:
            assert not admin.create_acls(acls)["failed"]

    def stop(self) -> None:
        self.locked.stop()


def produce_and_read(place: Place) -> None:
    """An event goes in, a dead letter comes out: input, changelog and output work."""
    place.open.produce(
        [("ann", event("ann", "product_added", int(time.time() * 1000)), None), ("x", b"{", None)]
    )
    worker = place.locked.worker(REAL)
    worker.wait_ready()
    worker.wait(lambda: len(place.open.read("dead_letters")) == 1, "reading the input")
    assert worker.terminate() == 0
    assert PASSWORD not in worker.tail()


def test_tls(secured: Secured, tmp_path: Path) -> None:
    place = Place(secured, tmp_path, "tls", kafka=secured.kafka("TLS"))
    try:
        produce_and_read(place)
    finally:
        place.stop()


def test_a_broker_that_cannot_prove_itself_is_refused(secured: Secured, tmp_path: Path) -> None:
    place = Place(secured, tmp_path, "other", kafka=secured.kafka("TLS", trusted=False))
    worker = place.locked.worker(REAL)
    try:
        assert worker.process.wait(60) == 3
        assert "cannot be reached" in worker.tail()
        assert "ertificate" in worker.tail()
    finally:
        place.stop()


SCRAM = {
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_plain_username": "segstream",
    "sasl_plain_password": PASSWORD,
}
PLAIN = {**SCRAM, "sasl_mechanism": "PLAIN"}


@pytest.mark.parametrize("listener", ["SCRAM", "PLAIN"])
def test_sasl_with_the_permissions_of_the_page(secured: Secured, tmp_path: Path, listener: str) -> None:
    client = SCRAM if listener == "SCRAM" else PLAIN
    place = Place(secured, tmp_path, listener.lower(), kafka=secured.kafka(listener, **client))
    place.allow("segstream")
    try:
        produce_and_read(place)
    finally:
        place.stop()


def test_somebody_without_permissions_is_refused(secured: Secured, tmp_path: Path) -> None:
    client = {**PLAIN, "sasl_plain_username": "nobody"}
    place = Place(secured, tmp_path, "nobody", kafka=secured.kafka("PLAIN", **client))
    worker = place.locked.worker(REAL)
    try:
        assert worker.process.wait(60) == 3
        assert "AuthorizationFailed" in worker.tail()
    finally:
        place.stop()


def test_a_wrong_password_is_refused_and_not_told(secured: Secured, tmp_path: Path) -> None:
    wrong = {**SCRAM, "sasl_plain_password": "tr0ub4dor"}
    place = Place(secured, tmp_path, "wrong", kafka=secured.kafka("SCRAM", **wrong))
    worker = place.locked.worker(REAL)
    try:
        assert worker.process.wait(60) == 3
        assert "uthentication" in worker.tail()
        assert "tr0ub4dor" not in worker.tail()
    finally:
        place.stop()


def test_pages_behind_a_token_and_a_stop_without_a_broker(secured: Secured, tmp_path: Path) -> None:
    """The last test of the module: it takes the broker away."""
    place = Place(secured, tmp_path, "token", kafka=secured.kafka("TLS"))
    worker = place.locked.worker(REAL, env={"SEGSTREAM_HTTP_TOKEN": TOKEN})
    try:
        worker.wait_ready()
        assert worker.get("/live")[0] == 200
        assert worker.get("/metrics")[0] == 401
        request = urllib.request.Request(
            f"http://127.0.0.1:{place.locked.port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert b"segstream_worker_ready 1.0" in answer.read()
        secured.broker.kill()
        assert json.loads(worker.get("/live")[1]) == {"live": True}
        worker.terminate()
        assert TOKEN not in worker.tail()
    finally:
        place.stop()
