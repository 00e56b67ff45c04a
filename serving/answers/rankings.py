"""From requests to queries, and from rankings to answers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import numpy as np

from features.interactions import IntArray
from models.bundle import Bundle
from serving.answers.items import index_of, title_of
from serving.pipeline import Pipeline, Ranking
from serving.query import Query, events
from serving.wire import rankings as wire


def recommended(
    pipeline: Pipeline, request: wire.RecommendRequest, now: datetime, ranking_id: str
) -> wire.RankingAnswer:
    """Return the items for a visitor; somebody unknown gets what the recipe makes of an empty history."""
    items = pipeline.bundle.items
    query = Query(
        history=pipeline.bundle.history(request.user_id),
        now=now,
        n=request.n,
        recipe=request.recipe,
        context=_known(items.indices(request.context_items)),
        exclude=_known(items.indices(request.exclude)),
        filter=request.filter,
    )
    unknown = _unknown(pipeline, [*request.context_items, *request.exclude])
    return _answer(pipeline, query, ranking_id, request.explain, unknown)


def ranked(pipeline: Pipeline, request: wire.RankRequest, now: datetime, ranking_id: str) -> wire.RankingAnswer:
    """Return the given items in the order for a visitor; every one is either in the ranking or among the removed."""
    items = pipeline.bundle.items
    only = _known(items.indices(dict.fromkeys(request.items)))
    query = Query(
        history=pipeline.bundle.history(request.user_id),
        now=now,
        n=len(only),
        recipe=request.recipe,
        context=_known(items.indices(request.context_items)),
        only=only,
        filter=request.filter,
    )
    strange = [wire.RemovedItem(item_id=name, reason="unknown") for name in _unknown(pipeline, request.items)]
    unknown = _unknown(pipeline, request.context_items)
    answer = _answer(pipeline, query, ranking_id, request.explain, unknown)
    return answer.model_copy(update={"removed": [*(answer.removed or []), *strange]})


def similar(pipeline: Pipeline, request: wire.SimilarRequest, now: datetime, ranking_id: str) -> wire.RankingAnswer:
    """Return what goes with an item: the ranking for somebody who bought it just now, and nothing else ever.

    Raises:
        NotFound: there is no such item.
    """
    items = pipeline.bundle.items
    item = np.array([index_of(pipeline.bundle, request.item_id)], np.int32)
    query = Query(
        history=events(item, "purchase", now),
        now=now,
        n=request.n,
        recipe="similar",
        exclude=np.concatenate([item, _known(items.indices(request.exclude))]),
        filter=request.filter,
    )
    return _answer(pipeline, query, ranking_id, request.explain, _unknown(pipeline, request.exclude))


def _answer(pipeline: Pipeline, query: Query, ranking_id: str, explain: bool, unknown: list[str]) -> wire.RankingAnswer:
    bundle = pipeline.bundle
    ranking = pipeline.rank(query)
    removed = [wire.RemovedItem(item_id=bundle.items.id(one), reason=reason) for one, reason in ranking.removed.items()]
    return wire.RankingAnswer(
        ranking_id=ranking_id,
        model_version=bundle.manifest.bundle_id,
        items=_items(pipeline, query, ranking, explain),
        removed=removed if query.only is not None else None,
        unknown_items=unknown or None,
        shortfall_reason=ranking.shortfall_reason,
    )


def _items(pipeline: Pipeline, query: Query, ranking: Ranking, explain: bool) -> list[wire.RankedItem]:
    bundle = pipeline.bundle
    reasons = pipeline.reasons(query, ranking)
    parts = pipeline.contributions(query, ranking) if explain else [None] * len(ranking.items)
    shown = bundle.catalog[ranking.items].select("title", "url", "image_url", "price").iter_rows(named=True)
    return [
        wire.RankedItem(
            item_id=bundle.items.id(index),
            score=float(score),
            scorer=scorer,
            reasons=[
                wire.Reason(
                    kind=reason.kind,
                    text=reason.text.format(*(_name(bundle, one) for one in reason.items)),
                    items=[bundle.items.id(one) for one in reason.items],
                )
            ],
            contributions=contributions,
            **columns,
        )
        for index, score, scorer, reason, contributions, columns in zip(
            ranking.items, ranking.scores, ranking.scorers, reasons, parts, shown, strict=True
        )
    ]


def _known(indices: IntArray) -> IntArray:
    return indices[indices >= 0]


def _unknown(pipeline: Pipeline, names: Iterable[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if name not in pipeline.bundle.items]


def _name(bundle: Bundle, index: int) -> str:
    return title_of(bundle, index) or bundle.items.id(index)
