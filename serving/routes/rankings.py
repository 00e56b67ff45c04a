"""Rankings: what to show to a visitor, and in which order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import Response

from serving.answers import rankings as answers
from serving.assembly import Assembly
from serving.champion import Served
from serving.pipeline import Pipeline
from serving.routes.parts import Written, answered, assembly, serving
from serving.visitors import Visitor
from serving.wire import rankings as wire
from serving.wire.messages import Id
from serving.wire.messages import Request as Body

router = APIRouter()

Personal = TypeVar("Personal", wire.RecommendRequest, wire.RankRequest)
"""A request that names a visitor and a recipe."""


def logged_answer(
    parts: Assembly,
    served: Served,
    made: answers.Made,
    kind: str,
    body: Body,
    explain: bool = False,
    why_not: Iterable[str] = (),
) -> str:
    """Return the ``RankingAnswer`` in JSON, and log the ranking."""
    pipeline, cards = served.pipeline, served.cards.of(made.ranking.items.tolist())
    answer = answers.answer(pipeline, cards, made, explain, why_not)
    recipe = pipeline.recipes[made.query.recipe]
    parts.rankings.append(answers.logged(pipeline, cards, made, kind, body), recipe)
    return answer


def _for_visitor(
    request: Request,
    kind: str,
    ranked: Callable[[Pipeline, Visitor, Personal, datetime, str], answers.Made],
    body: Personal,
    why_not: Iterable[str] = (),
) -> Response:
    """Return what ``ranked`` makes of ``body``, by the recipe that an experiment may choose in place of its own."""
    served, parts = serving(request), assembly(request)
    now = parts.now(served.pipeline.bundle)
    visitor, ranking_id = served.visitors.visitor(body.user_id, now, body.context), parts.new_id()
    recipe = parts.decisions.recipe(body.recipe, visitor, now, ranking_id, body.variants)
    body = body if recipe == body.recipe else body.model_copy(update={"recipe": recipe})
    made = ranked(served.pipeline, visitor, body, now, ranking_id)
    return Written(logged_answer(parts, served, made, kind, body, body.explain, why_not).encode())


@router.post("/v1/recommend", response_model=wire.RankingAnswer)
async def recommend(request: Request, body: wire.RecommendRequest) -> Response:
    """Return items for a visitor."""
    return _for_visitor(request, "recommend", answers.recommended, body, body.why_not)


@router.post("/v1/rank", response_model=wire.RankingAnswer)
async def rank(request: Request, body: wire.RankRequest) -> Response:
    """Return the given items in the order for a visitor; those left out come back with the reason."""
    return _for_visitor(request, "rank", answers.ranked, body)


@router.post("/v1/similar", response_model=wire.RankingAnswer)
async def similar(request: Request, body: wire.SimilarRequest) -> Response:
    """Return items that go with one item."""
    served, parts = serving(request), assembly(request)
    made = answers.similar(served.pipeline, body, parts.now(served.pipeline.bundle), parts.new_id())
    return Written(logged_answer(parts, served, made, "similar", body, body.explain, body.why_not).encode())


@router.post("/v1/zones", response_model=wire.ZonesAnswer)
async def zones(request: Request, body: wire.ZonesRequest) -> Response:
    """Return items for several places of a page at once; none is in two of them."""
    served, parts = serving(request), assembly(request)
    now = parts.now(served.pipeline.bundle)
    visitor = served.visitors.visitor(body.user_id, now, body.context)
    found, shown = [], list(body.exclude)
    for zone in body.zones:
        asked = body.model_dump(include={"user_id", "context_items", "context"}) | zone.model_dump(exclude={"zone"})
        # Not checked again, for what other zones show may be more than a request may exclude.
        one = wire.RecommendRequest.model_construct(**asked, exclude=list(shown))
        made = answers.recommended(served.pipeline, visitor, one, now, parts.new_id())
        answer = logged_answer(parts, served, made, "recommend", one, body.explain)
        found.append(f'{{"zone": {json.dumps(zone.zone)}, {answer[1:]}')
        shown += served.cards.of(made.ranking.items.tolist()).item_ids
    return Written(f'{{"zones": [{", ".join(found)}]}}'.encode())


@router.get("/v1/rankings/{ranking_id}", response_model=wire.LoggedRanking)
async def ranking(request: Request, ranking_id: Id) -> Response:
    """Return a ranking as it was shown, and what it was made of."""
    return answered(answers.shown(assembly(request).rankings.ranking(ranking_id)))
