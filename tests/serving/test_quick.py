from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.types import Message

from features.errors import AttuneError, NotFound
from serving.quick import Quick

JSON = "application/json"


class Wanted(BaseModel):
    name: str


class Shop:
    """An application that tells which way a request took."""

    def __init__(self) -> None:
        self.app, router = FastAPI(), APIRouter()

        @router.post("/v1/greet")
        async def greet(request: Request, body: Wanted) -> Response:
            if body.name == "nobody":
                raise NotFound("There is nobody.")
            long = "fastapi_inner_astack" in request.scope
            return Response(f"{body.name} the {'long' if long else 'short'} way to {request.scope['route'].path}")

        @router.post("/v1/greet/{name}")
        async def by_name(request: Request, name: str, body: Wanted) -> Response:
            return Response(f"{name} and {body.name}")

        async def refused(_: Request, error: AttuneError) -> Response:
            return Response(str(error), error.status)

        self.app.include_router(router)
        self.app.add_middleware(Quick, routes=router.routes, refused=refused, longest=40)

    def asked(self, *parts: bytes, path: str = "/v1/greet", content_type: str = JSON) -> tuple[int, str]:
        received = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        received[-1]["more_body"] = False
        sent: list[Message] = []

        async def receive() -> Message:
            return received.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"content-type", content_type.encode())]
        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": path, "headers": headers}
        asyncio.run(self.app(scope | {"query_string": b"", "root_path": "", "http_version": "1.1"}, receive, send))
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent).decode()


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


def test_a_body_as_documented_is_answered_the_short_way(shop: Shop) -> None:
    assert shop.asked(b'{"name": "Ann"}') == (200, "Ann the short way to /v1/greet")


def test_a_body_that_comes_in_parts_is_put_together(shop: Shop) -> None:
    assert shop.asked(b'{"na', b'me": "A', b'nn"}') == (200, "Ann the short way to /v1/greet")


def test_what_is_not_said_to_be_plain_json_goes_the_long_way(shop: Shop) -> None:
    asked = shop.asked(b'{"name": "Ann"}', content_type="application/json; charset=utf-8")
    assert asked == (200, "Ann the long way to /v1/greet")


def test_what_does_not_fit_goes_the_long_way_with_all_its_parts(shop: Shop) -> None:
    status, text = shop.asked(b'{"na', b'me": 1}')
    assert status == 422
    assert json.loads(text)["detail"][0]["loc"] == ["body", "name"]


def test_what_the_function_raises_is_refused_in_its_own_words(shop: Shop) -> None:
    assert shop.asked(b'{"name": "nobody"}') == (404, "There is nobody.")


def test_a_route_whose_path_holds_a_name_goes_the_long_way(shop: Shop) -> None:
    assert shop.asked(b'{"name": "Ann"}', path="/v1/greet/Bob") == (200, "Bob and Ann")


def test_a_long_body_goes_the_long_way_with_all_its_parts(shop: Shop) -> None:
    parts = [b'{"name": "', *[b"A" * 30] * 5, b'"}']
    assert shop.asked(*parts) == (200, f"{'A' * 150} the long way to /v1/greet")
