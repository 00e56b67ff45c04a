from __future__ import annotations

import asyncio
import socket

import pytest
import uvicorn
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from serving.connection import Connection


def greeting(body: bytes) -> Response | None:
    return Response(b"at once: " + body) if body.startswith(b'"') else None


class Greeter(Connection):
    at_once = {b"/greet": greeting}
    longest = 100


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    await Response(b"at length: " + body)(scope, receive, send)


def request(body: bytes, *headers: str, path: str = "/greet", method: str = "POST", version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: shop", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def answers(*sent: bytes, pause_s: float = 0.0) -> str:
    """Return all that comes back on one connection for what is ``sent`` in turn, the last of it to be closed after."""

    async def asked() -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(application, http=Greeter, lifespan="off", log_config=None, date_header=False)
        )
        serving = asyncio.create_task(server.serve([listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        for part in sent:
            writer.write(part)
            await asyncio.sleep(pause_s)
        writer.write(request(b"last", "Connection: close", path="/end"))
        came = await reader.read()
        writer.close()
        server.should_exit = True
        await serving
        return came.decode()

    return asyncio.run(asked())


def bodies(came: str) -> list[str]:
    """Return the body of each answer but the last."""
    return [answer.partition("\r\n\r\n")[2] for answer in came.split("HTTP/1.1 200 OK\r\n")[1:-1]]


def test_a_plain_request_is_answered_at_once() -> None:
    came = answers(request(b'"Ann"'))
    assert bodies(came) == ['at once: "Ann"']
    assert came.startswith("HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-length: 14\r\n\r\nat once")


def test_a_request_that_comes_in_parts_is_put_together() -> None:
    whole = request(b'"Ann"')
    assert bodies(answers(*(whole[at : at + 1] for at in range(len(whole))), pause_s=0.0005)) == ['at once: "Ann"']


def test_requests_that_come_together_are_answered_in_their_order() -> None:
    long_way, at_once = request(b"Bob", path="/other"), request(b'"Ann"')
    assert bodies(answers(at_once + at_once)) == ['at once: "Ann"'] * 2
    assert bodies(answers(long_way + at_once)) == ["at length: Bob", 'at length: "Ann"']
    assert bodies(answers(at_once + long_way)) == ['at once: "Ann"', "at length: Bob"]


@pytest.mark.parametrize(
    "asked",
    [
        request(b"Ann"),
        request(b'"Ann"', path="/greet?twice"),
        request(b'"Ann"', method="PUT"),
        request(b'"Ann"', "Origin: https://other.shop"),
        request(b'"' + b"A" * 100),
    ],
)
def test_what_is_not_plain_is_answered_by_the_application(asked: bytes) -> None:
    (body,) = bodies(answers(asked))
    assert body == "at length: " + asked.partition(b"\r\n\r\n")[2].decode()


def test_a_body_that_grows_too_long_is_answered_by_the_application() -> None:
    whole = request(b'"' + b"A" * 200)
    assert bodies(answers(whole[:-150], whole[-150:-90], whole[-90:], pause_s=0.01)) == ['at length: "' + "A" * 200]


def test_a_request_of_an_older_version_of_http_is_answered_by_the_application() -> None:
    assert "at length" in answers(request(b'"Ann"', version="1.0"))
