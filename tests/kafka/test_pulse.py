"""A process that stood still for longer than its session notices it, once it owns something."""

from __future__ import annotations

import pytest

from stream.runtime.kafka import pulse
from stream.runtime.kafka.pulse import PausedError, Pulse


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(pulse, "_now", lambda: now[0])
    return now


def test_a_pause_longer_than_the_session_is_told(clock: list[float]) -> None:
    beating = Pulse(10.0)
    beating.start()
    for _ in range(3):  # the session begins anew with each beat
        clock[0] += 10.0
        beating.beat()
    clock[0] += 10.5
    with pytest.raises(PausedError, match=r"stood still for 10\.5 s, longer than its session of 10\.0 s"):
        beating.beat()
    with pytest.raises(PausedError):
        beating.beat()  # it stays so: nobody may go on after the first was told


def test_who_owns_nothing_may_sleep(clock: list[float]) -> None:
    beating = Pulse(10.0)
    clock[0] += 60.0
    beating.beat()
    beating.start()
    beating.stop()
    clock[0] += 60.0
    beating.beat()
    beating.start()
    clock[0] += 9.0
    beating.beat()
