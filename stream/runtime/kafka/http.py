"""What a worker answers over HTTP, on Faust's own server.

    /live      200 while it makes sense to leave the process alone
    /ready     200 while it serves all of its partitions; what it is doing otherwise
    /metrics   for Prometheus; ?name[]=METRIC, once or more: that alone
    /profile   ?user=ID: the user's state as the store has it, for `segstream explain --url`

Probes carry no secrets, so the first two are answered to everybody; whatever else there is, also what is not there,
only with the token, where one is set.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web
from faust.web import Request, Response, View

from stream.metrics import CONTENT_TYPE, Metrics
from stream.runtime.kafka.changelog import Anchor, decode

if TYPE_CHECKING:
    from stream.runtime.kafka.faust_app import App
    from stream.runtime.kafka.worker import Worker

_OPEN = frozenset({"/live", "/ready"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def exposed(metrics: Metrics, request: Request) -> bytes:
    """What `/metrics` answers. All of it takes milliseconds to write: who looks often names what they look at."""
    return metrics.exposition(request.query.getall("name[]", []))


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
        return self.bytes(exposed(worker.metrics, request), headers={"Content-Type": CONTENT_TYPE})

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

    @app.page("/profile")
    async def profile(self: View, request: Request) -> Response:
        status, answer = find_profile(worker, request.query.get("user", ""))
        return self.json(answer, status=status)


def find_profile(worker: Worker, user: str) -> tuple[int, dict[str, Any]]:
    """Status and body of /profile. State and marker are of the same step; bytes are in base64."""
    for number, owned in worker.owned.items():
        raw, anchor = owned.store.get_many([user])[0], owned.store.marker()
        engine = decode(anchor, Anchor).engine if anchor is not None else None
        if raw is not None and engine is not None:
            encoded = {"profile": b64encode(raw).decode(), "marker": b64encode(engine).decode()}
            return 200, {"partition": number, **encoded}
    owned_here = ", ".join(map(str, sorted(worker.owned))) or "none"
    return 404, {"error": f"nobody called {user} is in the partitions of this worker ({owned_here})"}
