"""How much somebody prefers each value of a dimension: one function, for what is learned and for what is answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from features.compiled import DOUBLE, FLOATS, INTS, LONGS
from features.hash_table import empty_slots, slot_of
from features.interactions import DAY_S, History, IntArray
from features.settings import Settings

FloatArray = NDArray[np.float32]


class Taste(NamedTuple):
    """What a history tells of the values that its items have, in no order, and of all others.

    Attributes:
        slots: int32; a hash table of the places in ``values``, see ``features/hash_table.py``.
        values: int32; the numbers of the values.
        weight: float32; the decayed interactions with each.
        lift: float32; the logarithm of its share over what is usual.
        days: float32; since the last interaction.
        other_lift: float32, shape (dimensions,); the lift of each dimension's values that are not among them.
    """

    slots: IntArray
    values: IntArray
    weight: FloatArray
    lift: FloatArray
    days: FloatArray
    other_lift: FloatArray


class ItemValues(NamedTuple):
    """Which values each item has, numbered through all dimensions, and how usual they are.

    Attributes:
        indptr: int64, shape (items + 1,); the values of item ``i`` are at ``indptr[i]:indptr[i + 1]``.
        values: int32; ascending for each item.
        first_value: int32, shape (dimensions + 1,); the number of each dimension's first value.
        share: float32, shape (values,); the part of all interactions with a value of its dimension, above 0.
    """

    indptr: NDArray[np.int64]
    values: IntArray
    first_value: IntArray
    share: FloatArray


def taste(history: History, weight: FloatArray, table: ItemValues, prior_weight: float, now: datetime) -> Taste:
    """Return what ``history`` tells of the values of its items.

    The affinity for a value is its lift: the logarithm of its share of the history's weight in its dimension over the
    share that is usual, so what everyone chooses is no taste. Before the comparison, ``prior_weight`` of everybody's
    interactions is added to the history's own (a Dirichlet prior), so little evidence says little.

    ``weight`` is what each interaction weighs at ``now``: its type's, decayed with age, negative for a return.
    """
    return Taste(
        *_taste(
            np.ascontiguousarray(history.item),
            np.ascontiguousarray(history.timestamp_s),
            weight,
            now.timestamp(),
            *table,
            prior_weight,
        )
    )


def strength(lift: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return lifts as numbers from 0 to 1: 0 for what is usual or less, 0.5 for twice as much, 0.9 for ten times."""
    return np.maximum(-np.expm1(-lift.astype(np.float64)), 0.0)


class AffinityThresholds(Settings):
    """Which affinities are spoken of."""

    lookback_days: PositiveFloat = 365.0
    """Older interactions do not count."""
    threshold: float = Field(default=0.2, ge=0, lt=1)
    """Least strength: how far from what is usual."""
    confidence: float = Field(default=0.05, ge=0, lt=1)
    """Least part of the evidence that is the visitor's own, not everybody's."""


@dataclass(frozen=True, slots=True)
class Affinity:
    """A value that somebody prefers, and what says so.

    Attributes:
        value: Its number.
        strength: From 0, as usual, to 1; see ``strength``.
        times_usual: How many times its usual share it has.
        weight: The decayed interactions with it.
        confidence: The part of the evidence in its dimension that is the visitor's own, from 0 to 1.
        days: Since the last interaction with it.
        events: Places in the history of the interactions behind it, those that weigh most first.
    """

    value: int
    strength: float
    times_usual: float
    weight: float
    confidence: float
    days: float
    events: tuple[int, ...]


def affinities(
    history: History,
    weight: FloatArray,
    table: ItemValues,
    prior_weight: float,
    now: datetime,
    thresholds: AffinityThresholds,
    n: int,
    events: int = 5,
) -> list[Affinity]:
    """Return the ``n`` affinities that are strongest and best founded, each with at most ``events`` behind it."""
    recent = history.timestamp_s > now.timestamp() - thresholds.lookback_days * DAY_S
    counted = np.where(recent, weight, np.float32(0))
    found = taste(history, counted, table, prior_weight, now)
    dimension = np.searchsorted(table.first_value, found.values, side="right") - 1
    together = np.bincount(dimension, found.weight, minlength=len(table.first_value) - 1)
    confidence = (together / (together + prior_weight))[dimension]
    strengths = strength(found.lift)
    spoken = (found.weight > 0) & (strengths >= thresholds.threshold) & (confidence >= thresholds.confidence)
    order = np.argsort(-(found.weight * found.lift * spoken), kind="stable")[: min(n, int(spoken.sum()))]
    return [
        Affinity(
            int(found.values[at]),
            float(strengths[at]),
            float(np.exp(found.lift[at])),
            float(found.weight[at]),
            float(confidence[at]),
            float(found.days[at]),
            _behind(int(found.values[at]), history, counted, table, events),
        )
        for at in order.tolist()
    ]


def _behind(value: int, history: History, weight: FloatArray, table: ItemValues, n: int) -> tuple[int, ...]:
    starts, ends = table.indptr[history.item], table.indptr[history.item + 1]
    having = [
        row
        for row in np.flatnonzero(weight > 0).tolist()
        if value in table.values[int(starts[row]) : int(ends[row])].tolist()
    ]
    return tuple(sorted(having, key=lambda row: -weight[row])[:n])


@njit((INTS, LONGS, FLOATS, DOUBLE, LONGS, INTS, INTS, FLOATS, DOUBLE), cache=True)
def _taste(item, time_s, weight, now_s, indptr, values, first_value, share, prior_weight):  # type: ignore[no-untyped-def]
    n_dimensions = len(first_value) - 1
    most = 0
    for row in range(len(item)):
        most += indptr[item[row] + 1] - indptr[item[row]]
    slots = empty_slots(most)
    keys, total = np.empty(most, np.int32), np.zeros(most, np.float32)
    last_s, dimension = np.zeros(most, np.int64), np.empty(most, np.int32)
    n = 0
    for row in range(len(item)):
        if weight[row] != 0:
            its_dimension = 0
            for at in range(indptr[item[row]], indptr[item[row] + 1]):
                place = slot_of(slots, keys, values[at])
                if slots[place] == 0:
                    while values[at] >= first_value[its_dimension + 1]:
                        its_dimension += 1
                    keys[n] = values[at]
                    dimension[n] = its_dimension
                    n += 1
                    slots[place] = n
                total[slots[place] - 1] += weight[row]
                last_s[slots[place] - 1] = time_s[row]
    together = np.zeros(n_dimensions, np.float32)
    for k in range(n):
        total[k] = max(total[k], np.float32(0))
        together[dimension[k]] += total[k]
    lift, days = np.empty(n, np.float32), np.empty(n, np.float32)
    for k in range(n):
        usual = share[keys[k]]
        lift[k] = np.log((total[k] + prior_weight * usual) / (together[dimension[k]] + prior_weight) / usual)
        days[k] = (now_s - last_s[k]) / DAY_S
    other = np.log(prior_weight / (together + prior_weight)).astype(np.float32)
    return slots, keys[:n].copy(), total[:n].copy(), lift, days, other
