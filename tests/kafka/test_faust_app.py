"""What a worker's process is told before Faust begins."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import pytest

from stream.runtime.kafka.faust_app import quicken_loops


@pytest.fixture(autouse=True)
def policy() -> Iterator[None]:
    before = asyncio.get_event_loop_policy()
    yield
    asyncio.set_event_loop_policy(before)


def module_of_a_new_loop() -> str:
    loop = asyncio.new_event_loop()
    loop.close()
    return type(loop).__module__


def test_loops_are_those_of_uvloop() -> None:
    asyncio.set_event_loop_policy(None)
    assert module_of_a_new_loop().startswith("asyncio")
    quicken_loops()
    assert module_of_a_new_loop().startswith("uvloop")


def test_without_uvloop_loops_stay_those_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.set_event_loop_policy(None)
    monkeypatch.setitem(sys.modules, "uvloop", None)
    quicken_loops()
    assert module_of_a_new_loop().startswith("asyncio")
