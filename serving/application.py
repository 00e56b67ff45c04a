"""The application: its routes, its beginning and end, and what it answers when something is wrong."""

from __future__ import annotations

import gc
import logging
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import distribution
from time import perf_counter
from typing import Any, ClassVar, Final

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Match, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from features.errors import AttuneError, Busy
from serving.assembly import Assembly
from serving.connection import AtOnce, Connection
from serving.front import Front, seconds
from serving.quick import Quick, Read, with_bodies
from serving.routes import decisions, events, items, operation, pages, profiles, rankings, recipes, segments
from serving.wire.messages import ProblemAnswer, problem

MAX_BODY_BYTES: Final = 1_000_000

log = logging.getLogger("attune")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Put the service together when it starts, and follow the promoted bundle until it stops."""
    with Assembly.running(os.environ) as assembly:
        app.state.assembly = assembly
        app.state.cors_origins = assembly.settings.cors_origins.split()
        gc.collect()
        gc.freeze()  # what was loaded stays: not looking at it again keeps pauses short
        gc.enable()
        yield


app = FastAPI(
    title="Attune",
    summary="Personal rankings of a shop's items",
    lifespan=lifespan,
    docs_url=None,
    redoc_url=None,
    telemetry={"tracing": False, "metrics": False, "logs": False},  # `Front` counts requests
    responses={status: {"model": ProblemAnswer} for status in ("4XX", "503")},
)


class CrossOrigin:
    """Lets pages of other sites in, those that the settings name; they are known only once the service has started."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = self._for_origins = app
        self._origins: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with the headers that its page needs to read the answer."""
        origins = self._origins if scope["type"] != "http" else scope["app"].state.cors_origins
        if origins != self._origins:
            self._origins, self._for_origins = origins, self._app
            if origins:
                self._for_origins = CORSMiddleware(
                    self._app, origins, allow_methods=["*"], allow_headers=["*"], max_age=86_400
                )
        await self._for_origins(scope, receive, send)


class ShortBodies:
    """Refuses a body that is too long: at once where its length is told, and as soon as it is where it is not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body limited."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        left = MAX_BODY_BYTES

        async def limited() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise _too_long()
            return message

        if told.isdigit() and int(told) > left:
            answer = await refused_by_route(Request(scope), _too_long())
            await answer(scope, receive, send)
        else:
            await self._app(scope, limited, send)


def _too_long() -> HTTPException:
    # A new one each time: an exception that is raised again keeps the frames of all times before, and what they hold.
    return HTTPException(413, f"The body may have {MAX_BODY_BYTES:,} bytes; send it in several requests")


app.mount("/static_content", StaticFiles(directory=str(distribution("bentoml").locate_file(pages.STATIC_CONTENT))))

ROUTERS = tuple(
    routes.router for routes in (rankings, decisions, events, recipes, items, profiles, segments, operation, pages)
)
for router in ROUTERS:
    app.include_router(router)


@app.exception_handler(AttuneError)
async def refused(_: Request, error: AttuneError) -> JSONResponse:
    """Answer a mistake in what was asked, or something missing, in its own words."""
    code = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, Busy) else None
    return JSONResponse(problem(code, str(error), getattr(error, "field", None) or None), error.status, headers)


QUICK: Final = [*rankings.router.routes, *decisions.router.routes]
app.add_middleware(ShortBodies)
app.add_middleware(Quick, routes=QUICK, refused=refused, longest=MAX_BODY_BYTES)
app.add_middleware(CrossOrigin)


@app.exception_handler(RequestValidationError)
async def not_understood(request: Request, error: RequestValidationError) -> JSONResponse:
    """Answer a request that does not fit its type: the first field at fault, what was given and what is allowed."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return JSONResponse(problem("invalid_input", f"The body is not valid JSON: {first['ctx']['error']}."), 400)
    if isinstance(first["input"], bytes):
        sent = request.headers.get("content-type", "missing")
        message = f"The body is not read as JSON: its Content-Type is {sent}. Send Content-Type: application/json."
        return JSONResponse(problem("invalid_input", message), 400)
    field = ".".join(str(part) for part in first["loc"][1:])
    given = "" if first["type"] == "missing" else f"; given {_shortened(first['input'])}"
    message = f"{field or 'The body'}: {first['msg']}{given}."
    if first["type"] in ("extra_forbidden", "missing") and (body := _body_of(request)) is not None:
        message += f" Allowed fields: {', '.join(body.model_fields)}."
    return JSONResponse(problem("invalid_input", message, field or None), 400)


@app.exception_handler(HTTPException)
async def refused_by_route(request: Request, error: HTTPException) -> JSONResponse:
    """Answer what the routes themselves refuse: a path, a method, a body that is too long."""
    message = f"{error.detail}: {request.method} {request.url.path}. The API is described at /docs."
    headers = error.headers
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:  # the router names the methods of one route of the path
        there = [
            route for router in ROUTERS for route in router.routes if route.matches(request.scope)[0] != Match.NONE
        ]
        methods = {method for route in there if isinstance(route, Route) for method in route.methods or ()}
        headers = {"Allow": ", ".join(sorted(methods))} if methods else headers
    return JSONResponse(problem(f"http_{error.status_code}", message), error.status_code, headers)


@app.exception_handler(Exception)
async def broken(_: Request, error: Exception) -> JSONResponse:
    """Answer what is our mistake without showing its inside; the log has it."""
    return JSONResponse(problem("internal", "The service failed; its log says why."), 500)


def _shortened(given: Any) -> str:
    shown = repr(given)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def _body_of(request: Request) -> type[BaseModel] | None:
    field = getattr(request.scope.get("route"), "body_field", None)
    body = field.field_info.annotation if field else None
    return body if isinstance(body, type) and issubclass(body, BaseModel) else None


def _at_once(route: APIRoute, read: Read) -> AtOnce:
    """Return what answers bodies for ``route``, whose function waits for nothing, and counts what it has answered."""
    request = Request({"type": "http", "app": app, "route": route})

    def answer(body: bytes) -> Response | None:
        begun = perf_counter()
        try:
            route.endpoint(request, read(body)).send(None)
        except StopIteration as done:
            response: Response = done.value
            seconds(route.path, response.status_code).observe(perf_counter() - begun)
            return response
        except (ValidationError, AttuneError):
            return None  # the application meets it once more, and knows what to say
        except Exception:
            # What escapes from here, the parser takes for a mistake in the request: 400, and the connection is closed.
            log.exception("%s failed when it was answered at once; it is answered at length.", route.path)
            return None
        raise RuntimeError(f"{route.path} waits for something, so it cannot be answered at once.")

    return answer


class Direct(Connection):
    """A connection that answers rankings at once."""

    at_once: ClassVar = {
        route.path.encode(): _at_once(route, read) for route, read in with_bodies(rankings.router.routes)
    }
    longest: ClassVar = MAX_BODY_BYTES


def answering(listener: socket.socket) -> None:
    """Answer the requests that come in at ``listener`` until SIGINT or SIGTERM, and count them."""
    config = uvicorn.Config(Front(app), http=Direct, log_config=None, access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[listener])
