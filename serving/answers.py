"""From requests to queries, and from rankings and histories to answers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from features.errors import NotFound
from features.interactions import History, IntArray
from models.bundle import Bundle
from models.scorer import PURCHASE
from serving import wire
from serving.filters import BoolArray
from serving.pipeline import Pipeline, Ranking
from serving.query import Query, events

if TYPE_CHECKING:
    from models.affinity import Affinity

RECENT_EVENTS: Final = 20
MOST_BOUGHT: Final = 20
LIKINGS: Final = 12


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
    item = np.array([_item(pipeline.bundle, request.item_id)], np.int32)
    query = Query(
        history=events(item, "purchase", now),
        now=now,
        n=request.n,
        recipe="similar",
        exclude=np.concatenate([item, _known(items.indices(request.exclude))]),
        filter=request.filter,
    )
    return _answer(pipeline, query, ranking_id, request.explain, _unknown(pipeline, request.exclude))


def item(bundle: Bundle, item_id: str) -> wire.Item:
    """Return what the catalog says of an item.

    Raises:
        NotFound: there is no such item.
    """
    row = bundle.catalog.row(_item(bundle, item_id), named=True)
    dimensions = {name: row[name] or [] for name in bundle.manifest.dimensions}
    return wire.Item(model_version=bundle.manifest.bundle_id, dimensions=dimensions, **row)


def profiles(bundle: Bundle, search: str, limit: int) -> wire.ProfileList:
    """Return the first ``limit`` profiles whose id begins with ``search``."""
    found = []
    for user in bundle.users.starting_with(search)[:limit]:
        history = bundle.interactions.of(user)
        found.append(
            wire.ProfileSummary(
                user_id=bundle.users.id(user),
                purchases=int(np.count_nonzero(_bought(history))),
                last_seen=_moment(history.timestamp_s[-1]),
            )
        )
    return wire.ProfileList(profiles=found)


def profile(bundle: Bundle, user_id: str, now: datetime) -> wire.Profile:
    """Return what is known of a visitor.

    Raises:
        NotFound: nothing is.
    """
    history = bundle.history(user_id)
    if not len(history):
        raise NotFound(f"Nothing is known of the user {user_id!r}.")
    bought = _bought(history)
    items, last, count = np.unique(history.item[bought][::-1], return_index=True, return_counts=True)
    last_s = history.timestamp_s[bought][::-1][last]
    most = np.lexsort((-last_s, -count))[:MOST_BOUGHT]
    affinity = cast("Affinity | None", bundle.scorers.get("affinity"))
    return wire.Profile(
        user_id=user_id,
        first_seen=_moment(history.timestamp_s[0]),
        last_seen=_moment(history.timestamp_s[-1]),
        visits=len(np.unique(history.session[history.session >= 0])),
        purchases=int(np.count_nonzero(bought)),
        spend=round(float(history.value[history.event_type == PURCHASE].sum(dtype=np.float64)), 2),
        recent=[
            wire.HistoryEvent(
                item_id=bundle.items.id(history.item[row]),
                title=_title(bundle, history.item[row]),
                event_type=bundle.manifest.event_types[history.event_type[row]],
                timestamp=_moment(history.timestamp_s[row]),
                quantity=float(history.quantity[row]),
            )
            for row in range(len(history) - 1, max(-1, len(history) - 1 - RECENT_EVENTS), -1)
        ],
        bought_most=[
            wire.BoughtItem(
                item_id=bundle.items.id(items[place]),
                title=_title(bundle, items[place]),
                count=int(count[place]),
                last_at=_moment(last_s[place]),
            )
            for place in most
        ],
        affinities=[
            wire.Liking(dimension=like.dimension, value=like.value, affinity=like.affinity)
            for like in (affinity.likes(history, LIKINGS, now) if affinity else [])
        ],
    )


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


def _item(bundle: Bundle, item_id: str) -> int:
    index = bundle.items.find(item_id)
    if index is None:
        raise NotFound(f"There is no item {item_id!r}.")
    return index


def _bought(history: History) -> BoolArray:
    return (history.event_type == PURCHASE) & (history.quantity > 0)


def _title(bundle: Bundle, index: int) -> str | None:
    title: str | None = bundle.catalog["title"][int(index)]
    return title


def _name(bundle: Bundle, index: int) -> str:
    return _title(bundle, index) or bundle.items.id(index)


def _moment(timestamp_s: int) -> datetime:
    return datetime.fromtimestamp(int(timestamp_s), UTC)
