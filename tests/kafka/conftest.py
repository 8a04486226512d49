"""One real broker per test session, started when the first test asks for it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.kafka.broker import Broker, BrokerUnavailableError, missing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "broker" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.broker)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that every test of the session shares: use names of your own (`unique`)."""
    reason = missing()
    if reason is not None:
        unavailable(reason)
    try:
        broker = Broker(tmp_path_factory.mktemp("kafka")).start()
    except BrokerUnavailableError as error:
        unavailable(str(error))
    yield broker
    broker.stop()


def unavailable(reason: str) -> None:
    """Skips here, fails where everything must have been installed."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"no Kafka broker: {reason}")
    pytest.skip(f"no Kafka broker: {reason}")


@pytest.fixture
def unique() -> Callable[[str], str]:
    """A name that no other test has used."""
    suffix = uuid.uuid4().hex[:8]
    return lambda name: f"{name}-{suffix}"
