"""The visitors that are known."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from serving.answers import profiles as answers
from serving.routes.parts import answered, assembly, serving
from serving.wire import profiles as wire
from serving.wire.messages import Id

router = APIRouter()


@router.get("/v1/profiles", response_model=wire.ProfileList)
async def profiles(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    search: Annotated[str, Query(max_length=128, description="How the ids begin.")] = "",
) -> Response:
    """Return the known visitors, in the order of their ids."""
    return answered(answers.profiles(serving(request).pipeline.bundle, search, limit))


@router.get("/v1/profiles/{user_id:path}", response_model=wire.Profile)
async def profile(request: Request, user_id: Id) -> Response:
    """Return what is known of a visitor."""
    bundle = serving(request).pipeline.bundle
    return answered(answers.profile(bundle, user_id, assembly(request).now(bundle)))
