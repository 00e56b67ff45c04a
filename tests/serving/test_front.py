from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from features.errors import InvalidInput
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


def test_who_has_the_whole_answer_finds_it_counted() -> None:
    when_sent: list[float | None] = []

    async def asked() -> None:
        async def send(message: Message) -> None:
            when_sent.append(counted(200))

        async def receive() -> Message:
            return {"type": "http.request"}

        await Front(application)({"type": "http", "path": "/v1/profiles/cid"}, receive, send)

    before = counted(200) or 0
    asyncio.run(asked())
    assert [(count or 0) - before for count in when_sent] == [0, 1]


def test_a_mistake_that_keeps_the_service_from_starting_is_said_without_a_traceback() -> None:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        raise InvalidInput("recipes.toml: there is no source 'magic'.")
        yield

    said: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        said.append(message)

    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    with pytest.raises(InvalidInput):
        asyncio.run(Front(Starlette(lifespan=lifespan))(scope, receive, send))
    assert said == [{"type": "lifespan.startup.failed", "message": "recipes.toml: there is no source 'magic'."}]
