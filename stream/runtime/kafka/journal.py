"""What a worker logs: to standard error, one line an event, for people (console) or for machines (json).

The libraries are told to be quiet: what they say by the record, even if nobody listens, cost 16 % of a worker's time.
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from stream.config import LogSettings
from stream.errors import SegstreamError

_QUIET = ("aiokafka", "kafka", "faust", "mode", "aiohttp.access", "asyncio")
# Faust's services log under the module of their class: starting, stopping.
_SERVICES = ("stream.runtime.kafka.faust_app", "stream.runtime.kafka.transport")


def set_up_logging(settings: LogSettings) -> None:
    """Everything that is logged in this process goes through one handler from here on."""
    console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
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
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    logging.root.handlers = [handler]
    logging.root.setLevel(settings.level.upper())
    quiet_libraries(settings)


def quiet_libraries(settings: LogSettings) -> None:
    """Warnings only, unless everything is wanted."""
    least = logging.DEBUG if settings.level == "debug" else logging.WARNING
    for name in _QUIET + _SERVICES:
        logging.getLogger(name).setLevel(least)


def _spare_the_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Our own errors say what is wrong and what to do; where they were raised helps nobody."""
    raised = event.get("exc_info")
    if isinstance(raised, tuple) and isinstance(raised[1], SegstreamError):
        event["exc_info"] = None
    return event
