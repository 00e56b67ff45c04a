"""From requests to queries, and from rankings to answers."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from pydantic_core import to_json

from features.errors import NotFound
from features.interactions import History, IntArray
from models.scorer import Reason
from serving.cards import Shown
from serving.pipeline import Pipeline, Ranking
from serving.query import NO_ITEMS, Query, events
from serving.ranking_log import LoggedRanking
from serving.visitors import Visitor
from serving.wire import rankings as wire

EVENTS_OF_A_REASON: Final = 3


class Known(Mapping[str, Any]):
    """What is known of a visitor, remembering what was asked: a ranking is made again from that alone."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.asked: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        value = self.asked[name] = self._values.get(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A ranking made for a request.

    Attributes:
        ranking_id: Its name, which is what chance is drawn from too.
        query: What was asked.
        ranking: What came of it.
        visitor: Who asked; None where nobody was named.
        unknown: Ids of the request that no item has.
        removed: Ids of the items to rank that no item has; None where no items were given.
    """

    ranking_id: str
    query: Query
    ranking: Ranking
    visitor: Visitor | None
    unknown: tuple[str, ...]
    removed: tuple[str, ...] | None = None


def recommended(
    pipeline: Pipeline, visitor: Visitor, request: wire.RecommendRequest, now: datetime, ranking_id: str
) -> Made:
    """Return the items for a visitor; somebody unknown gets what the recipe makes of an empty history."""
    query = Query(
        history=visitor.history,
        now=now,
        n=request.n,
        recipe=request.recipe,
        context=_known(pipeline, request.context_items),
        exclude=_known(pipeline, request.exclude),
        filter=request.filter,
        values=Known(visitor.values),
        seed=_seed(ranking_id),
    )
    unknown = _unknown(pipeline, (*request.context_items, *request.exclude))
    return Made(ranking_id, query, pipeline.rank(query), visitor, unknown)


def ranked(pipeline: Pipeline, visitor: Visitor, request: wire.RankRequest, now: datetime, ranking_id: str) -> Made:
    """Return the given items in the order for a visitor; every one is either in the ranking or among the removed."""
    only = _known(pipeline, dict.fromkeys(request.items))
    query = Query(
        history=visitor.history,
        now=now,
        n=len(only),
        recipe=request.recipe,
        context=_known(pipeline, request.context_items),
        only=only,
        filter=request.filter,
        values=Known(visitor.values),
        seed=_seed(ranking_id),
    )
    strange = _unknown(pipeline, request.items)
    return Made(ranking_id, query, pipeline.rank(query), visitor, _unknown(pipeline, request.context_items), strange)


def similar(pipeline: Pipeline, request: wire.SimilarRequest, now: datetime, ranking_id: str) -> Made:
    """Return what goes with an item: the ranking for somebody who bought it just now, and nothing else ever.

    Raises:
        NotFound: there is no such item.
    """
    index = pipeline.catalog.find(request.item_id)
    if index is None:
        raise NotFound(f"There is no item {request.item_id!r}.")
    item = np.array([index], np.int32)
    query = Query(
        history=events(item, "purchase", now),
        now=now,
        n=request.n,
        recipe=request.recipe,
        exclude=np.concatenate([item, _known(pipeline, request.exclude)]),
        filter=request.filter,
        values=Known({f"context.{name}": value for name, value in request.context.items()}),
        seed=_seed(ranking_id),
    )
    return Made(ranking_id, query, pipeline.rank(query), None, _unknown(pipeline, request.exclude))


def answer(pipeline: Pipeline, cards: Shown, made: Made, explain: bool = False, why_not: Iterable[str] = ()) -> str:
    """Return the ``RankingAnswer`` in JSON, with the ``cards`` of the items of the ranking.

    It is put together from what is JSON already, for this is what is asked most.
    """
    ranking, catalog = made.ranking, pipeline.catalog
    scores = to_json(ranking.scores.tolist()).decode()[1:-1].split(",") if cards.json else []
    lines = zip(cards.json, scores, ranking.scorers, strict=True)
    rows = [f'{{{card}, "score": {score}, "scorer": "{scorer}"' for card, score, scorer in lines]
    if explain:
        rows = [f"{row}, {more}" for row, more in zip(rows, _explained(pipeline, made), strict=True)]
    parts = [
        f'"ranking_id": "{made.ranking_id}"',
        f'"model_version": "{pipeline.bundle.manifest.bundle_id}"',
        f'"recipe_version": "{pipeline.recipes[made.query.recipe].version}"',
        f'"items": [{"}, ".join(rows)}{"}" if rows else ""}]',
    ]
    if made.visitor is not None:
        parts.append(f'"profile_version": {made.visitor.version}')
    if made.removed is not None:
        refused = [*((catalog.id(one), why) for one, why in ranking.removed.items())]
        refused += [(name, "unknown") for name in made.removed]
        parts.append(f'"removed": {json.dumps([{"item_id": name, "reason": why} for name, why in refused])}')
    if made.unknown:
        parts.append(f'"unknown_items": {json.dumps(made.unknown)}')
    if ranking.shortfall_reason is not None:
        parts.append(f'"shortfall_reason": {json.dumps(ranking.shortfall_reason)}')
    if asked := list(why_not):
        parts.append(f'"why_not": {json.dumps(_missing(pipeline, made, asked))}')
    if ranking.explored is not None:
        explored = {"place": ranking.explored.place + 1, "drawn": ranking.explored.drawn}
        parts.append(f'"exploration": {json.dumps(explored | {"probability": ranking.explored.probability})}')
    return f"{{{', '.join(parts)}}}"


def logged(pipeline: Pipeline, cards: Shown, made: Made, kind: str, request: wire.Request) -> LoggedRanking:
    """Return what to keep of a ranking, of whose items these are the ``cards``: all that it takes to make it again."""
    ranking, visitor, known = made.ranking, made.visitor, made.query.values
    explored = ranking.explored
    return LoggedRanking(
        ranking_id=made.ranking_id,
        made_at=made.query.now,
        kind=kind,
        user_id=None if visitor is None else visitor.user_id,
        request=_as_sent(request, made.query.recipe),
        bundle_id=pipeline.bundle.manifest.bundle_id,
        catalog_version=pipeline.catalog.version,
        recipe_version=pipeline.recipes[made.query.recipe].version,
        profile_version=0 if visitor is None else visitor.version,
        history=made.query.history,
        known=known.asked if isinstance(known, Known) else dict(known),
        items=cards.item_ids,
        scores=ranking.scores.tolist(),
        explored=None if explored is None else (explored.place, explored.drawn, explored.probability),
    )


def shown(ranking: LoggedRanking) -> wire.LoggedRanking:
    """Return a ranking of the log."""
    explored = ranking.explored
    return wire.LoggedRanking(
        ranking_id=ranking.ranking_id,
        made_at=ranking.made_at,
        kind=ranking.kind,
        user_id=ranking.user_id,
        request=json.loads(ranking.request),
        model_version=ranking.bundle_id,
        catalog_version=ranking.catalog_version,
        recipe_version=ranking.recipe_version,
        profile_version=ranking.profile_version,
        known=ranking.known,
        items=ranking.items,
        scores=ranking.scores,
        exploration=None
        if explored is None
        else wire.Exploration(place=explored[0] + 1, drawn=explored[1], probability=explored[2]),
    )


def _explained(pipeline: Pipeline, made: Made) -> list[str]:
    """Return for each item of the ranking its reasons and contributions, as members of a JSON object."""
    history = made.query.history_with_context()
    reasons = pipeline.reasons(made.query, made.ranking)
    parts = pipeline.contributions(made.query, made.ranking)
    return [
        json.dumps({"reasons": [_reason(pipeline, reason, history)], "contributions": contributions})[1:-1]
        for reason, contributions in zip(reasons, parts, strict=True)
    ]


def _reason(pipeline: Pipeline, reason: Reason, history: History) -> dict[str, Any]:
    catalog, names = pipeline.catalog, pipeline.bundle.manifest.event_types
    behind = np.flatnonzero(np.isin(history.item, np.array(reason.items, np.int32)))[::-1][:EVENTS_OF_A_REASON]
    return {
        "kind": reason.kind,
        "text": reason.text.format(*(catalog.row(one)["title"] or catalog.id(one) for one in reason.items)),
        "items": [catalog.id(one) for one in reason.items],
        "events": [
            {
                "event_type": names[history.event_type[row]],
                "item_id": catalog.id(history.item[row]),
                "timestamp": datetime.fromtimestamp(int(history.timestamp_s[row]), UTC).isoformat(),
            }
            for row in behind.tolist()
        ],
    }


def _missing(pipeline: Pipeline, made: Made, asked: list[str]) -> list[dict[str, str]]:
    indices = pipeline.catalog.indices(asked)
    known = iter(pipeline.why_not(made.query, made.ranking, indices[indices >= 0]))
    return [
        {"item_id": name, "reason": "No item has this id." if index < 0 else next(known)}
        for name, index in zip(asked, indices.tolist(), strict=True)
    ]


def _as_sent(request: wire.Request, recipe: str) -> str:
    """Return ``request`` in JSON, its recipe always named."""
    sent = request.model_dump_json(exclude_unset=True)
    return sent if "recipe" in request.model_fields_set else f'{{"recipe":{json.dumps(recipe)},{sent[1:]}'


def _seed(ranking_id: str) -> int:
    return int(ranking_id[:15], 16)


def _known(pipeline: Pipeline, names: Collection[str]) -> IntArray:
    if not names:
        return NO_ITEMS
    indices = pipeline.catalog.indices(names)
    return indices[indices >= 0]


def _unknown(pipeline: Pipeline, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in dict.fromkeys(names) if pipeline.catalog.find(name) is None)
