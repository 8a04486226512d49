"""Errors that ended a round, whose partitions were then taken anew, or the whole worker, counted over its restarts.

A worker that fails ends, and with it a counter in memory: Prometheus would mostly see none. The counts are therefore
kept in a small file beside the state and shown again by the next start.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from aiokafka.errors import KafkaError

from stream.errors import OperatorError
from stream.metrics import FAILURES
from stream.runtime.kafka.changelog import ChangelogError
from stream.runtime.kafka.publish import PublishError
from stream.state import StoreDamagedError, StoreFailedError

log = logging.getLogger(__name__)

FILE = "failures.json"


def kind_of(error: BaseException) -> str:
    """One of `metrics.FAILURES`."""
    if isinstance(error, ChangelogError):
        return "changelog"
    if isinstance(error, PublishError):
        return "publish"
    if isinstance(error, StoreDamagedError | StoreFailedError):
        return "state"
    if isinstance(error, KafkaError):
        return "kafka"
    return "operator" if isinstance(error, OperatorError) else "bug"


def read_failures(folder: Path) -> dict[str, int]:
    """Failures so far, by kind; none where the file is missing or is not ours."""
    file = folder / FILE
    try:
        counts = json.loads(file.read_bytes())
        return {kind: int(counts[kind]) for kind in FAILURES if kind in counts}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        log.warning("%s cannot be read (%s): failures are counted from 0", file, error)
        return {}


def note_failure(folder: Path, kind: str) -> None:
    """One more of `kind`. A disk that cannot take it is told of, and changes nothing else."""
    counts = read_failures(folder)
    counts[kind] = counts.get(kind, 0) + 1
    draft = folder / f"{FILE}.new"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(counts), encoding="utf-8")
        draft.replace(folder / FILE)
    except OSError as error:
        log.warning("the failure could not be noted in %s: %s", folder, error)
