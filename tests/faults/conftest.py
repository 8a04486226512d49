"""The broker of tests/kafka, and one log for all."""

from __future__ import annotations

import pytest

from tests.faults.shop import Shop, open_shop
from tests.kafka.conftest import broker, unique

__all__ = ["broker", "shop", "unique"]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return open_shop(tmp_path_factory.mktemp("shop"), 6_000)
