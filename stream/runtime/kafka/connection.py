"""Settings → what the two Kafka clients want to be told.

`kafka.client` is written once, in kafka-python's words (`security_protocol`, `sasl_mechanism`, `sasl_plain_username`,
`ssl_cafile`, …), and passed through unread. aiokafka takes the same words but for the certificates: it wants an
`ssl_context`, so that is made of the `ssl_…` keys here. Words about membership in the consumer group
(`session_timeout_ms`, `group_instance_id`, …) are kept for the one client that is a member.
"""

from __future__ import annotations

from typing import Any

from aiokafka.helpers import create_ssl_context

from stream.config import Settings
from stream.errors import ConfigError

_SSL = {"ssl_cafile": "cafile", "ssl_capath": "capath", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile"}

_GROUP = ("session_timeout_ms", "heartbeat_interval_ms", "rebalance_timeout_ms", "group_instance_id")
_SESSION_TIMEOUT_MS = 30_000


def aiokafka_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for an AIOKafkaConsumer or AIOKafkaProducer."""
    client = _everywhere(settings)
    ssl = {name: client.pop(key) for key, name in _SSL.items() if key in client}
    password = client.pop("ssl_password", None)
    if str(client.get("security_protocol", "PLAINTEXT")).endswith("SSL"):
        try:
            client["ssl_context"] = create_ssl_context(**ssl, password=password)
        except OSError as error:
            raise ConfigError(f"kafka.client: the certificates cannot be read: {error}") from error
    return {"bootstrap_servers": settings.kafka.brokers, **client}


def kafka_python_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for kafka-python's clients."""
    return {"bootstrap_servers": settings.kafka.brokers.split(","), **_everywhere(settings)}


def group_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for the consumer that is a member of the group, beside `aiokafka_options`."""
    given = {key: value for key, value in settings.kafka.client.items() if key in _GROUP}
    session: int = given.setdefault("session_timeout_ms", _SESSION_TIMEOUT_MS)
    given.setdefault("heartbeat_interval_ms", min(3_000, session // 4))
    given.setdefault("rebalance_timeout_ms", 60_000)
    return given


def _everywhere(settings: Settings) -> dict[str, Any]:
    return {key: value for key, value in settings.kafka.client.items() if key not in _GROUP}
