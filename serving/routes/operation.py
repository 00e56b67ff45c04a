"""What those who operate the service ask it: whether it lives, and whether it has a bundle to answer from."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from serving.routes.parts import assembly

router = APIRouter(include_in_schema=False)


@router.get("/livez")
async def lives() -> Response:
    """Answer that the process answers."""
    return Response()


@router.get("/readyz")
async def is_ready(request: Request) -> Response:
    """Answer with 200 once there is a bundle, and before with 503 and the reason."""
    assembly(request).champion.served()
    return Response()
