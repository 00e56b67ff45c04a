"""The short way to an answer: a framework puts more around each request than many answers take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from features.errors import AttuneError

JSON: Final = (b"content-type", b"application/json")

Answer = Callable[[Request, BaseModel], Awaitable[Response]]
Read = Callable[[bytes], BaseModel]


def with_bodies(routes: Iterable[BaseRoute]) -> Iterator[tuple[APIRoute, Read]]:
    """Yield those of ``routes`` that are posted a body to a fixed path, with what reads it; raises ValidationError."""
    for route in routes:
        if isinstance(route, APIRoute) and route.methods == {"POST"} and route.body_field is not None:
            body_type = route.body_field.field_info.annotation
            if isinstance(body_type, type) and issubclass(body_type, BaseModel) and not route.param_convertors:
                yield route, TypeAdapter(body_type).validate_json


class Quick:
    """Middleware that answers a request with a body itself where it is as documented; others go the long way.

    The function of such a route, whose path is fixed, takes the request and the body. What does not fit, or is longer
    than ``longest`` bytes, is read once more on the long way, which says what is wrong.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Iterable[BaseRoute],
        refused: Callable[[Request, AttuneError], Awaitable[Response]],
        longest: int,
    ) -> None:
        """Answer for those of ``routes`` that take such a body, and by ``refused`` what they raise."""
        self._app, self._refused, self._longest = app, refused, longest
        self._routes: dict[str, tuple[APIRoute, Read, Answer]] = {}
        for route, read in with_bodies(routes):
            self._routes[route.path] = route, read, route.endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        quick = self._routes.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if quick is None or JSON not in scope["headers"]:
            await self._app(scope, receive, send)
            return
        route, read, answer = quick
        messages: list[Message] = []
        length, body = 0, None
        while not messages or (messages[-1].get("more_body") and length <= self._longest):
            messages.append(await receive())
            length += len(messages[-1].get("body", b""))
        with suppress(ValidationError):
            if length <= self._longest:
                body = read(b"".join(message.get("body", b"") for message in messages))
        if body is None:
            unread = iter(messages)

            async def again() -> Message:
                return next(unread, None) or await receive()

            await self._app(scope, again, send)
            return
        scope["route"] = route
        request = Request(scope)
        try:
            response = await answer(request, body)
        except AttuneError as error:
            response = await self._refused(request, error)
        await response(scope, receive, send)
