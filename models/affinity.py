"""What is like what somebody chose: affinities for the values of each dimension."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt
from scipy import sparse

from features.affinities import Affinity as Liked
from features.affinities import AffinityThresholds, ItemValues, Taste, affinities, strength, taste
from features.compiled import DOUBLE_ROWS, FLOATS, INTS, LONG, LONGS
from features.hash_table import slot_of
from features.interactions import History, IntArray
from features.settings import Settings
from features.snapshot import Snapshot
from models.scorer import (
    Features,
    Reason,
    Scorer,
    Scores,
    best_first,
    event_weights,
    interaction_weights,
)

FloatArray = NDArray[np.float32]
SPOKEN = AffinityThresholds()
PER_DIMENSION = ("weight", "lift", "days_since")


class AffinitySettings(Settings):
    """How affinities are counted and learned."""

    half_life_days: PositiveFloat = 60.0
    """Age at which an interaction counts half."""
    prior_weight: PositiveFloat = 5.0
    """How much weight of everybody's interactions is added to a profile's own before shares are compared."""
    horizon_days: PositiveFloat = 28.0
    """The last days of the snapshot, whose first choices of an item teach what affinities are worth."""
    training_users: PositiveInt = 500
    """How many profiles the weights are learned from, at most."""
    strongest_items: PositiveInt = 20_000
    """How many items, the most popular ones, candidates are looked for among."""
    negatives: PositiveInt = 5
    """How many items drawn by popularity are set against each chosen one."""


@dataclass(frozen=True)
class Affinity(Scorer):
    """Scores an item by its popularity times what the profile's affinities for its values make of it.

    The affinity for a value is the logarithm of its share of the profile's decayed interactions over its share of
    everybody's. A logistic regression learns what that, and how much is known, is worth in each dimension: it tells
    the items chosen for the first time from others drawn by popularity, so its odds are what popularity is to be
    multiplied by. Where an item has several values of a dimension, the one that speaks most for it counts.

    Attributes:
        dimensions: Their names, in order.
        value_names: UTF-8, shape (values,); numbered through all dimensions.
        event_weights: float32, shape (event types,).
        indptr: int64, shape (items + 1,); the values of item ``i`` are at ``indptr[i]:indptr[i + 1]``.
        values: int32; ascending for each item.
        first_value: int32, shape (dimensions + 1,); the number of each dimension's first value.
        share: float32, shape (values,); the part of all interactions with a value of its dimension, above 0.
        strength: float32, shape (items,); the popularity, above 0.
        coefficients: float64, shape (dimensions, 2); of log(1 + weight) and of the affinity.
    """

    name: ClassVar[str] = "affinity"

    config: AffinitySettings
    dimensions: NDArray[np.str_]
    value_names: NDArray[np.bytes_]
    event_weights: FloatArray
    indptr: NDArray[np.int64]
    values: IntArray
    first_value: IntArray
    share: FloatArray
    strength: FloatArray
    coefficients: NDArray[np.float64]

    @property
    def feature_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """``weight``, ``lift`` and ``days_since`` of each dimension: how much, how much more than usual, how lately."""
        return "score", *(f"{dimension}.{what}" for dimension in self.dimensions for what in PER_DIMENSION)

    @classmethod
    def fit(cls, snapshot: Snapshot, config: AffinitySettings, rng: Generator) -> Self:
        """Return the affinities of ``snapshot`` and what they are worth."""
        rows, as_of = snapshot.interactions.all, snapshot.manifest.as_of
        start = as_of - timedelta(days=config.horizon_days)
        past = cls._counted(snapshot, rows.timestamp_s < start.timestamp(), start, config)
        coefficients = past._worth(snapshot, start, rng)
        return replace(cls._counted(snapshot, np.ones(len(rows), np.bool_), as_of, config), coefficients=coefficients)

    @classmethod
    def _counted(cls, snapshot: Snapshot, counted: NDArray[np.bool_], now: datetime, config: AffinitySettings) -> Self:
        """Return the affinities that the ``counted`` interactions show at ``now``, worth nothing as yet."""
        manifest, n_items = snapshot.manifest, len(snapshot.items)
        rows = snapshot.interactions.all
        weights = event_weights(snapshot)
        weight = interaction_weights(rows, weights, config.half_life_days, now) * counted
        count = np.maximum(np.bincount(rows.item, weight, minlength=n_items), 0)
        tables = [snapshot.item_values(dimension) for dimension in manifest.dimensions]
        table = sparse.hstack(tables, "csr") if tables else sparse.csr_matrix((n_items, 0))
        table.sort_indices()
        sizes = [one.shape[1] for one in tables]
        by_value = np.asarray(table.T @ count).ravel() + 1
        total = np.bincount(np.repeat(np.arange(len(sizes)), sizes), by_value)
        return cls(
            config,
            np.array(manifest.dimensions, dtype=np.str_),
            np.array([name.encode() for one in manifest.dimensions for name in snapshot.values(one).ids()], np.bytes_),
            weights,
            table.indptr.astype(np.int64),
            table.indices.astype(np.int32),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32),
            (by_value / np.repeat(total, sizes)).astype(np.float32),
            (count + 0.01).astype(np.float32),
            np.zeros((len(tables), 2)),
        )

    def _worth(self, snapshot: Snapshot, start: datetime, rng: Generator) -> NDArray[np.float64]:
        """Return the coefficients that tell what was first chosen after ``start`` from what was popular."""
        x, y = [], []
        popularity = np.cumsum(self.strength, dtype=np.float64)
        for user in rng.permutation(snapshot.interactions.n_users)[: self.config.training_users]:
            history = snapshot.interactions.of(int(user))
            before = history.before(int(start.timestamp()))
            after = history[len(before) :]
            chosen = np.setdiff1d(after.item[self.event_weights[after.event_type] > 0], before.item)
            drawn = np.searchsorted(popularity, rng.random(self.config.negatives * len(chosen)) * popularity[-1])
            drawn = drawn[~np.isin(drawn, history.item)].astype(np.int32)
            if len(before) and len(chosen):
                items = np.concatenate([chosen, drawn])
                x.append(self._terms(self._by_dimension(self.taste(before, start), items)).reshape(len(items), -1))
                y.append(np.arange(len(items)) < len(chosen))
        if not y or np.concatenate(y).all():
            return np.tile([0.0, 1.0], (len(self.dimensions), 1))
        x_all, y_all = np.concatenate(x), np.concatenate(y)
        from sklearn.linear_model import LogisticRegression  # here: what answers needs none of it, and it is large

        model = LogisticRegression(max_iter=300).fit(x_all, y_all)
        return model.coef_.reshape(self.coefficients.shape)

    @staticmethod
    def _terms(features: Features) -> NDArray[np.float64]:
        """Return log(1 + weight) and lift; shape (items, dimensions, 2)."""
        table = np.nan_to_num(features).reshape(len(features), -1, len(PER_DIMENSION)).astype(np.float64)
        return np.stack([np.log1p(np.maximum(table[:, :, 0], 0)), table[:, :, 1]], axis=-1)

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        """Return popularity times odds; 0 for an item none of whose values the history has."""
        return self.odds(self.taste(history, now), items)

    def features(self, history: History, items: IntArray, now: datetime) -> Features:
        """Return the columns ``feature_names``; NaN for a dimension of which an item has no value."""
        taste = self.taste(history, now)
        return np.column_stack([self.odds(taste, items), self._by_dimension(taste, items)])

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return the ``n`` items that score highest among the ``strongest_items``."""
        return best_first(self._strongest, self.odds(self.taste(history, now), self._strongest), n)

    @staticmethod
    def liked(taste: Taste, n: int) -> IntArray:
        """Return the numbers of the ``n`` values that are preferred most: more of it than usual, and how much."""
        values: IntArray = _liked(taste.values, taste.weight, taste.lift, n)
        return values

    def likes(self, history: History, n: int, now: datetime, thresholds: AffinityThresholds = SPOKEN) -> list[Liked]:
        """Return the ``n`` values that the profile prefers most, and the interactions that say so."""
        weight = interaction_weights(history, self.event_weights, self.config.half_life_days, now)
        return affinities(history, weight, self.table, self.config.prior_weight, now, thresholds, n)

    def preference(self, taste: Taste, dimension: str, value: str) -> float:
        """Return how much more than usual a value is preferred, from 0 to 1; 0 also for one that nobody knows."""
        number = self._numbers.get((dimension, value))
        lift = taste.lift[taste.values == number]
        return float(strength(lift)[0]) if len(lift) else 0.0

    @cached_property
    def _numbers(self) -> dict[tuple[str, str], int]:
        return {self.value_name(value): value for value in range(len(self.value_names))}

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return the value that speaks most for the item."""
        taste = self.taste(history, now)
        mine = np.isin(taste.values, self.values[self.indptr[item] : self.indptr[item + 1]]) & (taste.weight > 0)
        if not mine.any():
            return None
        dimension, value = self.value_name(int(taste.values[mine][np.argmax(taste.lift[mine])]))
        return Reason("affinity", f"Fits a liking for {value} ({dimension}).".replace("{", "{{").replace("}", "}}"))

    def value_name(self, value: int) -> tuple[str, str]:
        """Return the dimension and the text of a value."""
        at = np.searchsorted(self.first_value, value, side="right") - 1
        return str(self.dimensions[at]), bytes(self.value_names[value]).decode()

    def taste(self, history: History, now: datetime) -> Taste:
        """Return what the history tells of the values of its items."""
        weight = interaction_weights(history, self.event_weights, self.config.half_life_days, now)
        return taste(history, weight, self.table, self.config.prior_weight, now)

    @property
    def table(self) -> ItemValues:
        """Which values the items have, and how usual they are."""
        return ItemValues(self.indptr, self.values, self.first_value, self.share)

    def odds(self, taste: Taste, items: IntArray) -> Scores:
        """Return popularity times the odds that ``taste`` gives each of ``items``; see ``scores``."""
        return _odds(*taste, self.coefficients, self.strength, self.indptr, self.values, self.first_value, items)

    def lifts(self, taste: Taste, items: IntArray, dimension: int) -> FloatArray:
        """Return the greatest lift among the values of each of ``items`` in a dimension; NaN where it has none."""
        return self._by_dimension(taste, items)[:, len(PER_DIMENSION) * dimension + PER_DIMENSION.index("lift")]

    def _by_dimension(self, taste: Taste, items: IntArray) -> Features:
        return _by_dimension(*taste, self.indptr, self.values, self.first_value, items)

    @cached_property
    def _strongest(self) -> IntArray:
        last = max(0, len(self.strength) - self.config.strongest_items)
        return np.sort(np.argpartition(self.strength, last)[last:] if last else np.arange(len(self.strength))).astype(
            np.int32
        )


@njit((INTS, FLOATS, FLOATS, LONG), cache=True)
def _liked(values, weight, lift, n):  # type: ignore[no-untyped-def]
    liked, strength = np.empty(n, np.int32), np.empty(n, np.float32)
    n_liked = 0
    for k in range(len(values)):
        mine = weight[k] * lift[k]
        if mine > 0 and (n_liked < n or mine > strength[n - 1]):
            at = min(n_liked, n - 1)
            while at > 0 and strength[at - 1] < mine:
                liked[at], strength[at] = liked[at - 1], strength[at - 1]
                at -= 1
            liked[at], strength[at] = values[k], mine
            n_liked = min(n_liked + 1, n)
    return liked[:n_liked]


_TASTE = (INTS, INTS, FLOATS, FLOATS, FLOATS, FLOATS)


@njit((*_TASTE, LONGS, INTS, INTS, INTS), cache=True)
def _by_dimension(slots, keys, weight, lift, days, other, indptr, values, first_value, items):  # type: ignore[no-untyped-def]
    n_dimensions = len(first_value) - 1
    out = np.full((len(items), 3 * n_dimensions), np.nan, np.float32)
    for k in range(len(items)):
        dimension = 0
        for at in range(indptr[items[k]], indptr[items[k] + 1]):
            value = values[at]
            while value >= first_value[dimension + 1]:
                dimension += 1
            column = 3 * dimension
            place = slots[slot_of(slots, keys, value)] - 1
            its_lift = lift[place] if place >= 0 else other[dimension]
            if np.isnan(out[k, column]) or its_lift > out[k, column + 1]:
                out[k, column] = weight[place] if place >= 0 else 0
                out[k, column + 1] = its_lift
                out[k, column + 2] = days[place] if place >= 0 else np.nan
    return out


@njit((*_TASTE, DOUBLE_ROWS, FLOATS, LONGS, INTS, INTS, INTS), cache=True)
def _odds(slots, keys, weight, lift, days, other, worth, strength, indptr, values, first_value, items):  # type: ignore[no-untyped-def]
    n_dimensions = len(first_value) - 1
    # A table of what is asked for each value of each item.
    mask = len(slots) - 1
    held = np.full(len(slots), -1, np.int32)
    odds = np.empty(len(slots), np.float32)
    chosen = np.zeros(len(slots), np.bool_)
    for at in range(len(slots)):
        if slots[at] == 0:
            continue
        k = slots[at] - 1
        dimension = 0
        while keys[k] >= first_value[dimension + 1]:
            dimension += 1
        held[at] = keys[k]
        odds[at] = np.exp(np.log1p(np.float64(weight[k])) * worth[dimension, 0] + lift[k] * worth[dimension, 1])
        chosen[at] = weight[k] > 0
    other_odds = np.empty(n_dimensions, np.float32)
    for dimension in range(n_dimensions):
        other_odds[dimension] = np.exp(other[dimension] * worth[dimension, 1])
    # What is far apart in memory is fetched first, without a decision in between that would wait for it.
    out, start = np.empty(len(items), np.float32), np.zeros(len(items) + 1, np.int64)
    for k in range(len(items)):
        out[k] = strength[items[k]]
        start[k + 1] = start[k] + indptr[items[k] + 1] - indptr[items[k]]
    their_values = np.empty(start[len(items)], np.int32)
    for k in range(len(items)):
        first = indptr[items[k]]
        for at in range(start[k + 1] - start[k]):
            their_values[start[k] + at] = values[first + at]
    for k in range(len(items)):
        product = out[k]
        best = np.float32(1)
        dimension = 0
        known = False
        for at in range(start[k], start[k + 1]):
            value = their_values[at]
            changes = value >= first_value[dimension]
            if changes:
                product *= best
                while value >= first_value[dimension]:
                    dimension += 1
            place = (np.int64(value) * 2654435761 >> 8) & mask  # as ``slot_of``, which is slower across arrays
            while held[place] != value and held[place] >= 0:
                place = (place + 1) & mask
            its_odds = odds[place] if held[place] >= 0 else other_odds[dimension - 1]
            known |= chosen[place]
            if changes or its_odds > best:
                best = its_odds
        out[k] = product * best if known else 0
    return out
