"""What one thread gives, another loop takes: everything, in order, were it an error."""

from __future__ import annotations

import asyncio
import threading

import pytest

from stream.runtime.kafka.handover import Handover


def test_everything_arrives_in_order_from_another_thread() -> None:
    async def run() -> None:
        handover = Handover(asyncio.get_running_loop())

        def fetch() -> None:
            for number in range(2_000):
                handover.give({"p": number})

        thread = threading.Thread(target=fetch)
        thread.start()
        taken = [await asyncio.wait_for(handover.take(None), 20) for _ in range(2_000)]
        thread.join()
        assert taken == [{"p": number} for number in range(2_000)]
        assert not handover.is_wanted

    asyncio.run(run())


def test_who_waits_is_seen_and_errors_are_raised() -> None:
    async def run() -> None:
        handover = Handover(asyncio.get_running_loop())
        assert not handover.is_wanted
        taking = asyncio.create_task(handover.take(None))
        await asyncio.sleep(0)
        assert handover.is_wanted
        handover.give(ValueError("broken"))
        assert not handover.is_wanted, "one is enough"
        with pytest.raises(ValueError, match="broken"):
            await taking
        taking = asyncio.create_task(handover.take(None))
        await asyncio.sleep(0)
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        assert not handover.is_wanted, "nobody waits any more"

    asyncio.run(run())


def test_room_and_what_is_forgotten() -> None:
    async def run() -> None:
        handover = Handover(asyncio.get_running_loop())
        given = 0
        while handover.has_room:
            handover.give({"p": given})
            given += 1
        assert given > 1
        assert await handover.take(None) == {"p": 0}
        assert handover.has_room
        handover.clear()
        handover.give({"p": 99})
        assert await handover.take(None) == {"p": 99}

    asyncio.run(run())


def test_what_is_wanted() -> None:
    async def run() -> None:
        handover = Handover(asyncio.get_running_loop())
        assert not handover.wants("p"), "nobody has taken anything yet"
        handover.give({"p": 1})
        wanted = {"p"}
        await handover.take(wanted)
        assert (handover.wants("p"), handover.wants("q")) == (True, False)
        wanted.add("q")
        assert handover.wants("q")
        handover.give({"p": 2})
        await handover.take(None)
        assert handover.wants("r")

    asyncio.run(run())
