"""Rankings of the log, made again."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Final

from features.catalog import Catalog
from features.database import open_database
from features.errors import NotFound
from features.interactions import History
from features.layout import Layout
from features.profiles import Profile
from models.bundle import Bundle
from serving.answers import rankings as answers
from serving.definition_book import recipe_book
from serving.live_catalog import LiveCatalog
from serving.pipeline import Pipeline
from serving.ranking_log import LoggedRanking, SQLiteRankingLog
from serving.recipes import Recipe, Recipes
from serving.visitors import Visitor
from serving.wire import rankings as wire

_REQUESTS: Final[dict[str, type[wire.RecommendRequest | wire.RankRequest | wire.SimilarRequest]]] = {
    "recommend": wire.RecommendRequest,
    "rank": wire.RankRequest,
    "similar": wire.SimilarRequest,
}


def logged(layout: Layout, ranking_id: str) -> tuple[LoggedRanking, Recipe]:
    """Return the ranking ``ranking_id`` and the recipe that made it.

    Raises:
        NotFound: there is none.
    """
    if not layout.rankings.is_file():
        raise NotFound(f"There is no ranking {ranking_id!r}: {layout.rankings} does not exist.")
    with closing(SQLiteRankingLog(layout)) as rankings:
        ranking = rankings.ranking(ranking_id)
        recipe = json.loads(rankings.recipe(ranking.recipe_version))
    return ranking, Recipe.of(recipe, f"the recipe of {ranking_id}")


def replayed(layout: Layout, ranking: LoggedRanking, recipe: Recipe) -> list[tuple[str, float]]:
    """Return the items that ``recipe`` gives for the request of ``ranking``, with their scores, best first.

    Everything else is as it was: the bundle, the catalog, the moment, what was known of the visitor, and chance. With
    the ranking's own recipe the list is the very same.

    Raises:
        NotFound: the bundle is gone.
    """
    bundle = Bundle.load(layout.bundles / ranking.bundle_id)
    with closing(Catalog(layout)) as catalog:
        live = LiveCatalog(bundle, catalog, ranking.catalog_version)
    pipeline = Pipeline(bundle, Recipes(recipes={_request(ranking).recipe: recipe}), live)
    return remade(ranking, pipeline, ranking.history)


def remade(ranking: LoggedRanking, pipeline: Pipeline, history: History) -> list[tuple[str, float]]:
    """Return the items that ``pipeline`` gives for the request of ``ranking`` at its moment, and their scores.

    Args:
        ranking: What was asked, when, and what was known of the visitor.
        pipeline: One with a recipe of the name that was asked for.
        history: That of the visitor, in the codes of the pipeline's bundle.
    """
    request, now, ranking_id = _request(ranking), ranking.made_at, ranking.ranking_id
    visitor = Visitor(ranking.user_id or "", (), Profile.empty(), ranking.profile_version, history, ranking.known)
    match request:
        case wire.RecommendRequest():
            made = answers.recommended(pipeline, visitor, request, now, ranking_id)
        case wire.RankRequest():
            made = answers.ranked(pipeline, visitor, request, now, ranking_id)
        case wire.SimilarRequest():
            made = answers.similar(pipeline, request, now, ranking_id)
    return list(zip(map(pipeline.catalog.id, made.ranking.items), made.ranking.scores.tolist(), strict=True))


def _request(ranking: LoggedRanking) -> wire.RecommendRequest | wire.RankRequest | wire.SimilarRequest:
    return _REQUESTS[ranking.kind].model_construct(**json.loads(ranking.request))


def recipes_in_force(layout: Layout, built_in: Recipes) -> Recipes:
    """Return the recipes that the service would answer by now."""
    with closing(open_database(layout.database)) as database:
        return recipe_book(built_in, database, database).current()
