"""Where requests come in: those to the API are counted, and ``/metrics`` shows the counts."""

from __future__ import annotations

import sys
from functools import cache, partial
from time import perf_counter
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from features.errors import AttuneError

API: Final = "/v1/"
METRICS: Final = "/metrics"
SECONDS: Final = Histogram(
    "attune_request_seconds",
    "Time from a request to its answer.",
    ["route", "status"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)


class Front:
    """Passes requests on to the application, and counts those to its API.

    The route is counted, not the path, which holds ids of visitors: ``attune_request_seconds`` by route and status.
    The workers of a service add up in the folder ``PROMETHEUS_MULTIPROC_DIR``, which must be named before this module
    is imported.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Let ``app`` answer all but ``METRICS``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, partial(_in_words, send))
        elif scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"].startswith(API):
            await self._counting(scope, receive, send)
        elif scope["path"] == METRICS:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
            await Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _counting(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun, status, counted = perf_counter(), 500, False

        def count() -> None:
            nonlocal counted
            if not counted:
                seconds(getattr(scope.get("route"), "path", ""), status).observe(perf_counter() - begun)
                counted = True

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not message.get("more_body"):
                count()  # before it is sent: who has the answer finds it counted
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            count()


async def _in_words(send: Send, message: Message) -> None:
    """Send ``message``; where a user's mistake keeps the service from starting, with its words and no traceback."""
    if message["type"] == "lifespan.startup.failed" and isinstance(error := sys.exception(), AttuneError):
        message = {**message, "message": str(error)}
    await send(message)


@cache
def seconds(route: str, status: int) -> Histogram:
    """Return what observes how long such a request took."""
    return SECONDS.labels(route, status)
