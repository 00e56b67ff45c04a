"""The visitors that are known, and the organisations they belong to."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from features import erasure
from features.layout import Layout
from serving.answers import profiles as answers
from serving.champion import Served
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
    parts = assembly(request)
    return answered(answers.profiles(parts.profiles, _served(request), search, limit))


@router.get("/v1/profiles/{user_id:path}/export")
async def export_profile(request: Request, user_id: Id) -> Response:
    """Return everything that is known of a person, under all their ids: events, profile, rankings, decisions."""
    parts = assembly(request)
    layout = Layout(parts.settings.var)
    return JSONResponse(await run_in_threadpool(erasure.export, layout, user_id, parts.moment()))


@router.get("/v1/profiles/{user_id:path}", response_model=wire.Profile)
async def profile(request: Request, user_id: Id) -> Response:
    """Return what is known of a visitor."""
    parts = assembly(request)
    return answered(
        answers.profile(parts.profiles, _served(request), parts.segments.current(), user_id, parts.moment())
    )


@router.delete("/v1/profiles/{user_id:path}", response_model=wire.ErasedProfile)
async def erase_profile(request: Request, user_id: Id) -> Response:
    """Delete everything about a person, under all their ids: from the log, the profiles and the snapshots."""
    parts = assembly(request)
    layout, pseudonym = Layout(parts.settings.var), f"erased-{parts.new_id()}"
    erased = await run_in_threadpool(erasure.erase, layout, user_id, pseudonym)
    return answered(
        wire.ErasedProfile(
            identities=list(erased.identities),
            events=erased.events,
            snapshots=[folder.name for folder in erased.snapshots],
            bundles=[folder.name for folder in erased.bundles],
        )
    )


@router.get("/v1/accounts/{account_id:path}", response_model=wire.Account)
async def account(request: Request, account_id: Id) -> Response:
    """Return what is known of an organisation: the sum of its members' profiles."""
    parts = assembly(request)
    return answered(answers.account(parts.profiles, account_id, parts.moment()))


def _served(request: Request) -> Served | None:
    return serving(request) if assembly(request).champion.ready else None
