"""Lists of keys and values → objects: `[{"key": "size", "value": {"int": 7}}]` → `{"size": 7}`."""

from __future__ import annotations

from typing import Any

from stream.ingest.paths import Step, walk
from stream.ingest.transforms import Transform, text_or_same


def pivot(key: tuple[Step, ...], values: tuple[tuple[Step, ...], ...]) -> Transform:
    """Takes each item's key, and the first of its values that is there; an item without one is left out."""

    def read(value: Any) -> dict[str, Any] | None:
        if isinstance(value, dict):  # {name: {value: …}}, as GA4 sends user properties
            value = [{"key": name, **item} for name, item in value.items() if isinstance(item, dict)]
        if not isinstance(value, list):
            raise ValueError(f"expected a list of keys and values, not {str(value)[:40]!r}")
        found: dict[str, Any] = {}
        for item in value:
            name = text_or_same(walk(item, key))
            if isinstance(name, str) and name:
                for way in values:
                    given = walk(item, way)
                    if given is not None:
                        found[name] = given
                        break
        return found or None

    return read
