"""What proposes items for a ranking, and says what speaks for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest
from typing import Any, Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from features.events import PURCHASE, STANDARD_EVENT_TYPES
from features.interactions import DAY_S, History, IntArray
from models.affinity import Affinity, Taste
from models.bundle import Bundle
from models.neighbours import Neighbours
from models.newcomers import Newcomers
from models.popularity import Popularity
from models.scorer import Reason, Scorer
from serving.item_values import ItemValues
from serving.later_items import LaterItems
from serving.live_catalog import LiveCatalog
from serving.pool import Doubles, Pool, Ties
from serving.query import Query
from serving.recipes import MODEL, SourceSettings

VIEW: Final = STANDARD_EVENT_TYPES.index("view")
CART: Final = tuple(STANDARD_EVENT_TYPES.index(name) for name in ("add_to_cart", "remove_from_cart", "purchase"))
RECENT_VIEWS: Final = 10
NEW_HALF_LIFE_DAYS: Final = 7.0
"""Age at which a new item counts half."""
LIKED_VALUES: Final = 12
"""Of how many values, the most liked ones, affinity proposes items."""

SCORERS_OF: Final[dict[str, tuple[str, ...]]] = {
    "collaborative": ("item-to-item", "linear", "walks", "als"),
    "together": ("successors", "item-to-item"),
    "similar": ("values", "titles"),
    "affinity": ("affinity",),
    "trending": ("popularity",),
    "buy_again": ("buy-again", "own-frequency"),
}
"""The scorers that a source may be made of; the first that the bundle has is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What a source is told: the part of the history that it starts from, and when.

    Attributes:
        history: The anchor's interactions, oldest first; all of items of the bundle.
        now: The moment of the request, aware UTC.
        catalog: The catalog at this moment.
    """

    history: History
    now: datetime
    catalog: LiveCatalog


class Source(Protocol):
    """Proposes items and gives each a score, 0 for nothing known; deterministic.

    For each ranking ``propose`` is called first and ``score`` after it, of the same source by one thread.
    """

    def propose(self, known: Known, pool: Pool, n: int) -> None:
        """Put about ``n`` items into the running."""

    def score(self, known: Known, pool: Pool, part: int) -> None:
        """Write the scores of everything in the running to the part ``part`` of the pool."""

    def reason(self, known: Known, item: int) -> Reason | None:
        """Return why ``item`` scores above 0, or None where it does not."""


class FromNeighbours:
    """The neighbours of the anchor's items, those with the strongest ties."""

    def __init__(self, scorer: Neighbours) -> None:
        self.scorer = scorer
        self._ties = Ties()

    def propose(self, known: Known, pool: Pool, n: int) -> None:
        """Put the ``n`` items with the strongest ties into the running; remember the ties of all until ``score``."""
        table = self.scorer
        pool.tie(self._ties, n, *table.anchors(known.history, known.now), table.indptr, table.indices, table.strength)

    def score(self, known: Known, pool: Pool, part: int) -> None:
        """Write the sum of the ties of each item; what is no neighbour has none."""
        pool.take(part, self._ties)

    def reason(self, known: Known, item: int) -> Reason | None:
        """Return the scorer's reason."""
        return self.scorer.reason(known.history, item, known.now)


class FromNewcomers(FromNeighbours):
    """What nobody chose yet and resembles the anchor's items, whether the bundle knows it or it came after that."""

    def __init__(self, scorer: Newcomers, bundle: Bundle) -> None:
        super().__init__(scorer)
        self._newcomers = scorer
        self._later = LaterItems(bundle, scorer.config)
        self._likeness: dict[int, float] = {}

    def propose(self, known: Known, pool: Pool, n: int) -> None:
        """Put the ``n`` best that the bundle knows, and of those that came later, into the running."""
        super().propose(known, pool, n)
        self._later.refresh(known.catalog)
        anchors, weights = self._newcomers.anchors(known.history, known.now)
        self._likeness = self._later.scores(anchors, weights.tolist(), known.catalog)
        pool.add(np.array(nlargest(n, self._likeness, key=self._likeness.__getitem__), np.int32))

    def score(self, known: Known, pool: Pool, part: int) -> None:
        """Write the sum of the ties of each item, and the likeness of what came later."""
        super().score(known, pool, part)
        rows = pool.rows(np.array(list(self._likeness), np.int32))
        pool.part(part)[rows[rows >= 0]] = np.array(list(self._likeness.values()))[rows >= 0]

    def reason(self, known: Known, item: int) -> Reason | None:
        """Return the one or two items of the history that ``item`` resembles most."""
        if item < known.catalog.bundle_size:
            return super().reason(known, item)
        anchors = dict.fromkeys(self._newcomers.anchors(known.history, known.now)[0].tolist())
        likeness = {one: self._later.like(one, known.catalog).get(item, 0.0) for one in anchors}
        because = tuple(nlargest(2, (one for one in anchors if likeness[one] > 0), key=likeness.__getitem__))
        texts = self._newcomers.reason_texts
        return Reason(self._newcomers.reason_kind, texts[len(because) - 1], because) if because else None


@dataclass(frozen=True)
class FromScorer:
    """What a scorer proposes."""

    scorer: Scorer

    def propose(self, known: Known, pool: Pool, n: int) -> None:
        """Put the scorer's proposals into the running."""
        pool.add(self.scorer.proposed(known.history, n, known.now))

    def score(self, known: Known, pool: Pool, part: int) -> None:
        """Write the scorer's scores."""
        write_scores(known.catalog, pool, part, lambda items: self.scorer.scores(known.history, items, known.now))

    def reason(self, known: Known, item: int) -> Reason | None:
        """Return the scorer's reason."""
        return self.scorer.reason(known.history, item, known.now)


class FromAffinity:
    """The most popular items of the values that the visitor likes most."""

    def __init__(self, scorer: Affinity) -> None:
        self.scorer = scorer
        dimensions = tuple(scorer.dimensions.tolist())
        self._values = ItemValues(scorer.indptr, scorer.values, scorer.first_value, dimensions, scorer.strength)
        self._taste: Taste | None = None

    def propose(self, known: Known, pool: Pool, n: int) -> None:
        """Put the most popular items of the most liked values into the running; remember the taste until ``score``."""
        self._taste = self.scorer.taste(known.history, known.now)
        liked = self.scorer.liked(self._taste, LIKED_VALUES)
        if len(liked):
            pool.add(self._values.top(liked, -(-n // len(liked))))

    def score(self, known: Known, pool: Pool, part: int) -> None:
        """Write popularity times the odds of the taste."""
        taste = self._taste
        assert taste is not None
        write_scores(known.catalog, pool, part, lambda items: self.scorer.odds(taste, items))

    def reason(self, known: Known, item: int) -> Reason | None:
        """Return the value that speaks most for the item."""
        return self.scorer.reason(known.history, item, known.now) if item < len(self.scorer.strength) else None


@dataclass(frozen=True)
class PopularIn:
    """What is popular among the items that share a value of one dimension with the anchor's."""

    popularity: Popularity
    values: ItemValues
    dimension: str

    def propose(self, known: Known, pool: Pool, n: int) -> None:
        """Put the most popular items of each value into the running."""
        pool.add(self.values.top(self._asked(known), n))

    def score(self, known: Known, pool: Pool, part: int) -> None:
        """Write the popularity of the items that have one of the values."""
        has = self.values.have_any(pool.items, self._asked(known))
        write_scores(known.catalog, pool, part, lambda items: np.maximum(self.popularity.strength[items], 0))
        pool.part(part)[:] *= has

    def reason(self, known: Known, item: int) -> Reason | None:
        """Return the value that the item shares."""
        mine = self.values.of_item(item)
        shared = mine[np.isin(mine, self._asked(known))]
        if not len(shared):
            return None
        name = self.values.name(int(shared[0])).replace("{", "{{").replace("}", "}}")
        return Reason("popular_in", f"Popular in {name} ({self.dimension}).")

    def _asked(self, known: Known) -> IntArray:
        return self.values.of_items(np.unique(known.history.item))


@dataclass(frozen=True)
class New:
    """What was published last."""

    lookback_days: float | None

    def propose(self, known: Known, pool: Pool, n: int) -> None:
        """Put the latest published items into the running."""
        latest, published_s = known.catalog.latest, known.catalog.published_s
        # What is announced for later stands first, and must not take the places of what is new.
        since_s = -published_s[latest[: 4 * n]].astype(np.float64)
        first = int(np.searchsorted(since_s, -known.now.timestamp(), "left"))
        pool.add(latest[first : first + n])

    def score(self, known: Known, pool: Pool, part: int) -> None:
        """Write 1 for what was published now, halved every ``NEW_HALF_LIFE_DAYS``; 0 without a date."""
        age_days = self._age_days(known, pool.items)
        new = (age_days >= 0) & (age_days <= (self.lookback_days or np.inf)) & (age_days < 36_500)
        pool.part(part)[:] = np.where(new, 0.5 ** (np.clip(age_days, 0, 3_650) / NEW_HALF_LIFE_DAYS), 0)

    def reason(self, known: Known, item: int) -> Reason | None:
        """Return how long ago it was published."""
        age_days = int(self._age_days(known, np.array([item]))[0])
        return Reason("new", f"New since {age_days} days." if age_days else "New since today.")

    def _age_days(self, known: Known, items: NDArray[Any]) -> Doubles:
        return (known.now.timestamp() - known.catalog.published_s[items].astype(np.float64)) / DAY_S


@dataclass(frozen=True)
class RecentlyViewed:
    """What the visitor viewed last."""

    def propose(self, known: Known, pool: Pool, n: int) -> None:
        """Put the items viewed last into the running."""
        pool.add(self._viewed(known)[:n])

    def score(self, known: Known, pool: Pool, part: int) -> None:
        """Write 1 for the item viewed last, 1/2 for the one before it, 1/3 ..."""
        _write_by_place(pool, part, self._viewed(known))

    def reason(self, known: Known, item: int) -> Reason | None:
        """Return that it was viewed."""
        return Reason("recently_viewed", "Viewed lately.", (item,)) if item in self._viewed(known) else None

    def _viewed(self, known: Known) -> IntArray:
        return _last(known.history.item[known.history.event_type == VIEW], len(known.history))


@dataclass(frozen=True)
class Related:
    """What somebody wrote down as going with the anchor's items."""

    relations: Mapping[int, IntArray]

    def propose(self, known: Known, pool: Pool, n: int) -> None:
        """Put the relations of the anchor's items into the running."""
        pool.add(self._related(known))

    def score(self, known: Known, pool: Pool, part: int) -> None:
        """Write 1 for the first relation, 1/2 for the second ..."""
        _write_by_place(pool, part, self._related(known))

    def reason(self, known: Known, item: int) -> Reason | None:
        """Return the item that it belongs to."""
        anchors = _last(known.history.item, len(known.history)).tolist()
        because = [one for one in anchors if item in self.relations.get(one, ())][:1]
        return Reason("related", "Belongs to {0}.", tuple(because)) if because else None

    def _related(self, known: Known) -> IntArray:
        found = [
            self.relations[one]
            for one in _last(known.history.item, len(known.history)).tolist()
            if one in self.relations
        ]
        return np.array(list(dict.fromkeys(np.concatenate(found).tolist())) if found else [], np.int32)


def source_of(settings: SourceSettings, bundle: Bundle, index_of: Callable[[str], int | None]) -> Source | None:
    """Return the source that ``settings`` describe, or None where the bundle has nothing to make it of.

    ``index_of`` gives the index of an item by its id, None where it is unknown.
    """
    match settings.source:
        case "new":
            return New(settings.lookback_days)
        case "recently_viewed":
            return RecentlyViewed()
        case "related":
            indices = {
                index_of(one): [index_of(other) for other in others] for one, others in settings.relations.items()
            }
            return Related(
                {
                    one: np.array([other for other in others if other is not None], np.int32)
                    for one, others in indices.items()
                    if one is not None
                }
            )
        case "popular_in" if "popularity" in bundle.scorers and settings.dimension in bundle.manifest.dimensions:
            popularity = cast("Popularity", bundle.scorers["popularity"])
            values = ItemValues.of(bundle.catalog, (settings.dimension,), popularity.strength)
            return PopularIn(popularity, values, settings.dimension)
    name = bundle.manifest.model if settings.source == MODEL else settings.source
    scorer = next((bundle.scorers[one] for one in SCORERS_OF.get(name, (name,)) if one in bundle.scorers), None)
    if scorer is None:
        return None
    if isinstance(scorer, Affinity):
        return FromAffinity(scorer)
    if isinstance(scorer, Newcomers):
        return FromNewcomers(scorer, bundle)
    if isinstance(scorer, Neighbours):
        return FromNeighbours(scorer)
    return FromScorer(scorer)


def write_scores(
    catalog: LiveCatalog, pool: Pool, part: int, scores: Callable[[IntArray], NDArray[np.float32]]
) -> None:
    """Write the ``scores`` of the items in the running that the bundle knows; those that came later keep 0."""
    items, written, n_known = pool.items, pool.part(part), catalog.bundle_size
    if len(catalog) == n_known:
        if len(items):
            written[:] = scores(items)
    else:
        old = items < n_known
        written[old] = scores(items[old])


def anchored(query: Query, history: History, settings: SourceSettings) -> History:
    """Return the part of ``history``, which includes the items on the page, that a source starts from."""
    match settings.anchor:
        case "page":
            history = history[int(np.searchsorted(history.timestamp_s, int(query.now.timestamp()))) :]
            history = history[np.isin(history.item, query.context)]
        case "cart":
            history = history[in_cart(history)]
        case "last_purchase":
            bought = np.flatnonzero((history.event_type == PURCHASE) & (history.quantity > 0))
            if len(bought):
                last = bought[-1]
                of_basket = (history.timestamp_s[bought] == history.timestamp_s[last]) | (
                    (history.session[bought] == history.session[last]) & (history.session[last] >= 0)
                )
                bought = bought[of_basket]
            history = history[bought]
        case "recent_views":
            history = history[(history.event_type == VIEW).nonzero()[0][-RECENT_VIEWS:]]
        case "history":
            pass
    if settings.lookback_days is not None and settings.source != "new":
        start_s = int(query.now.timestamp() - settings.lookback_days * DAY_S)
        history = history[int(np.searchsorted(history.timestamp_s, start_s)) :]
    return history


def in_cart(history: History) -> NDArray[np.int64]:
    """Return the rows that put something into the cart which was neither taken out nor bought after it."""
    last: dict[int, int] = {}
    for row in np.flatnonzero(np.isin(history.event_type, CART)).tolist():
        if history.event_type[row] == CART[0]:
            last[int(history.item[row])] = row
        else:
            last.pop(int(history.item[row]), None)
    return np.array(sorted(last.values()), np.int64)


def _last(items: IntArray, n: int) -> IntArray:
    """Return the last ``n`` distinct ``items``, the last one first."""
    return np.array(list(dict.fromkeys(items[::-1].tolist()))[:n], np.int32)


def _write_by_place(pool: Pool, part: int, items: IntArray) -> None:
    rows = pool.rows(items)
    known = rows >= 0
    pool.part(part)[rows[known]] = 1 / (1 + np.flatnonzero(known))
