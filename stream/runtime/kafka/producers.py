"""The two producers of a worker: one for the changelog, one for everything that the world reads.

Both are idempotent, so a retry neither doubles nor reorders. They are apart so that outputs never queue behind the
changelog.

A batch that failed may have reached the log all the same, or may still: its outcome is unknown. So it is never sent
again. The producers are *abandoned*, with all they hold, and what is true is read from the log.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiokafka import AIOKafkaProducer

from stream.runtime.kafka import changelog, publish
from stream.runtime.kafka.requests import join_requests

log = logging.getLogger(__name__)

_CLOSE_SECONDS = 5.0


class Producers:
    """Open between `open` and `close` or `abandon`, and again after the next `open`."""

    changelog: AIOKafkaProducer
    outputs: AIOKafkaProducer

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._open: list[AIOKafkaProducer] = []

    async def open(self) -> None:
        """Connects those that are not. Raises KafkaError while the brokers cannot be reached."""
        if self._open:
            return
        self.changelog = await self._start(changelog.MAX_BATCH_BYTES)
        self.outputs = await self._start(publish.MAX_BATCH_BYTES)

    async def close(self) -> None:
        """Waits a while for what was sent."""
        closing = [asyncio.wait_for(producer.stop(), _CLOSE_SECONDS) for producer in self._open]
        for outcome in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(outcome, Exception):
                log.warning("a producer did not close: %r", outcome)
        self._open = []

    async def abandon(self) -> None:
        """Whatever is on its way is not sent again. It may arrive, or have arrived."""
        while self._open:
            await abandon_producer(self._open.pop())

    async def _start(self, batch_bytes: int) -> AIOKafkaProducer:
        try:
            producer = await start_producer(self._options, batch_bytes)
        except BaseException:
            await self.abandon()
            raise
        self._open.append(producer)
        return producer


async def start_producer(options: dict[str, Any], batch_bytes: int) -> AIOKafkaProducer:
    """An idempotent producer for `RecordBatch`, connected. KafkaError while the brokers cannot be reached."""
    producer = AIOKafkaProducer(**options, enable_idempotence=True, max_batch_size=batch_bytes)
    join_requests(producer)
    try:
        await producer.start()
    except BaseException:
        await abandon_producer(producer)
        raise
    return producer


async def abandon_producer(producer: AIOKafkaProducer) -> None:
    """`stop` would wait until everything is delivered: end the task that sends, then the connections."""
    producer._closed = True
    sender: Any = producer._sender
    try:
        await asyncio.wait_for(sender.close(), _CLOSE_SECONDS)
    except Exception as error:  # noqa: BLE001  # it is given up: what it says does not matter any more
        log.debug("a producer ended with %r", error)
    await producer.client.close()
