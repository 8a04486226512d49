"""What a worker answers over HTTP, on Faust's own server.

    /live      200 while it makes sense to leave the process alone
    /ready     200 while it serves all of its partitions; what it is doing otherwise
    /metrics   for Prometheus

Probes carry no secrets, so the first two are answered to everybody; whatever else there is, also what is not there,
only with the token, where one is set.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web
from faust.web import Request, Response, View

from stream.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from stream.runtime.kafka.faust_app import App

_OPEN = frozenset({"/live", "/ready"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guard(token: str) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
    """Lets requests pass that carry `Authorization: Bearer <token>`, and those for the probes."""
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if request.path in _OPEN or hmac.compare_digest(given, expected):
            return await handler(request)
        return web.json_response(
            {"error": "send the token of http.token as `Authorization: Bearer …`"},
            status=401,
            headers={"WWW-Authenticate": "Bearer"},
        )

    return check


def serve(app: App) -> None:
    """Puts the pages on the app's web server."""
    worker = app.worker

    @app.page("/metrics")
    async def metrics(self: View, request: Request) -> Response:
        worker.metrics.ready.set(int(worker.ready))
        return self.bytes(worker.metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    @app.page("/live")
    async def live(self: View, request: Request) -> Response:
        return self.json({"live": worker.live}, status=200 if worker.live else 503)

    @app.page("/ready")
    async def ready(self: View, request: Request) -> Response:
        owned = worker.owned
        state = {
            "ready": worker.ready,
            "state": worker.state,
            "partitions": sorted(owned),
            "firing": sorted(
                number for number, each in owned.items() if each.more
            ),  # timers below the watermark
        }
        return self.json(state, status=200 if state["ready"] else 503)
