"""Paths of a mapping that lead nowhere: what a type checker would say, said after looking at records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from stream.definitions.source import suggest
from stream.errors import Problem
from stream.ingest.mapping import Mapping
from stream.ingest.paths import walk


class Hints:
    """Watches records go by; `problems` names the paths that led to nothing in all of them."""

    def __init__(self, mapping: Mapping) -> None:
        self._waiting = dict.fromkeys(mapping.needs)
        self._names: Counter[str] = Counter()
        self._records = 0

    def see(self, row: Any) -> None:
        """One record."""
        if not isinstance(row, dict):
            return
        self._records += 1
        self._names.update(name for name in row if isinstance(name, str))
        found = [need for need in self._waiting if walk(row, need[0].steps) not in (None, "")]
        for need in found:
            del self._waiting[need]

    def problems(self) -> Iterable[Problem]:
        """A warning for each path that led nowhere, with a near miss among the names that records have."""
        if not self._records:
            return
        names = [name for name, _ in self._names.most_common(1000)]
        for path, at in self._waiting:
            near = suggest(path.column or "", names) if path.column not in self._names else ""
            message = f"`{path.text}` led to nothing in {self._records} records{near}"
            yield Problem(at.file, at.line, at.column, message, "warning")
