"""What another model or recipe would have put where chance had a say: rankings of the log, made otherwise."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from evaluation.explored import EXPLORED
from features.catalog import Catalog
from features.fields import microseconds
from features.interactions import History
from features.layout import Layout
from models.bundle import Bundle
from serving.live_catalog import LiveCatalog
from serving.pipeline import Pipeline
from serving.ranking_log import LoggedRanking, SQLiteRankingLog
from serving.recipes import Recipe, Recipes
from serving.replay import remade
from serving.visitors import NO_CODE

MOST: Final = 20_000
"""The latest of them are enough; each is made again."""


def explored_places(
    layout: Layout, name: str, recipe: Recipe, bundle: Bundle | None = None, since: datetime | None = None
) -> pl.DataFrame:
    """Return the explored places of logged rankings, and what a target would have put there.

    The target answers the same request at the same moment, by the catalog of that moment and what was known of the
    visitor, and leaves nothing to chance.

    Args:
        layout: The run-time folder.
        name: The recipe that was asked for.
        recipe: The target's recipe.
        bundle: The target's bundle; that of each ranking where not given.
        since: Rankings before it are left out. A bundle must not be judged by what it was fitted on.

    Returns:
        Columns as in ``EXPLORED``; the latest ``MOST`` rankings, those left out whose bundle is gone.
    """
    if not layout.rankings.is_file():
        return EXPLORED.to_frame()
    quiet = recipe.model_copy(update={"explore": None, "shuffle": 0.0})
    rows = []
    with closing(SQLiteRankingLog(layout)) as log, closing(Catalog(layout)) as catalog:
        served: dict[str, Bundle] = {}
        pipelines: dict[tuple[str, str, int], Pipeline] = {}

        def made(ranking: LoggedRanking, recipe: Recipe, own: Bundle, target: Bundle) -> list[str]:
            """Return what ``recipe`` and the bundle ``target`` give for the request of ``ranking``."""
            key = recipe.version, target.manifest.bundle_id, ranking.catalog_version
            if key not in pipelines:
                if len(pipelines) > 1 + len(served):
                    pipelines.clear()  # rankings come in order, and so do the versions of the catalog
                live = LiveCatalog(target, catalog, ranking.catalog_version)
                pipelines[key] = Pipeline(target, Recipes(recipes={name: recipe}), live)
            history = history_of(ranking.history, own, target)
            return [item_id for item_id, _ in remade(ranking, pipelines[key], history)]

        for ranking_id in log.explored(name, since, MOST):
            ranking = log.ranking(ranking_id)
            if not (layout.bundles / ranking.bundle_id).is_dir():
                continue
            if ranking.bundle_id not in served:
                served[ranking.bundle_id] = Bundle.load(layout.bundles / ranking.bundle_id)
            own = served[ranking.bundle_id]
            assert ranking.explored is not None
            place, drawn, probability = ranking.explored
            theirs = made(ranking, quiet, own, bundle or own)
            target = theirs[place] if place < len(theirs) else None
            without_chance = ranking.items
            if drawn:  # and so the list lacks the last of its own items
                logged = Recipe.of(json.loads(log.recipe(ranking.recipe_version)), f"the recipe of {ranking_id}")
                without_chance = made(ranking, logged.model_copy(update={"explore": None}), own, own)
            rows.append(
                {
                    "ranking_id": ranking_id,
                    "user_id": ranking.user_id or ranking_id,
                    "made_at_us": microseconds(ranking.made_at),
                    "item_id": ranking.items[place],
                    "drawn": drawn,
                    "probability": probability,
                    "target": target,
                    "elsewhere": target in without_chance and without_chance.index(target) != place,
                }
            )
    return pl.DataFrame(rows, EXPLORED)


def history_of(history: History, own: Bundle, target: Bundle) -> History:
    """Return ``history``, in items and event types of ``own``, in those of ``target``; what it does not know is left
    out.
    """
    if own is target:
        return history
    codes = {name: code for code, name in enumerate(target.manifest.event_types)}
    code_of = np.array([codes.get(name, NO_CODE) for name in own.manifest.event_types], np.uint8)
    items = target.items.indices(own.items.id(item) for item in history.item.tolist())
    moved = History(
        items, code_of[history.event_type], history.timestamp_s, history.quantity, history.value, history.session
    )
    return moved[(items >= 0) & (moved.event_type != NO_CODE)]
