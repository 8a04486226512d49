"""Several things at once, of which none is left running when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

_T = TypeVar("_T")


async def together(coroutines: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Their results in order. The first error is raised once the others are cancelled and have ended."""
    started = list(coroutines)
    if len(started) == 1:  # most rounds of a low rate: a task costs more than to wait
        return [await started[0]]
    tasks = [asyncio.create_task(each) for each in started]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
