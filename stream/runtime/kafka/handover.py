"""What was fetched, on its way from the thread that fetches to the one that works.

Asking for it across threads, and waiting there until something comes, costs as much as fetching a few records. So who
works says once that it waits; who fetches sees it, and gives. What comes on aiokafka's own way, be it records or an
error, passes through here, too: one queue keeps them in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Container, Mapping
from typing import Any

Records = Mapping[Any, Any]
"""What was fetched, by partition."""

_ROOM = 4
"""So many may wait for who takes, if they are small."""


class Handover:
    """`give` and `clear` belong to the thread that fetches, `take` to the given loop: that of who works."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._given: deque[Records | Exception] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.is_wanted = False
        """Somebody waits, and was given nothing yet."""
        self._partitions: Container[Any] | None = ()

    @property
    def has_room(self) -> bool:
        """Not much waits for who takes."""
        return len(self._given) < _ROOM

    def give(self, records: Records | Exception) -> None:
        """For who takes next."""
        self.is_wanted = False
        self._given.append(records)
        self._loop.call_soon_threadsafe(self._wake)

    def wants(self, partition: Any) -> bool:
        """Whether who took last wants its records."""
        return self._partitions is None or partition in self._partitions

    async def take(self, partitions: Container[Any] | None) -> Records:
        """The next that is given; an error is raised. From now on these partitions are wanted, all if None."""
        self._partitions = partitions
        while (given := self._next()) is None:
            self._waiter = self._loop.create_future()
            self.is_wanted = True
            try:
                await self._waiter
            finally:
                self.is_wanted = False
                self._waiter = None
        if isinstance(given, Exception):
            raise given
        return given

    def clear(self) -> None:
        """Forgets what nobody took: it will be fetched again."""
        self._given.clear()

    def _next(self) -> Records | Exception | None:
        try:
            return self._given.popleft()
        except IndexError:  # nothing there, or cleared by the other thread a moment ago
            return None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
