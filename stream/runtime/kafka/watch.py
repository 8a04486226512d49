"""Looks whether the definition files still say what the worker was started with.

A worker takes new definitions when it starts, at an exact offset (docs/definitions.md), so a file that changes under a
running worker changes nothing yet. Whether the next start would succeed is better known before it is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from stream.definitions import load
from stream.definitions.parameters import split_name
from stream.engine import compile_plan
from stream.errors import SegstreamError
from stream.metrics import Metrics

log = logging.getLogger(__name__)


class DefinitionsWatch:
    """The files of one worker, with values for their parameters. `hash_` is that of the definitions in force."""

    def __init__(self, files: Sequence[str], hash_: str, metrics: Metrics) -> None:
        self._files = list(files)
        self._hash = hash_
        self._metrics = metrics
        self._seen = self._signature()

    def look(self) -> str | None:
        """Reads the files if they have changed since the last look: `loaded`, `pending` or `failed`, else None."""
        signature = self._signature()
        if signature == self._seen:
            return None
        self._seen = signature
        result = self._read()
        self._metrics.definitions_reload.labels(result).inc()
        return result

    def _read(self) -> str:
        try:
            found = compile_plan(load(self._files)).hash
        except SegstreamError as error:
            log.error("the definition files have errors, a restart would fail:\n%s", error)
            return "failed"
        if found == self._hash:
            log.info("the definition files are again those that the worker runs")
            return "loaded"
        log.warning(
            "the definition files now have the hash %s, the worker runs %s: restart all workers to take them",
            found,
            self._hash,
        )
        return "pending"

    def _signature(self) -> list[tuple[int, int] | None]:
        signature: list[tuple[int, int] | None] = []
        for file in self._files:
            try:
                status = Path(split_name(file)[0]).stat()
                signature.append((status.st_mtime_ns, status.st_size))
            except OSError:
                signature.append(None)
        return signature
