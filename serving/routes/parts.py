"""What every route needs: the parts of the service, and how an answer is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel

from serving.assembly import Assembly
from serving.champion import Served
from serving.ingestion import read_json
from serving.quick import JSON


def assembly(request: Request) -> Assembly:
    """Return the parts of the service that ``request`` came to."""
    parts: Assembly = request.app.state.assembly
    return parts


def serving(request: Request) -> Served:
    """Return what to answer ``request`` with, from its beginning to its end: all that may change is of this moment."""
    parts = assembly(request)
    served, stamp = parts.champion.served(), parts.stamp()
    served.pipeline.catalog.refresh(stamp)
    served.pipeline.recipes = parts.recipes.current(stamp)
    served.visitors.segments = parts.segments.current(stamp)
    parts.decisions.refresh(stamp)
    return served


async def json_of(request: Request) -> Any:
    """Return the body of ``request``, for a route that checks it by itself.

    Raises:
        InvalidInput: it is not JSON.
    """
    return read_json(await request.body())


def answered(answer: BaseModel) -> Response:
    """Return ``answer`` as JSON; FastAPI would check once more what is of the right type already."""
    return Written(answer.model_dump_json(exclude_none=True).encode())


class Written(Response):
    """An answer that is JSON already, and needs no other headers than that says."""

    media_type = "application/json"

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Write the two headers as they are sent."""
        self.raw_headers = [(b"content-length", str(len(self.body)).encode()), JSON]
