"""The dashboards as data, for those who test them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"
DASHBOARDS = sorted(FOLDER.glob("*.json"))


class Query(NamedTuple):
    """What a panel asks."""

    dashboard: str
    panel: str
    expression: str

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}"

    def filled(self, window: str) -> str:
        """With Grafana's variables as they stand for everything and for a window of time."""
        filled = self.expression.replace("$__rate_interval", window).replace("$__range", window)
        return filled.replace("$job", ".*").replace("$segment", ".*")


def read(dashboard: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(dashboard.read_text(encoding="utf-8"))
    return document


def queries(dashboard: Path) -> Iterator[Query]:
    for panel in read(dashboard)["panels"]:
        for target in panel.get("targets", ()):
            yield Query(dashboard.stem, panel["title"], target["expr"])


QUERIES = [query for dashboard in DASHBOARDS for query in queries(dashboard)]
