"""Settings of a worker: one YAML or TOML file, every key also as a `SEGSTREAM_…` environment variable.

A key's variable is its path in capitals, joined by underscores: `time.idle_after` is `SEGSTREAM_TIME_IDLE_AFTER`. The
environment wins over the file. What goes to the Kafka client unread (`kafka.client`) can be set key by key too:
`SEGSTREAM_KAFKA_CLIENT_SASL_PLAIN_PASSWORD`. Lists are separated by commas. `SEGSTREAM_CONFIG` names the file where
none is named otherwise, so that the worker also starts under commands that know nothing of `--config`.

Relative paths in a file are relative to the file's folder, those in the environment to the working directory;
`pack:retail` is the pack of that name that comes with the product. Unknown keys are errors, with a near miss. All
errors are reported at once. Settings are frozen: whatever runs with them sees the same ones to the end.
"""

from __future__ import annotations

from stream.config.describe import describe
from stream.config.load import load_settings
from stream.config.settings import (
    REFERENCE,
    BatchSettings,
    ClockSettings,
    HttpSettings,
    KafkaSettings,
    LogSettings,
    Setting,
    Settings,
    TopicSettings,
)

__all__ = [
    "REFERENCE",
    "BatchSettings",
    "ClockSettings",
    "HttpSettings",
    "KafkaSettings",
    "LogSettings",
    "Setting",
    "Settings",
    "TopicSettings",
    "describe",
    "load_settings",
]
