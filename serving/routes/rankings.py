"""Rankings: what to show to a visitor, and in which order."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from serving.answers import rankings as answers
from serving.routes.parts import answered, assembly, serving
from serving.wire import rankings as wire

router = APIRouter()


@router.post("/v1/recommend", response_model=wire.RankingAnswer)
async def recommend(request: Request, body: wire.RecommendRequest) -> Response:
    """Return items for a visitor."""
    served, parts = serving(request), assembly(request)
    return answered(answers.recommended(served, body, parts.now(served.pipeline.bundle), parts.new_id()))


@router.post("/v1/rank", response_model=wire.RankingAnswer)
async def rank(request: Request, body: wire.RankRequest) -> Response:
    """Return the given items in the order for a visitor; those left out come back with the reason."""
    served, parts = serving(request), assembly(request)
    return answered(answers.ranked(served, body, parts.now(served.pipeline.bundle), parts.new_id()))


@router.post("/v1/similar", response_model=wire.RankingAnswer)
async def similar(request: Request, body: wire.SimilarRequest) -> Response:
    """Return items that go with one item."""
    served, parts = serving(request), assembly(request)
    return answered(answers.similar(served, body, parts.now(served.pipeline.bundle), parts.new_id()))
