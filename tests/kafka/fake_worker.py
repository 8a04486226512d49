"""`python -m tests.kafka.fake_worker CONFIG`: the worker with the fake engine, as a process that can be killed."""

from __future__ import annotations

import os
import sys
from typing import Any

from stream.config import load_settings
from stream.ingest import Ingest
from stream.runtime.kafka.faust_app import assemble, execute
from tests.kafka.fake_engine import FakeEngine


def main() -> int:
    settings = load_settings(sys.argv[1], os.environ)
    engine: Any = FakeEngine()
    ingest = Ingest(max_event_bytes=settings.max_event_bytes)
    return execute(assemble(settings, engine, ingest, "fake"))


if __name__ == "__main__":
    sys.exit(main())
