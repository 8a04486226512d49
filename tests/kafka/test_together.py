"""Several things at once: all results, or the first error with nothing left running."""

from __future__ import annotations

import asyncio

import pytest

from stream.runtime.kafka.together import together


def test_results_come_in_their_order() -> None:
    async def after(turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return turns

    assert asyncio.run(together(after(turns) for turns in (3, 0, 2))) == [3, 0, 2]
    assert asyncio.run(together(())) == []


@pytest.mark.parametrize("cancelled", [False, True], ids=["it fails", "it is cancelled"])
def test_one_alone_is_not_left_running_either(cancelled: bool) -> None:
    ended: list[str] = []

    async def alone() -> int:
        try:
            await asyncio.sleep(0)
            if cancelled:
                await asyncio.Event().wait()
            raise ValueError("alone")
        finally:
            await asyncio.sleep(0)
            ended.append("alone")

    async def test() -> None:
        task = asyncio.create_task(together([alone()]))
        for _ in range(3 if cancelled else 0):
            await asyncio.sleep(0)
        if cancelled:
            task.cancel()
        with pytest.raises(asyncio.CancelledError if cancelled else ValueError):
            await task
        assert ended == ["alone"]

    asyncio.run(test())


@pytest.mark.parametrize("cancelled", [False, True], ids=["one fails", "it is cancelled"])
def test_nothing_is_left_running(cancelled: bool) -> None:
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # to end takes a while
            ended.append("waiting")

    async def fail() -> None:
        await asyncio.sleep(0)
        if not cancelled:
            raise ValueError("first")
        await wait()

    async def test() -> None:
        task = asyncio.create_task(together([wait(), fail(), wait()]))
        for _ in range(5):
            await asyncio.sleep(0)
        if cancelled:
            task.cancel()
        with pytest.raises(asyncio.CancelledError if cancelled else ValueError):
            await task
        assert len(ended) == (3 if cancelled else 2), "together ended before what it had started"

    asyncio.run(test())
