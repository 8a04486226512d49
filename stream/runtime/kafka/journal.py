"""What a worker logs: to standard error, one line an event, for people (console) or for machines (json).

The libraries are told to be quiet: what they say by the record, even if nobody listens, cost 16 % of a worker's time.

What is said again and again is said less often: of the same message, whatever its values, a few pass, and the next one
that passes says how many did not. A broker that is away is told of, and not ten times a second.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from stream.config import LogSettings
from stream.errors import SegstreamError

_QUIET = ("aiokafka", "kafka", "faust", "mode", "aiohttp.access", "asyncio")
# Faust's services log under the module of their class: starting, stopping.
_SERVICES = ("stream.runtime.kafka.faust_app", "stream.runtime.kafka.transport")

_REPEATS: Final = 20
_WINDOW_SECONDS: Final = 30.0
_MOST: Final = 1_000
"""Different messages that are kept apart."""

_hashed = False


class Repeats(logging.Filter):
    """Lets the first few of the same message pass in each window; the next that passes carries `suppressed`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, int, str], list[float]] = {}
        """Per message: when its window began, how many came, how many of an earlier window were held back."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        now = self._clock()
        message = (record.name, record.levelno, str(record.msg))
        entry = self._seen.get(message)
        if entry is None:
            if len(self._seen) >= _MOST:
                self._seen.clear()
            entry = self._seen[message] = [now, 0, 0]
        if now - entry[0] >= _WINDOW_SECONDS:
            entry[:] = [now, 0, max(0, entry[1] - _REPEATS)]
        entry[1] += 1
        if entry[1] > _REPEATS:
            return False
        if entry[2]:
            record.suppressed = int(entry[2])
            entry[2] = 0
        return True


def set_up_logging(settings: LogSettings) -> None:
    """Everything that is logged in this process goes through one handler from here on."""
    global _hashed
    _hashed = settings.users == "hashed"
    console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        stamp,
        _spare_the_trace,
    ]
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if console:
        plain = structlog.dev.plain_traceback  # the default shows local variables, passwords among them
        last.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain))
    else:
        last += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Repeats())
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    logging.root.handlers = [handler]
    logging.root.setLevel(settings.level.upper())
    quiet_libraries(settings)


def quiet_libraries(settings: LogSettings) -> None:
    """Warnings only, unless everything is wanted."""
    least = logging.DEBUG if settings.level == "debug" else logging.WARNING
    for name in _QUIET + _SERVICES:
        logging.getLogger(name).setLevel(least)


def name_user(user: str | bytes | None) -> str:
    """A user's id as messages may show it: as it is, or a hash that only who knows the id can find again."""
    if not _hashed or user is None:
        return repr(user)
    return f"sha256:{sha256(user.encode() if isinstance(user, str) else user).hexdigest()[:16]}"


def _spare_the_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Our own errors say what is wrong and what to do; where they were raised helps nobody."""
    raised = event.get("exc_info")
    if isinstance(raised, tuple) and isinstance(raised[1], SegstreamError):
        event["exc_info"] = None
    return event
