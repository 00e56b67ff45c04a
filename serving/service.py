"""The service: its routes, and what they answer when something is wrong.

Start it with ``bentoml serve serving.service:Attune``. BentoML adds ``/livez``, ``/readyz`` and ``/metrics``.
"""

from __future__ import annotations

import gc
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import bentoml
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from features.errors import AttuneError
from serving import answers, wire
from serving.assembly import Assembly
from serving.pipeline import Pipeline

MAX_BODY_BYTES = 1_000_000
PAGE = Path(__file__).with_name("web")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Put the service together when it starts, and follow the promoted bundle until it stops."""
    # BentoML shows only lines of its own loggers; the operator wants to see which bundle is served.
    ours, bentoml_s = logging.getLogger("attune"), logging.getLogger("bentoml")
    ours.handlers, ours.level, ours.propagate = bentoml_s.handlers, bentoml_s.level, bentoml_s.propagate
    app.state.assembly = assembly = Assembly.of_environment(os.environ)
    with assembly.champion.following():
        gc.collect()
        gc.freeze()  # what was loaded stays: not looking at it again keeps pauses short
        yield


app = FastAPI(
    title="Attune",
    summary="Personal rankings of a shop's items",
    lifespan=lifespan,
    docs_url=None,
    redoc_url=None,
    max_body_size=MAX_BODY_BYTES,
    responses={status: {"model": wire.ProblemAnswer} for status in ("4XX", "503")},
)


def assembly() -> Assembly:
    """Return the service's parts."""
    parts: Assembly = app.state.assembly
    return parts


def serving() -> Pipeline:
    """Return the pipeline to answer a request with, from its beginning to its end."""
    return assembly().champion.pipeline()


def answered(answer: BaseModel) -> Response:
    """Return ``answer`` as JSON; FastAPI would check once more what is of the right type already."""
    return Response(answer.model_dump_json(exclude_none=True), media_type="application/json")


@app.post("/v1/recommend", response_model=wire.RankingAnswer)
async def recommend(request: wire.RecommendRequest) -> Response:
    """Return items for a visitor."""
    pipeline = serving()
    now = assembly().now(pipeline.bundle)
    return answered(answers.recommended(pipeline, request, now, assembly().new_id()))


@app.post("/v1/rank", response_model=wire.RankingAnswer)
async def rank(request: wire.RankRequest) -> Response:
    """Return the given items in the order for a visitor; those left out come back with the reason."""
    pipeline = serving()
    now = assembly().now(pipeline.bundle)
    return answered(answers.ranked(pipeline, request, now, assembly().new_id()))


@app.post("/v1/similar", response_model=wire.RankingAnswer)
async def similar(request: wire.SimilarRequest) -> Response:
    """Return items that go with one item."""
    pipeline = serving()
    now = assembly().now(pipeline.bundle)
    return answered(answers.similar(pipeline, request, now, assembly().new_id()))


@app.get("/v1/items/{item_id:path}", response_model=wire.Item)
async def item(item_id: wire.Id) -> Response:
    """Return what the catalog says of an item."""
    return answered(answers.item(serving().bundle, item_id))


@app.get("/v1/profiles", response_model=wire.ProfileList)
async def profiles(
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    search: Annotated[str, Query(max_length=128, description="How the ids begin.")] = "",
) -> Response:
    """Return the known visitors, in the order of their ids."""
    return answered(answers.profiles(serving().bundle, search, limit))


@app.get("/v1/profiles/{user_id:path}", response_model=wire.Profile)
async def profile(user_id: wire.Id) -> Response:
    """Return what is known of a visitor."""
    bundle = serving().bundle
    return answered(answers.profile(bundle, user_id, assembly().now(bundle)))


@app.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    """Return the page of the API, from the files that BentoML carries: it works without the internet."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Attune",
        swagger_js_url="static_content/swagger-ui-bundle.js",
        swagger_css_url="static_content/swagger-ui.css",
        swagger_favicon_url="icon.svg",
    )


def _page_file(path: Path) -> Callable[[], Awaitable[FileResponse]]:
    async def page_file() -> FileResponse:
        return FileResponse(path)

    return page_file


for path in sorted(PAGE.iterdir()):  # one route each: a mount at / would hide BentoML's pages
    app.get("/" if path.name == "index.html" else f"/{path.name}", include_in_schema=False)(_page_file(path))


@app.exception_handler(AttuneError)
async def refused(_: Request, error: AttuneError) -> JSONResponse:
    """Answer a mistake in what was asked, or something missing, in its own words."""
    code = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    return JSONResponse(wire.problem(code, str(error)), error.status)


@app.exception_handler(RequestValidationError)
async def not_understood(request: Request, error: RequestValidationError) -> JSONResponse:
    """Answer a request that does not fit its type: the first field at fault, what was given and what is allowed."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return JSONResponse(wire.problem("invalid_input", f"The body is not valid JSON: {first['ctx']['error']}."), 400)
    if isinstance(first["input"], bytes):
        sent = request.headers.get("content-type", "missing")
        message = f"The body is not read as JSON: its Content-Type is {sent}. Send Content-Type: application/json."
        return JSONResponse(wire.problem("invalid_input", message), 400)
    field = ".".join(str(part) for part in first["loc"][1:])
    given = "" if first["type"] == "missing" else f"; given {_shortened(first['input'])}"
    message = f"{field or 'The body'}: {first['msg']}{given}."
    if first["type"] in ("extra_forbidden", "missing") and (body := _body_of(request)) is not None:
        message += f" Allowed fields: {', '.join(body.model_fields)}."
    return JSONResponse(wire.problem("invalid_input", message, field or None), 400)


@app.exception_handler(HTTPException)
async def no_such_route(request: Request, error: HTTPException) -> JSONResponse:
    """Answer what the routes themselves refuse: a path, a method, a body that is too long."""
    message = f"{error.detail}: {request.method} {request.url.path}. The API is described at /docs."
    return JSONResponse(wire.problem(f"http_{error.status_code}", message), error.status_code, error.headers)


@app.exception_handler(Exception)
async def broken(_: Request, error: Exception) -> JSONResponse:
    """Answer what is our mistake without showing its inside; the log has it."""
    return JSONResponse(wire.problem("internal", "The service failed; its log says why."), 500)


def _shortened(given: Any) -> str:
    shown = repr(given)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def _body_of(request: Request) -> type[BaseModel] | None:
    field = getattr(request.scope.get("route"), "body_field", None)
    return field.field_info.annotation if field else None


@bentoml.service(
    name="attune",
    tracing={"excluded_urls": ".*"},  # with it, every request costs three times as much
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(app)
class Attune:
    """What BentoML starts: it has no methods of its own, since ``app`` answers."""

    async def __is_ready__(self) -> bool:
        return assembly().champion.ready
