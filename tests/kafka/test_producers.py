"""Both producers or none, and no waiting for what was given up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from aiokafka.errors import KafkaConnectionError

from stream.runtime.kafka import changelog, producers, publish
from stream.runtime.kafka.producers import Producers


class Producer:
    """aiokafka's, as far as it is used."""

    made: ClassVar[list[Producer]] = []
    refused: ClassVar[set[int]] = set()
    """The numbers of those that cannot connect."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.told: list[str] = []
        self._closed = False
        self._sender = SimpleNamespace(close=self._tell("sender"))
        self.client = SimpleNamespace(close=self._tell("client"), send=None)
        self.fails = len(Producer.made) in Producer.refused
        Producer.made.append(self)

    async def start(self) -> None:
        if self.fails:
            raise KafkaConnectionError("nobody answers")

    async def stop(self) -> None:
        self.told.append("stop")
        if self.fails:
            raise KafkaConnectionError("nobody answers")

    def _tell(self, what: str) -> Any:
        async def tell() -> None:
            self.told.append(what)

        return tell


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Producer]]:
    monkeypatch.setattr(producers, "AIOKafkaProducer", Producer)
    Producer.made, Producer.refused = [], set()
    yield Producer.made
    Producer.made, Producer.refused = [], set()


def test_two_idempotent_producers_with_their_own_sizes(made: list[Producer]) -> None:
    async def test() -> None:
        both = Producers({"bootstrap_servers": "b"})
        await both.open()
        await both.open()
        assert [both.changelog, both.outputs] == made
        assert [each.options["max_batch_size"] for each in made] == [
            changelog.MAX_BATCH_BYTES,
            publish.MAX_BATCH_BYTES,
        ]
        assert all(each.options["enable_idempotence"] for each in made)

    asyncio.run(test())


def test_one_that_cannot_connect_takes_the_other_with_it(made: list[Producer]) -> None:
    async def test() -> None:
        Producer.refused = {1}
        both = Producers({})
        with pytest.raises(KafkaConnectionError):
            await both.open()
        assert [each.told for each in made] == [["sender", "client"]] * 2
        await both.open()
        assert [both.changelog, both.outputs] == made[2:]

    asyncio.run(test())


def test_what_is_abandoned_is_not_waited_for(made: list[Producer]) -> None:
    async def test() -> None:
        both = Producers({})
        await both.open()
        await both.abandon()
        assert [each.told for each in made] == [["sender", "client"]] * 2
        assert all(each._closed for each in made)
        await both.close()  # there is nothing left to close
        assert not any("stop" in each.told for each in made)

    asyncio.run(test())


def test_closing_goes_on_where_one_fails(made: list[Producer], caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        both = Producers({})
        await both.open()
        made[0].fails = True
        await both.close()
        assert [each.told for each in made] == [["stop"]] * 2
        assert "a producer did not close" in caplog.text

    asyncio.run(test())
