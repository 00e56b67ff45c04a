"""From a query to a ranking: what is served is what is evaluated and what makes training examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from features.errors import NotFound
from features.interactions import History, IntArray
from models.bundle import Bundle
from models.scorer import PURCHASE, Reason, Scorer, Scores
from serving.filters import Availability, Expressions, Filter, kept, listed, removed
from serving.query import Query
from serving.recipes import MODEL, Recipe, Recipes

FEW_ITEMS: Final = 2_000
"""So few are quicker scored one and all than found among the candidates of the whole catalog."""
SPARE_CANDIDATES: Final = 50
"""Asked for beyond those needed, since filters remove some."""
UNSCORED: Final = "catalog"


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """An ordered list of items, no item twice, each passing every filter.

    Attributes:
        items: Item indices, best first; at most ``query.n``.
        scores: float32, one for each item; comparable between items of one scorer.
        scorers: Name of the scorer that each item was placed by; ``catalog`` where none knew it.
        removed: Of ``query.only``, the items that a filter removed, with its reason.
        shortfall_reason: Why there are fewer than ``query.n``; None where there are not.
    """

    items: IntArray
    scores: Scores
    scorers: tuple[str, ...]
    removed: dict[int, str]
    shortfall_reason: str | None


class Pipeline:
    """Ranks the items of one bundle by the recipes; immutable, and used by any number of threads at once."""

    def __init__(self, bundle: Bundle, recipes: Recipes) -> None:
        """Prepare the filters of the bundle's catalog.

        Raises:
            InvalidInput: the filter of a recipe does not fit the catalog.
        """
        self.bundle = bundle
        self.recipes = recipes
        self._availability = Availability(bundle.catalog)
        self._expressions = Expressions(bundle.catalog)
        self._latest = np.argsort(-self._availability.published_s.astype(np.float64), kind="stable").astype(np.int32)
        for recipe in recipes.recipes.values():
            if recipe.filter is not None:
                self._expressions.meets(recipe.filter)

    def rank(self, query: Query) -> Ranking:
        """Return the ranking that ``query`` asks for.

        Raises:
            NotFound: the recipe is unknown, or the bundle has none of its scorers.
            InvalidInput: the filter is not a condition on the catalog.
        """
        recipe = self.recipes[query.recipe]
        scorers = self._scorers(query.recipe, recipe)
        filters = self._filters(query, recipe)
        pool = self._pool(query, recipe)
        history = query.history_with_context()

        items, scores, placed_by = np.zeros(0, np.int32), np.zeros(0, np.float32), []
        unlisted = filters
        for scorer in scorers:
            best, their_scores = self._best(scorer, query, history, pool, unlisted, query.n - len(items))
            items, scores = np.concatenate([items, best]), np.concatenate([scores, their_scores])
            placed_by += [scorer.name] * len(best)
            if len(items) == query.n:
                break
            unlisted = [*filters, listed("in the list already", items, self.n_items)]
        if len(items) < query.n and (recipe.fill or query.only is not None):
            unscored = self._latest if query.only is None else _distinct(query.only)
            rest = kept(unscored, unlisted)[: query.n - len(items)]
            items, scores = np.concatenate([items, rest]), np.concatenate([scores, np.zeros(len(rest), np.float32)])
            placed_by += [UNSCORED] * len(rest)

        removals = [] if query.only is None else removed(query.only, filters)
        return Ranking(
            items,
            scores,
            tuple(placed_by),
            {int(item): reason for reason, refused in removals for item in refused},
            None if len(items) == query.n else self._shortfall(query, len(items), scorers, filters),
        )

    def reasons(self, query: Query, ranking: Ranking) -> list[Reason]:
        """Return why each item is in ``ranking``, the answer to ``query``."""
        history = query.history_with_context()
        found = [Reason(UNSCORED, "In the catalog; nobody has chosen it so far.")] * len(ranking.items)
        for scorer, places in self._placed(ranking):
            reasons = scorer.reasons(history, ranking.items[places], query.now)
            for place, reason in zip(places, reasons, strict=True):
                found[place] = reason or found[place]
        return found

    def contributions(self, query: Query, ranking: Ranking) -> list[dict[str, float]]:
        """Return the named parts of each score in ``ranking``, the answer to ``query``; they add up to the score."""
        history = query.history_with_context()
        found: list[dict[str, float]] = [{} for _ in ranking.items]
        for scorer, places in self._placed(ranking):
            for part, values in scorer.contributions(history, ranking.items[places], query.now).items():
                for place, value in zip(places, values.tolist(), strict=True):
                    found[place][part] = value
        return found

    def available(self) -> list[str]:
        """Return the names of the recipes for which the bundle has a scorer."""
        return [name for name, recipe in self.recipes.recipes.items() if self._known(recipe)]

    @property
    def n_items(self) -> int:
        """How many items there are, those included that may not be shown."""
        return len(self.bundle.items)

    def _placed(self, ranking: Ranking) -> list[tuple[Scorer, list[int]]]:
        """Return each scorer that placed items of ``ranking``, with their places."""
        return [
            (self.bundle.scorers[name], [place for place, other in enumerate(ranking.scorers) if other == name])
            for name in dict.fromkeys(ranking.scorers)
            if name != UNSCORED
        ]

    def _known(self, recipe: Recipe) -> list[Scorer]:
        names = (self.bundle.manifest.model if name == MODEL else name for name in recipe.scorers)
        return [self.bundle.scorers[name] for name in dict.fromkeys(names) if name in self.bundle.scorers]

    def _scorers(self, name: str, recipe: Recipe) -> list[Scorer]:
        known = self._known(recipe)
        if not known:
            raise NotFound(
                f"The recipe {name!r} needs {' or '.join(recipe.scorers)}, which the bundle now served does not have. "
                f"Recipes it can answer: {', '.join(self.available())}."
            )
        return known

    def _filters(self, query: Query, recipe: Recipe) -> list[Filter]:
        filters = self._availability.filters(query.now)
        if len(query.exclude):
            filters.append(listed("excluded by the request", query.exclude, self.n_items))
        if len(query.context):
            filters.append(listed("on the page already", query.context, self.n_items))
        if recipe.exclude_bought:
            bought = query.history.item[query.history.event_type == PURCHASE]
            filters.append(listed("bought before", bought, self.n_items))
        for expression in (recipe.filter, query.filter):
            if expression is not None:
                meets = self._expressions.meets(expression)
                filters.append(Filter(f"outside of the filter {expression}", meets.__getitem__))
        return filters

    def _pool(self, query: Query, recipe: Recipe) -> IntArray | None:
        """Return the items to score one and all, or None where candidates are to be asked for."""
        if query.only is not None:
            return _distinct(query.only)
        narrow = [self._expressions.meets(e) for e in (recipe.filter, query.filter) if e is not None]
        if narrow and np.count_nonzero(meets := np.logical_and.reduce(narrow)) <= FEW_ITEMS:
            return np.flatnonzero(meets).astype(np.int32)
        return None

    def _best(
        self, scorer: Scorer, query: Query, history: History, pool: IntArray | None, filters: list[Filter], n: int
    ) -> tuple[IntArray, Scores]:
        """Return the at most ``n`` items of the highest score above 0 that pass ``filters``, and their scores."""
        if pool is not None:
            items = kept(pool, filters)
        else:
            wanted = n + SPARE_CANDIDATES + len(query.history)
            while True:
                proposed = scorer.proposed(history, wanted, query.now)
                items = kept(proposed, filters)
                if len(items) >= n or len(proposed) < wanted or wanted >= self.n_items:
                    break
                wanted *= 8
        scores = scorer.scores(history, items, query.now)
        order = np.argsort(-scores, kind="stable")[:n]
        order = order[scores[order] > 0]
        return items[order], scores[order]

    def _shortfall(self, query: Query, n: int, scorers: list[Scorer], filters: list[Filter]) -> str:
        asked = np.arange(self.n_items, dtype=np.int32) if query.only is None else query.only
        removals = [f"{len(items)} {reason}" for reason, items in removed(asked, filters) if len(items)]
        left = len(kept(asked, filters))
        why = f"{left} of {len(asked)} items pass the filters"
        if removals:
            why += f" (removed: {', '.join(removals)})"
        if n < left:
            names = ", ".join(scorer.name for scorer in scorers)
            why += f", and of the others none scores above 0 for this history ({names})"
        return f"{n} of {query.n} items: {why}."


def _distinct(items: IntArray) -> IntArray:
    """Return ``items``, each once, in the order in which they first come."""
    _, first = np.unique(items, return_index=True)
    return items[np.sort(first)]
