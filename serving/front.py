"""Where requests come in: those to the API go straight to it, those of the operator to BentoML."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from prometheus_client import Histogram

API: Final = "/v1/"
BUCKETS_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Front:
    """Passes requests on, and counts those to the API for ``/metrics``.

    What BentoML puts around each request costs more than an empty request itself, and remembers every path that was
    ever asked for, ids of visitors and all. Here the route is counted: ``attune_request_seconds`` by route and status.
    """

    def __init__(self, api: ASGIApp, others: ASGIApp) -> None:
        """Let ``api`` answer what begins with ``API``, and ``others`` everything else, such as start and stop."""
        self._api, self._others = api, others
        self._counted: dict[tuple[str, int], Histogram] = {}
        self._seconds: Histogram | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or not scope["path"].startswith(API):
            await self._others(scope, receive, send)
            return
        begun, status = perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._api(scope, receive, noting)
        finally:
            self._of(getattr(scope.get("route"), "path", ""), status).observe(perf_counter() - begun)

    def _of(self, route: str, status: int) -> Histogram:
        if (route, status) not in self._counted:
            if self._seconds is None:
                from prometheus_client import Histogram  # here: BentoML has to say first where workers keep numbers

                text = "Time from a request to its answer."
                self._seconds = Histogram("attune_request_seconds", text, ["route", "status"], buckets=BUCKETS_S)
            self._counted[route, status] = self._seconds.labels(route, status)
        return self._counted[route, status]
