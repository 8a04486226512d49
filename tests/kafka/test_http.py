"""HTTP: probes for everybody, the rest with the token where one is set."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from prometheus_client.parser import text_string_to_metric_families

from stream.metrics import Metrics
from stream.runtime.kafka.http import exposed, guard


async def pages(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="in")


class Asked:
    """As much of a request as the guard looks at."""

    def __init__(self, path: str, **headers: str) -> None:
        self.path = path
        self.headers = headers


def status(
    check: Callable[
        [web.Request, Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[web.StreamResponse]
    ],
    asked: Asked,
) -> int:
    return asyncio.run(check(asked, pages)).status  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/live", "/ready"])
def test_probes_need_no_token(path: str) -> None:
    assert status(guard("s3cret"), Asked(path)) == 200


@pytest.mark.parametrize("path", ["/metrics", "/users/ann", "/", "/live/", "/ready?x=/live", "/nothing"])
def test_all_else_needs_the_token(path: str) -> None:
    check = guard("s3cret")
    assert status(check, Asked(path)) == 401
    for wrong in ("", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3crett", "Basic s3cret", "Bearer \udcff"):
        assert status(check, Asked(path, Authorization=wrong)) == 401
    assert status(check, Asked(path, Authorization="Bearer s3cret")) == 200


def test_metrics_can_be_asked_for_by_name() -> None:
    metrics = Metrics()
    metrics.prepare("events", ["abandoned"], {})

    def names(query: str) -> set[str]:
        text = exposed(metrics, make_mocked_request("GET", f"/metrics{query}")).decode()  # type: ignore[arg-type]
        return {sample.name for each in text_string_to_metric_families(text) for sample in each.samples}

    both = "?name[]=segstream_changes_total&name[]=segstream_timers_pending"
    assert names(both) == {"segstream_changes_total", "segstream_timers_pending"}
    assert names("?name[]=segstream_no_such") == set()
    assert len(names("")) > 20
