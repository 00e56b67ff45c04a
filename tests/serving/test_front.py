from __future__ import annotations

from prometheus_client import REGISTRY
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from serving.front import Front


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    scope["route"] = Route("/v1/profiles/{user_id}", lambda _: None)
    if scope["path"].endswith("broken"):
        raise RuntimeError
    await PlainTextResponse("answer", 404 if scope["path"].endswith("nobody") else 200)(scope, receive, send)


def counted(status: int) -> float | None:
    labels = {"route": "/v1/profiles/{user_id}", "status": str(status)}
    return REGISTRY.get_sample_value("attune_request_seconds_count", labels)


def test_requests_to_the_api_are_counted_by_route_and_status_and_others_are_not() -> None:
    client = TestClient(Front(application), raise_server_exceptions=False)
    for path in ("/livez", "/v1/profiles/ann", "/v1/profiles/bob", "/v1/profiles/nobody"):
        assert client.get(path).text == "answer"
    client.get("/v1/profiles/broken")
    assert [counted(status) for status in (200, 404, 500)] == [2, 1, 1]
