"""The broker of tests/kafka."""

from __future__ import annotations

from tests.kafka.conftest import broker, unique

__all__ = ["broker", "unique"]
