"""What the tests of packs share."""

from __future__ import annotations

import pytest
import yaml


@pytest.fixture
def quick_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    """libyaml where it is at hand: the same nodes, ten times as fast. Hundreds of files are read."""
    monkeypatch.setattr(yaml, "SafeLoader", getattr(yaml, "CSafeLoader", yaml.SafeLoader))
