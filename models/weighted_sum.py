"""What several scorers say of an item, added up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import ClassVar, Final, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveInt
from scipy.optimize import minimize

from features.compiled import DOUBLE, FLOATS, FLOATS_WRITTEN, INTS, LONG
from features.interactions import History, IntArray
from features.settings import Settings
from models.lookup import PLACES, Lookup, best_rows
from models.own_frequency import OwnFrequency
from models.popularity import Popularity
from models.scorer import Arrays, Features, Reason, Scorer, Scores, best_first, of_latest

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Popularity is asked for as of any moment: it is always that of its snapshot."""
RIDGE: Final = 1e-3
"""How strongly weights are drawn towards 0."""

POOL: Final = 400
"""So many of the best by the other parts are scored by those that must look at items one by one."""

_NO_ITEMS: Final = np.zeros(0, np.int32)
Table = Lookup | OwnFrequency
"""What knows by looking up which items it scores above 0."""

_Total = tuple[Scores, IntArray, IntArray, IntArray]


class WeightedSumSettings(Settings):
    """What each part counts."""

    weights: dict[str, NonNegativeFloat]
    """What the best score that a part gives any item counts."""
    n_items: PositiveInt
    """How many items there are."""
    repeats: bool = True
    """Whether items of the history are proposed."""


@dataclass(frozen=True)
class WeightedSum(Scorer):
    """Scores an item by the weighted sum of the square roots of its shares of the best score of each part.

    The root lets an item that several parts know a little come before one that a single part knows well. Parts that
    look items up, in tables or in the history, say what they know of the whole catalog; the others are asked for the
    ``POOL`` items alone for which these speak most, and give the best of those their whole weight.

    Attributes:
        parts: The scorers that are added up, by name.
    """

    name: ClassVar[str] = "sum"
    feature_names: ClassVar[tuple[str, ...]] = ("score", "share_of_best", "place")

    config: WeightedSumSettings
    parts: Mapping[str, Scorer]

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        """Return the sum for each of ``items``."""
        return self._total(history, now)[0][items]

    def contributions(self, history: History, items: IntArray, now: datetime) -> dict[str, Scores]:
        """Return what each part adds."""
        _, _, pool, _ = self._total(history, now)
        return {
            name: np.float32(weight) * self._spread(pool, shares(self.parts[name], history, pool, now))[items]
            if name in self._singly
            else np.float32(weight) * shares(self.parts[name], history, self._items, now)[items]
            for name, weight in self.config.weights.items()
        }

    def features(self, history: History, items: IntArray, now: datetime) -> Features:
        """Return the score, its share of the best score of any item, and how many items score higher."""
        total, _, _, ranked = self._total(history, now)
        columns: Features = _columns(items, total, ranked, PLACES)
        return columns

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return the ``n`` items of the largest sums."""
        total, changed, _, ranked = self._total(history, now)
        outside = self._outside(history)
        return _without(ranked, outside, len(total))[:n] if n <= PLACES else self._best(total, changed, n, outside)

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return the reason of the part that adds most, of those that have one."""
        added = self.contributions(history, np.array([item], np.int32), now)
        for name in sorted(added, key=lambda name: -added[name][0]):
            if added[name][0] > 0 and (reason := self.parts[name].reason(history, item, now)) is not None:
                return reason
        return None

    def arrays(self) -> Arrays:
        """Return nothing; the weights are the configuration."""
        return {}

    @classmethod
    def from_arrays(cls, config: Settings, arrays: Arrays, parts: Mapping[str, Scorer]) -> Self:
        """Return the scorer that ``config`` and ``parts`` describe."""
        config = WeightedSumSettings.model_validate(config)
        return cls(config, {name: parts[name] for name in config.weights})

    def _total(self, history: History, now: datetime) -> _Total:
        """Return the sum for every item, which are not ``_same``, which are scored singly, and the best in order.

        Of the best there are ``PLACES`` that may be proposed, where so many are above 0.
        """
        return of_latest(self, history, now, lambda: self._added_up(history, now))

    def _added_up(self, history: History, now: datetime) -> _Total:
        total, weights = self._same[0].copy(), self.config.weights
        tied = [_NO_ITEMS]
        for name, part in self._tables.items():
            items, scores = part.tied(history, now)
            _add(total, items, scores, weights[name])
            tied.append(items)
        changed, pool, outside = np.concatenate(tied), _NO_ITEMS, self._outside(history)
        if not self._singly:
            return total, changed, pool, self._best(total, changed, PLACES + len(outside), _NO_ITEMS)
        if len(self._singly) < len(self.parts):
            pool = self._best(total, changed, POOL, outside)
        else:
            pool = _without(self._items, outside, len(total))
        for name, single in self._singly.items():
            total[pool] += np.float32(weights[name]) * shares(single, history, pool, now)
        # More was added to these alone, and they were the best before: no others but those outside come before them.
        foremost = np.unique(np.concatenate([pool, outside]))
        foremost = foremost[total[foremost] > 0]
        ranked = best_first(foremost, total[foremost], PLACES + len(outside))
        return total, np.concatenate([changed, pool]), pool, ranked

    def _outside(self, history: History) -> IntArray:
        """Return what is not proposed."""
        return _NO_ITEMS if self.config.repeats else np.ascontiguousarray(history.item)

    @cached_property
    def _tables(self) -> dict[str, Table]:
        return {name: part for name, part in self.parts.items() if isinstance(part, Table)}

    @cached_property
    def _singly(self) -> dict[str, Scorer]:
        """The parts that look at items one by one."""
        return {name: part for name, part in self.parts.items() if is_single(part)}

    def _spread(self, items: IntArray, scores: Scores) -> Scores:
        every = np.zeros(self.config.n_items, np.float32)
        every[items] = scores
        return every

    def _best(self, total: Scores, changed: IntArray, n: int, outside: IntArray) -> IntArray:
        """Return the at most ``n`` items of the largest sums, none of them ``outside``.

        ``total`` and ``changed`` are what ``_total`` returns. Of what did not change only the ``n`` best, beside those
        ``outside``, can be among them.
        """
        best: IntArray = _best(total, changed, self._same[1], n, outside)
        return best

    @cached_property
    def _same(self) -> tuple[Scores, IntArray]:
        """What is the same for everybody: that share of the sum of each item, and the items where it is above 0."""
        total = np.zeros(self.config.n_items, np.float32)
        for name, weight in self.config.weights.items():
            part = self.parts[name]
            if isinstance(part, Popularity):
                total += np.float32(weight) * shares(part, History.empty(), self._items, EPOCH)
        return total, best_first(self._items, total, len(total))

    @cached_property
    def _items(self) -> IntArray:
        return np.arange(self.config.n_items, dtype=np.int32)


def is_single(part: Scorer) -> bool:
    """Return whether ``part`` looks at items one by one, so that it is not asked for all of them."""
    return not isinstance(part, Table | Popularity)


def shares(part: Scorer, history: History, items: IntArray, now: datetime) -> Scores:
    """Return the square root of the score of each of ``items`` by the best of them; 0 where it is not above 0."""
    scores = np.maximum(part.scores(history, items, now), 0)
    best = scores.max(initial=0)
    return np.sqrt(scores / best) if best > 0 else scores


@njit((FLOATS_WRITTEN, INTS, FLOATS, DOUBLE), cache=True)
def _add(total, items, scores, weight):  # type: ignore[no-untyped-def]
    """Add to ``total`` what ``shares`` would return for ``items``, times ``weight``."""
    best = np.float32(0)
    for score in scores:
        best = max(best, score)
    for k in range(len(items)):
        total[items[k]] += np.float32(weight) * np.sqrt(scores[k] / best)


@njit((FLOATS, INTS, INTS, LONG, INTS), cache=True)
def _best(total, changed, order, n, outside):  # type: ignore[no-untyped-def]
    """Return the best ``n`` of ``changed`` and of ``order``, where the others stand best first, without ``outside``."""
    seen = np.zeros(len(total), np.bool_)
    for item in outside:
        seen[item] = True
    pool = np.empty(len(changed) + n, np.int32)
    length = 0
    for item in changed:
        if not seen[item]:
            seen[item] = True
            if total[item] > 0:
                pool[length] = item
                length += 1
    end = min(length + n, len(pool))
    for item in order:
        if length == end:
            break
        if not seen[item]:
            pool[length] = item
            length += 1
    pool = pool[:length]
    return pool[best_rows(pool, total[pool], n)]


@njit((INTS, FLOATS, INTS, LONG), cache=True)
def _columns(asked, total, ranked, places):  # type: ignore[no-untyped-def]
    """Return the columns of ``features`` for the items ``asked``."""
    columns = np.zeros((len(asked), 3), np.float32)
    highest_first = -total[ranked[:places]]
    for k in range(len(asked)):
        score = total[asked[k]]
        if score > 0:
            columns[k, 0] = score
            columns[k, 1] = score / total[ranked[0]]
            columns[k, 2] = np.searchsorted(highest_first, -score, side="left")
        else:
            columns[k, 2] = places
    return columns


@njit((INTS, INTS, LONG), cache=True)
def _without(items, outside, n_items):  # type: ignore[no-untyped-def]
    """Return those of ``items`` that are not ``outside``, in their order."""
    listed = np.zeros(n_items, np.bool_)
    for item in outside:
        listed[item] = True
    return items[~listed[items]]


def conditional_logit(
    columns: NDArray[np.float32], right: NDArray[np.bool_], list_lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the weights, 0 or more, with which the sums of ``columns`` tell best what was chosen from each list.

    They maximise the sum over lists of ``log(sum of exp(score) of what was chosen / sum of exp(score) of all)`` (the
    conditional logit: McFadden, Conditional Logit Analysis of Qualitative Choice Behavior, 1974).

    Args:
        columns: Shape (rows, columns).
        right: Whether a row was chosen; at least one of each list.
        list_lengths: How many rows, in their order, belong to one list.
    """
    starts = np.concatenate([[0], np.cumsum(list_lengths)[:-1]])
    n_lists, n_columns = len(list_lengths), columns.shape[1]

    def probabilities(scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        top = np.maximum.reduceat(scores, starts)
        odds = np.exp(scores - np.repeat(top, list_lengths))
        total = np.add.reduceat(odds, starts)
        return odds / np.repeat(total, list_lengths), np.log(total) + top

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = columns @ weights
        of_all, log_all = probabilities(scores)
        of_right, log_right = probabilities(np.where(right, scores, -np.inf))
        slope = columns.T @ (of_all - of_right)
        return (
            float(log_all.sum() - log_right.sum()) / n_lists + RIDGE / 2 * float(weights @ weights),
            slope / n_lists + RIDGE * weights,
        )

    found = minimize(loss, np.ones(n_columns), jac=True, method="L-BFGS-B", bounds=[(0, None)] * n_columns)
    return np.asarray(found.x)
