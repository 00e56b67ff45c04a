"""From requests to queries, and from rankings to answers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import numpy as np

from features.interactions import IntArray
from serving.answers.items import index_of
from serving.champion import Served
from serving.live_catalog import LiveCatalog
from serving.pipeline import Pipeline, Ranking
from serving.query import Query, events
from serving.wire import rankings as wire


def recommended(served: Served, request: wire.RecommendRequest, now: datetime, ranking_id: str) -> wire.RankingAnswer:
    """Return the items for a visitor; somebody unknown gets what the recipe makes of an empty history."""
    pipeline, items = served.pipeline, served.pipeline.catalog
    visitor = served.visitors.visitor(request.user_id, now)
    query = Query(
        history=visitor.history,
        values=visitor.values,
        now=now,
        n=request.n,
        recipe=request.recipe,
        context=_known(items.indices(request.context_items)),
        exclude=_known(items.indices(request.exclude)),
        filter=request.filter,
    )
    unknown = _unknown(pipeline, [*request.context_items, *request.exclude])
    answer = _answer(pipeline, query, ranking_id, request.explain, unknown)
    return answer.model_copy(update={"profile_version": visitor.version})


def ranked(served: Served, request: wire.RankRequest, now: datetime, ranking_id: str) -> wire.RankingAnswer:
    """Return the given items in the order for a visitor; every one is either in the ranking or among the removed."""
    pipeline, items = served.pipeline, served.pipeline.catalog
    visitor = served.visitors.visitor(request.user_id, now)
    only = _known(items.indices(dict.fromkeys(request.items)))
    query = Query(
        history=visitor.history,
        values=visitor.values,
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
    removed = [*(answer.removed or []), *strange]
    return answer.model_copy(update={"removed": removed, "profile_version": visitor.version})


def similar(served: Served, request: wire.SimilarRequest, now: datetime, ranking_id: str) -> wire.RankingAnswer:
    """Return what goes with an item: the ranking for somebody who bought it just now, and nothing else ever.

    Raises:
        NotFound: there is no such item.
    """
    pipeline, items = served.pipeline, served.pipeline.catalog
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
    ranking, catalog = pipeline.rank(query), pipeline.catalog
    removed = [wire.RemovedItem(item_id=catalog.id(one), reason=reason) for one, reason in ranking.removed.items()]
    return wire.RankingAnswer(
        ranking_id=ranking_id,
        model_version=pipeline.bundle.manifest.bundle_id,
        items=_items(pipeline, query, ranking, explain),
        removed=removed if query.only is not None else None,
        unknown_items=unknown or None,
        shortfall_reason=ranking.shortfall_reason,
    )


def _items(pipeline: Pipeline, query: Query, ranking: Ranking, explain: bool) -> list[wire.RankedItem]:
    catalog = pipeline.catalog
    reasons = pipeline.reasons(query, ranking)
    parts = pipeline.contributions(query, ranking) if explain else [None] * len(ranking.items)
    shown = catalog.rows(ranking.items).select("title", "url", "image_url", "price").iter_rows(named=True)
    return [
        wire.RankedItem(
            item_id=catalog.id(index),
            score=float(score),
            scorer=scorer,
            reasons=[
                wire.Reason(
                    kind=reason.kind,
                    text=reason.text.format(*(_name(catalog, one) for one in reason.items)),
                    items=[catalog.id(one) for one in reason.items],
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
    return [name for name in dict.fromkeys(names) if pipeline.catalog.find(name) is None]


def _name(catalog: LiveCatalog, index: int) -> str:
    return catalog.row(index)["title"] or catalog.id(index)
