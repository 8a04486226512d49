"""Settings → what the two Kafka clients want to be told.

`kafka.client` is written once, in kafka-python's words (`security_protocol`, `sasl_mechanism`, `sasl_plain_username`,
`ssl_cafile`, …), and passed through unread. aiokafka takes the same words but for the certificates: it wants an
`ssl_context`, so that is made of the `ssl_…` keys here.
"""

from __future__ import annotations

from typing import Any

from aiokafka.helpers import create_ssl_context

from stream.config import Settings
from stream.errors import ConfigError

_SSL = {"ssl_cafile": "cafile", "ssl_capath": "capath", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile"}


def aiokafka_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for an AIOKafkaConsumer or AIOKafkaProducer."""
    client = dict(settings.kafka.client)
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
    return {"bootstrap_servers": settings.kafka.brokers.split(","), **settings.kafka.client}
