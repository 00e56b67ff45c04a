"""From a query to a ranking: what is served is what is evaluated and what makes training examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from features.errors import NotFound
from features.events import PURCHASE
from features.interactions import DAY_S, History, IntArray
from models.bundle import Bundle
from models.scorer import Reason, Scorer
from serving.admission import admitted
from serving.boosters import Booster, booster_of
from serving.filters import Expressions, Filter, Rules, done, listed, priced
from serving.live_catalog import LiveCatalog
from serving.pool import Doubles, Pool
from serving.query import NO_ITEMS, Query
from serving.recipes import MODEL, Recipe, Recipes, SourceSettings
from serving.sources import VIEW, Known, Source, anchored, source_of, write_scores
from serving.variations import NO_LIMITS, Caps, Explored, gumbel

FEW_ITEMS: Final = 2_000
"""Of so few a ranker looks at all where boosters or chance may lift any, or where its candidates are not enough."""
SPARE_CANDIDATES: Final = 50
"""Asked for beyond those needed, since filters remove some."""
WIDENED: Final = 8
"""How many times as many are looked at where what was looked at is not enough."""
PLANS_KEPT: Final = 32
"""Beyond so many, only those of recipes in force: a limit by brand or category takes some 2 MB for 100,000 items."""
NO_ROWS: Final = np.zeros(0, np.int64)
UNSCORED: Final = "catalog"
SHUFFLE: Final = "shuffle"
GRID: Final = 2.0**-40


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """An ordered list of items, no item twice, each passing every filter.

    Attributes:
        items: Item indices, best first; at most ``query.n``.
        scores: float64, one for each item: the sum of its contributions; comparable between items of one scorer.
        scorers: What each item was placed by: a ranker, the source that gives it most, or ``catalog``.
        removed: Of ``query.only``, the items that a filter or a cap removed, with its reason.
        shortfall_reason: Why there are fewer than ``query.n``; None where there are not.
        explored: The place that was left to chance, if there was one.
        placed: The groups of items that were scored together.
    """

    items: IntArray
    scores: Doubles
    scorers: tuple[str, ...]
    removed: dict[int, str]
    shortfall_reason: str | None
    explored: Explored | None
    placed: tuple[Placed, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Tier:
    """What is asked together: sources whose scores are added up, or a ranker with sources that propose to it.

    Attributes:
        sources: Each with its settings.
        ranker: What scores the items in place of the sources.
        names: The first parts of a score: the ranker's, or one for each source.
        weights: float64; what the best item of each source gets; none where a ranker scores the items.
    """

    sources: tuple[tuple[Source, SourceSettings], ...]
    ranker: Scorer | None
    names: tuple[str, ...]
    weights: Doubles

    @classmethod
    def of(cls, sources: tuple[tuple[Source, SourceSettings], ...], ranker: Scorer | None = None) -> Tier:
        """Return the tier of ``sources``, scored by ``ranker`` if there is one."""
        if ranker is not None:
            return cls(sources, ranker, (ranker.name,), np.zeros(0))
        names = tuple(settings.label for _, settings in sources)
        return cls(sources, None, names, np.array([settings.weight for _, settings in sources], np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Items that one tier put into a ranking.

    Attributes:
        tier: The tier; None where nothing scored the items.
        items: In the order of the ranking.
        scores: The sum of the parts, added up in order.
        parts: float64, shape (items, parts); first the ranker's or the sources', then the boosters' and the shuffle's.
        names: Of the parts.
        scorers: What each item was placed by.
    """

    tier: Tier | None
    items: IntArray
    scores: Doubles
    parts: Doubles
    names: tuple[str, ...]
    scorers: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A recipe as a bundle can answer it."""

    recipe: Recipe
    tiers: tuple[Tier, ...]
    boosters: tuple[Booster, ...]
    booster_names: tuple[str, ...]
    caps: Caps | None

    @property
    def lifts(self) -> bool:
        """Whether an item may come first that its ranker puts far behind."""
        return bool(self.boosters or self.recipe.shuffle or self.recipe.explore)


@dataclass(slots=True, eq=False)
class Asked:
    """A query on its way to a ranking.

    Attributes:
        history: Of items of the bundle, for scorers know no others; with the items on the page viewed now.
        rng: For the places left to chance; None where the recipe leaves none or the query has no seed.
        pinned: The items that come first.
        buried: The items that come last.
        taken: The items that are in the list already, in order.
    """

    query: Query
    plan: Plan
    history: History
    rules: Rules
    rng: Generator | None
    pinned: IntArray
    buried: IntArray
    taken: IntArray = field(default_factory=lambda: NO_ITEMS)
    _known: dict[tuple[str, float | None], Known] = field(default_factory=dict)

    @property
    def shuffled(self) -> bool:
        """Whether chance is a part of the scores."""
        return self.rng is not None and self.plan.recipe.shuffle > 0

    def known(self, settings: SourceSettings, catalog: LiveCatalog) -> Known:
        """Return what a source is told; sources of the same anchor are told the same."""
        key = settings.anchor, settings.lookback_days
        if key not in self._known:
            self._known[key] = Known(anchored(self.query, self.history, settings), self.query.now, catalog)
        return self._known[key]


class Pipeline:
    """Ranks the items of one bundle by the recipes; used by one thread at a time."""

    def __init__(self, bundle: Bundle, recipes: Recipes, catalog: LiveCatalog | None = None) -> None:
        """Prepare the recipes for the bundle.

        ``catalog`` is the catalog as it is now; that of the bundle's snapshot where None.

        Raises:
            InvalidInput: an expression of a recipe does not fit the catalog.
        """
        self.bundle = bundle
        self.recipes = recipes
        self.catalog = LiveCatalog(bundle) if catalog is None else catalog
        self._expressions = Expressions(self.catalog)
        self._plans: dict[str, Plan] = {}
        self._pool = Pool(len(bundle.items))
        for recipe in recipes.recipes.values():
            self.prepare(recipe)

    def prepare(self, recipe: Recipe) -> Plan:
        """Return ``recipe`` as the bundle can answer it, and keep it for the requests that name it.

        Raises:
            InvalidInput: one of its expressions does not fit the catalog.
        """
        known = self._plans.get(recipe.version)
        if known is not None:
            return known
        if recipe.filter is not None:
            self._expressions.prepare(recipe.filter)
        boosters = [
            (one.name, booster_of(one, self.bundle, self._expressions, self.catalog.find)) for one in recipe.boosters
        ]
        dimensions = {name: n for name, n in recipe.at_most.items() if name in self.bundle.manifest.dimensions}
        plan = Plan(
            recipe,
            self._tiers(recipe),
            tuple(booster for _, booster in boosters if booster is not None),
            tuple(name for name, booster in boosters if booster is not None),
            Caps(self.catalog, dimensions) if dimensions else None,
        )
        if len(self._plans) >= PLANS_KEPT:
            in_force = {one.version for one in self.recipes.recipes.values()}
            self._plans = {version: plan for version, plan in self._plans.items() if version in in_force}
        self._plans[recipe.version] = plan
        return plan

    def rank(self, query: Query) -> Ranking:
        """Return the ranking that ``query`` asks for.

        Raises:
            NotFound: the recipe is unknown, or the bundle has nothing to answer it with.
            InvalidInput: the filter is not a condition on the catalog.
        """
        asked = self._asked(query)
        plan, recipe = asked.plan, asked.plan.recipe
        placed: list[Placed] = []
        for first, tier in enumerate(plan.tiers):
            self._take(asked, placed, self._placed_by(asked, tier, asked.pinned if not first else NO_ITEMS))
            if len(asked.taken) == query.n:
                break
        explored = self._explore(asked, placed)
        if len(asked.taken) < query.n and (recipe.fill or query.only is not None):
            self._take(asked, placed, self._filling(asked))
            self._take(asked, placed, self._unscored(asked, _those(asked.buried, query.only)))
        if not placed:
            placed.append(_without_scores(NO_ITEMS))
        items = asked.taken
        return Ranking(
            items,
            placed[0].scores if len(placed) == 1 else np.concatenate([one.scores for one in placed]),
            placed[0].scorers if len(placed) == 1 else tuple(name for one in placed for name in one.scorers),
            {} if query.only is None else self._removed(asked),
            None if len(items) == query.n else self._shortfall(asked),
            explored,
            tuple(placed),
        )

    def reasons(self, query: Query, ranking: Ranking) -> list[Reason]:
        """Return why each item is in ``ranking``, the answer to ``query``."""
        asked = self._asked(query)
        found: list[Reason] = []
        for placed in ranking.placed:
            unscored = Reason(UNSCORED, "In the catalog; nobody has chosen it so far.")
            if placed.tier is None:
                found += [unscored] * len(placed.items)
            elif placed.tier.ranker is not None:
                reasons = placed.tier.ranker.reasons(asked.history, placed.items, query.now)
                found += [reason or unscored for reason in reasons]
            else:
                known = [asked.known(settings, self.catalog) for _, settings in placed.tier.sources]
                for item, parts in zip(placed.items.tolist(), placed.parts, strict=True):
                    order = np.argsort(-parts[: len(known)], kind="stable").tolist()
                    theirs = (placed.tier.sources[at][0].reason(known[at], item) for at in order if parts[at] > 0)
                    found.append(next((reason for reason in theirs if reason is not None), unscored))
        return found

    def contributions(self, query: Query, ranking: Ranking) -> list[dict[str, float]]:
        """Return the named parts of each score in ``ranking``, the answer to ``query``.

        Added up in the order in which they come they are the score, to the last bit.
        """
        found: list[dict[str, float]] = []
        history = self._history(query)
        for placed in ranking.placed:
            rows = [dict(zip(placed.names, row, strict=True)) for row in placed.parts.tolist()]
            if placed.tier is not None and placed.tier.ranker is not None and len(placed.items):
                parts = placed.tier.ranker.contributions(history, placed.items, query.now)
                split = zip(*(part.tolist() for part in parts.values()), strict=True)
                rows = [_split(tuple(parts), values, row) for values, row in zip(split, rows, strict=True)]
            found += [{name: value for name, value in row.items() if value != 0} for row in rows]
        return found

    def why_not(self, query: Query, ranking: Ranking, items: IntArray) -> list[str]:
        """Return of each of ``items`` why it is not in ``ranking``, the answer to ``query``."""
        asked = self._asked(query)
        asked.taken = ranking.items
        of_filters = {int(item): reason for reason, refused in asked.rules.removed(items) for item in refused}
        tier = asked.plan.tiers[0]
        pool = self._scored(asked, tier, NO_ITEMS, SPARE_CANDIDATES + query.n)
        base, total = pool.base, pool.total
        passing = np.flatnonzero((base > 0) & asked.rules.keeps(pool.items))
        answers = []
        for item, row in zip(items.tolist(), pool.rows(items).tolist(), strict=True):
            if item in ranking.items:
                place = int(np.flatnonzero(ranking.items == item)[0]) + 1
                answers.append(f"It is in the list, at place {place}.")
            elif item in of_filters:
                answers.append(f"It is {of_filters[item]}.")
            elif item in asked.buried:
                answers.append("The recipe buries it.")
            elif row < 0 or base[row] <= 0:
                answers.append(f"None of {', '.join(tier.names)} proposes it for this history.")
            elif asked.plan.caps and (reason := asked.plan.caps.reason(ranking.items, item)):
                answers.append(f"It is {reason}.")
            else:
                ahead = int(np.count_nonzero(total[passing] > total[row]))
                answers.append(
                    f"It scores {total[row]:.6g}: {ahead} of the {len(passing)} candidates that pass the filters"
                    " score higher."
                )
        return answers

    def available(self) -> list[str]:
        """Return the names of the recipes that the bundle can answer."""
        return [name for name, recipe in self.recipes.recipes.items() if self.prepare(recipe).tiers]

    @property
    def n_items(self) -> int:
        """How many items there are, those included that may not be shown."""
        return len(self.catalog)

    def _tiers(self, recipe: Recipe) -> tuple[Tier, ...]:
        sources = self._sources(recipe.sources)
        tiers = []
        if recipe.ranker is not None:
            name = self.bundle.manifest.model if recipe.ranker == MODEL else recipe.ranker
            if name in self.bundle.scorers:
                tiers.append(Tier.of(sources, self.bundle.scorers[name]))
        elif sources:
            tiers.append(Tier.of(sources))
        return (*tiers, *(Tier.of((one,)) for one in self._sources(recipe.fallbacks)))

    def _sources(self, settings: Sequence[SourceSettings]) -> tuple[tuple[Source, SourceSettings], ...]:
        found = ((source_of(one, self.bundle, self.catalog.find), one) for one in settings)
        return tuple((source, one) for source, one in found if source is not None)

    def _asked(self, query: Query) -> Asked:
        recipe = self.recipes[query.recipe]
        plan = self.prepare(recipe)
        if not plan.tiers:
            needed = [recipe.ranker] if recipe.ranker else [one.source for one in (*recipe.sources, *recipe.fallbacks)]
            raise NotFound(
                f"The recipe {query.recipe!r} needs {' or '.join(needed)}, which the bundle now served does not have. "
                f"Recipes it can answer: {', '.join(self.available())}."
            )
        rules = Rules(self.catalog, query.now, self._filters(query, recipe))
        chance = query.seed is not None and (recipe.shuffle or recipe.explore)
        return Asked(
            query,
            plan,
            self._history(query),
            rules,
            np.random.default_rng([query.seed or 0, 1]) if chance else None,
            self._indices(recipe.pinned),
            self._indices(recipe.buried),
        )

    def _filters(self, query: Query, recipe: Recipe) -> list[Filter]:
        filters = []
        if len(query.exclude):
            filters.append(listed("excluded by the request", query.exclude))
        if len(query.context):
            filters.append(listed("on the page already", query.context))
        history = query.history
        if recipe.exclude_bought:
            filters.append(done("bought before", history, PURCHASE, -np.inf))
        for verb, event_type, days in (
            ("bought", PURCHASE, recipe.exclude_bought_days),
            ("seen", VIEW, recipe.exclude_seen_days),
        ):
            if days is not None:
                since_s = query.now.timestamp() - days * DAY_S
                filters.append(done(f"{verb} within {days:g} days", history, event_type, since_s))
        if recipe.price_window is not None and (window := priced(self.catalog, query.context, recipe.price_window)):
            filters.append(window)
        for expression in (recipe.filter, query.filter):
            if expression is not None:
                keeps = self._expressions.keeps(expression, query.values)
                filters.append(Filter(f"outside of the filter {expression}", keeps))
        return filters

    def _placed_by(self, asked: Asked, tier: Tier, pinned: IntArray) -> Placed | None:
        """Return what ``tier`` adds to the list."""
        n = asked.query.n - len(asked.taken)
        wanted, before = n + SPARE_CANDIDATES + (len(asked.history) if tier.ranker else 0), -1
        while True:
            pool = self._scored(asked, tier, pinned, wanted)
            rows = self._best(asked, pool, pinned)
            if len(rows) == n or len(pool.items) in (before, self.n_items) or asked.query.only is not None:
                break
            wanted, before = self.n_items if self.n_items <= FEW_ITEMS else wanted * WIDENED, len(pool.items)
        if not len(rows):
            return None
        items, scores, parts, strongest = pool.at(rows, len(tier.names))
        scorers = tuple([tier.names[at] for at in strongest.tolist()])
        names = tier.names + asked.plan.booster_names + ((SHUFFLE,) if asked.shuffled else ())
        return Placed(tier, items, scores, parts, names, scorers)

    def _scored(self, asked: Asked, tier: Tier, pinned: IntArray, wanted: int) -> Pool:
        """Return the items in the running for ``tier``, what its sources or its ranker give each, and its score."""
        query, plan = asked.query, asked.plan
        n_base = len(tier.names)
        n_parts = n_base + len(plan.boosters) + asked.shuffled
        pool = self._pool.cleared(n_parts, None if query.only is None else _distinct(query.only))
        if tier.ranker is not None:
            self._rank_by(asked, tier, pinned, wanted, pool)
        else:
            times = max(1, wanted // (query.n + SPARE_CANDIDATES))
            told = [asked.known(settings, self.catalog) for _, settings in tier.sources]
            for (source, settings), known in zip(tier.sources, told, strict=True):
                source.propose(known, pool, settings.candidates * times)
            if len(pinned):
                pool.add(pinned)
            for part, ((source, _), known) in enumerate(zip(tier.sources, told, strict=True)):
                source.score(known, pool, part)
        items = pool.items
        for part, booster in enumerate(plan.boosters, n_base):
            pool.part(part)[:] = booster(items, asked.history, query.values, query.now)
        if asked.shuffled:
            pool.part(n_parts - 1)[:] = gumbel(plan.recipe.shuffle, len(items), np.random.default_rng(query.seed))
        pool.sum_up(n_base, tier.weights)
        return pool

    def _rank_by(self, asked: Asked, tier: Tier, pinned: IntArray, wanted: int, pool: Pool) -> None:
        """Put what passes the filters of what the sources, or the ranker, propose into the running, scored by it."""
        query, ranker = asked.query, tier.ranker
        assert ranker is not None
        n_known = len(self.bundle.items)
        if query.only is None:
            if tier.sources:
                for source, settings in tier.sources:
                    times = max(1, wanted // (query.n + SPARE_CANDIDATES + len(asked.history)))
                    known = asked.known(settings, self.catalog)
                    source.propose(known, pool, settings.candidates * times)
                proposed = pool.items.copy()
                pool.cleared(pool.n_parts, None)
            elif wanted >= n_known or (n_known <= FEW_ITEMS and asked.plan.lifts):
                proposed = np.arange(n_known, dtype=np.int32)
            else:
                proposed = ranker.proposed(asked.history, wanted, query.now)
            # Before they are scored, for the trees of a ranker take longer than any filter.
            pool.add(asked.rules.kept(np.concatenate([pinned, proposed]) if len(pinned) else proposed))
        write_scores(self.catalog, pool, 0, lambda items: ranker.scores(asked.history, items, query.now))

    def _best(self, asked: Asked, pool: Pool, pinned: IntArray) -> NDArray[np.int64]:
        """Return the rows of ``pool`` that join the list: the pinned ones, then the best that pass everything."""
        n, items, caps = asked.query.n - len(asked.taken), pool.items, asked.plan.caps
        first, taken, buried = (_there(pool, some) for some in (pinned, asked.taken, asked.buried))
        rows: NDArray[np.int64] = admitted(
            *(items, pool.base, pool.total, first, np.concatenate([taken, buried]) if len(buried) else taken),
            *asked.rules.asked(items),
            *(NO_LIMITS if caps is None else caps.limits()),
            *(asked.taken, n),
        )
        return rows

    def _take(self, asked: Asked, placed: list[Placed], more: Placed | None) -> None:
        if more is not None and len(more.items):
            placed.append(more)
            asked.taken = np.concatenate([asked.taken, more.items]) if len(asked.taken) else more.items

    def _explore(self, asked: Asked, placed: list[Placed]) -> Explored | None:
        """Leave a place to chance as the recipe says, and put the item that chance chooses there."""
        explore, rng = asked.plan.recipe.explore, asked.rng
        if explore is None or rng is None or not placed:
            return None
        place, first = explore.place - 1, placed[0]
        if first.tier is None or place >= len(first.items):
            return None
        others = self._candidates(asked, first.tier)
        if not len(others):
            return None
        if rng.random() >= explore.probability:
            return Explored(place, False, 1 - explore.probability)
        drawn = int(rng.integers(len(others)))
        item, score, parts, _ = self._pool.at(others[drawn : drawn + 1], 0)
        inserted = _inserted(first, place, item, score, parts)
        asked.taken = np.concatenate([asked.taken[:place], item, asked.taken[place:]])
        placed[0] = inserted
        if len(asked.taken) > asked.query.n:
            asked.taken = asked.taken[:-1]
            placed[-1] = _without_last(placed[-1])
        return Explored(place, True, explore.probability / len(others))

    def _candidates(self, asked: Asked, tier: Tier) -> NDArray[np.int64]:
        """Return the rows of the pool that could be in the list and are not."""
        pool = self._scored(asked, tier, NO_ITEMS, asked.query.n + SPARE_CANDIDATES)
        items = pool.items
        rows = np.flatnonzero((pool.base > 0) & asked.rules.keeps(items) & listed("", asked.taken).keeps(items))
        rows = rows[listed("", asked.buried).keeps(items[rows])]
        if asked.plan.caps is not None:
            caps = asked.plan.caps
            rows = np.array(
                [row for row in rows.tolist() if caps.reason(asked.taken, int(items[row])) is None], np.int64
            )
        return rows

    def _filling(self, asked: Asked) -> Placed | None:
        """Return any items that end the list: of the items to rank in their order, else the latest published first."""
        query = asked.query
        every = self.catalog.latest if query.only is None else _distinct(query.only)
        outside = np.concatenate([asked.taken, asked.buried])
        looked_at = 4 * query.n + len(outside)
        while True:
            found = self._unscored(asked, every[:looked_at], outside)
            if len(asked.taken) + len(found.items) >= query.n or looked_at >= len(every):
                return found
            looked_at *= WIDENED

    def _unscored(self, asked: Asked, items: IntArray, outside: IntArray | None = None) -> Placed:
        """Return those of ``items`` that pass everything and still fit into the list, without a score."""
        n = asked.query.n - len(asked.taken)
        if n == 0 or not len(items):
            return _without_scores(NO_ITEMS)
        items = items[listed("", asked.taken if outside is None else outside).keeps(items)]
        items = asked.rules.kept(items)
        if asked.plan.caps is not None:
            items = items[asked.plan.caps.within(asked.taken, items, n)]
        return _without_scores(items[:n])

    def _removed(self, asked: Asked) -> dict[int, str]:
        assert asked.query.only is not None
        every = _distinct(asked.query.only)
        found = {int(item): reason for reason, refused in asked.rules.removed(every) for item in refused}
        if asked.plan.caps is not None:
            for item in every.tolist():
                if item not in found and item not in asked.taken:
                    found[item] = asked.plan.caps.reason(asked.taken, item) or "beyond the end of the list"
        return found

    def _shortfall(self, asked: Asked) -> str:
        query, n = asked.query, len(asked.taken)
        every = np.arange(self.n_items, dtype=np.int32) if query.only is None else query.only
        removals = [f"{len(items)} {reason}" for reason, items in asked.rules.removed(every) if len(items)]
        left = asked.rules.kept(every)
        why = f"{len(left)} of {len(every)} items pass the filters"
        if removals:
            why += f" (removed: {', '.join(removals)})"
        caps, limits = asked.plan.caps, asked.plan.recipe.at_most
        rest = left[listed("", asked.taken).keeps(left)]
        if caps is not None:
            beyond = [item for item in rest.tolist() if caps.reason(asked.taken, item) is not None]
            if beyond:
                most = ", ".join(f"{limit} of one {dimension}" for dimension, limit in limits.items())
                why += f"; {len(beyond)} would be more than {most}"
            rest = rest[: len(rest) - len(beyond)]
        if len(rest):
            names = ", ".join(", ".join(tier.names) for tier in asked.plan.tiers)
            why += f", and of the others none scores above 0 for this history ({names})"
        return f"{n} of {query.n} items: {why}."

    def _history(self, query: Query) -> History:
        """Return what the scorers are told: what happened to items of the bundle, those on the page viewed now."""
        history, n_known = query.history_with_context(), self.catalog.bundle_size
        if len(self.catalog) == n_known:
            return history
        return history[history.item < n_known]

    def _indices(self, item_ids: Sequence[str]) -> IntArray:
        if not item_ids:
            return NO_ITEMS
        return np.array([i for i in map(self.catalog.find, item_ids) if i is not None], np.int32)


def _distinct(items: IntArray) -> IntArray:
    """Return ``items``, each once, in the order in which they first come."""
    _, first = np.unique(items, return_index=True)
    return items[np.sort(first)]


def _there(pool: Pool, items: IntArray) -> NDArray[np.int64]:
    """Return the rows of those of ``items`` that are in the running."""
    if not len(items):
        return NO_ROWS
    rows = pool.rows(items)
    return rows[rows >= 0]


def _those(items: IntArray, only: IntArray | None) -> IntArray:
    return items if only is None else items[np.isin(items, only)]


def _split(names: tuple[str, ...], values: tuple[float, ...], row: dict[str, float]) -> dict[str, float]:
    """Return ``row`` with its first part, a ranker's score, split into the ranker's parts.

    The parts come in single precision, and are rounded to a grid on which sums are exact; what they lack of the score
    goes to the last of them.
    """
    score, rest = next(iter(row.values())), list(row.items())[1:]
    parts = {name: round(value / GRID) * GRID for name, value in zip(names, values, strict=True)}
    parts[names[-1]] = score - sum(parts[name] for name in names[:-1])
    return parts | dict(rest)


def _without_scores(items: IntArray) -> Placed:
    n = len(items)
    return Placed(None, items, np.zeros(n), np.zeros((n, 0)), (), (UNSCORED,) * n)


def _inserted(placed: Placed, place: int, item: IntArray, score: Doubles, parts: Doubles) -> Placed:
    return Placed(
        placed.tier,
        np.insert(placed.items, place, item),
        np.insert(placed.scores, place, score),
        np.insert(placed.parts, place, parts, axis=0),
        placed.names,
        (*placed.scorers[:place], "exploration", *placed.scorers[place:]),
    )


def _without_last(placed: Placed) -> Placed:
    return Placed(
        placed.tier, placed.items[:-1], placed.scores[:-1], placed.parts[:-1], placed.names, placed.scorers[:-1]
    )
