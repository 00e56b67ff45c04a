"""What makes a list less uniform than its scores: no more than so many of a kind, and places given to chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray

from features.interactions import IntArray
from models.compiled import INTS, LONG, LONGS
from serving.item_values import ItemValues


@dataclass(frozen=True, slots=True)
class Explored:
    """The place of a list that was left to chance.

    Attributes:
        place: Which place, counted from 0.
        drawn: Whether chance chose the item there.
        probability: How likely it was that this very item got the place: that of the draw, or that of no draw.
    """

    place: int
    drawn: bool
    probability: float


class Caps:
    """At most so many items of one value in a list."""

    def __init__(self, catalog: pl.DataFrame, at_most: Mapping[str, int]) -> None:
        self._values = ItemValues.of(catalog, tuple(at_most))
        sizes = np.diff(self._values.first_value)
        self._limits = np.repeat(np.array(list(at_most.values()), np.int32), sizes)
        self._dimension_of = np.repeat(np.array(list(at_most)), sizes)

    def within(self, listed: IntArray, items: IntArray, n: int) -> NDArray[np.bool_]:
        """Return which of ``items`` join ``listed``, taken in order up to ``n`` of them; shape (len(items),)."""
        return _within(listed, items, self._values.indptr, self._values.values, self._limits, n)

    def reason(self, listed: IntArray, item: int) -> str | None:
        """Return why ``item`` cannot join ``listed``, or None where it can."""
        values = self._values
        all_of_list = np.concatenate([values.of_item(one) for one in listed.tolist()] or [values.values[:0]])
        for value in values.of_item(item).tolist():
            if np.count_nonzero(all_of_list == value) >= self._limits[value]:
                limit, dimension = self._limits[value], self._dimension_of[value]
                return f"beyond {limit} of {dimension} {values.name(value)}"
        return None


def gumbel(scale: float, n: int, rng: Generator) -> NDArray[np.float64]:
    """Return noise that, added to scores, makes their order a draw from a Plackett-Luce model of ``scores / scale``.

    Yellott, The relationship between Luce's choice axiom, Thurstone's theory, and the double exponential (1977).
    """
    return scale * rng.gumbel(size=n)


@njit(cache=True)
def _counted(seen, count, n_seen, value):  # type: ignore[no-untyped-def]
    for row in range(n_seen):
        if seen[row] == value:
            count[row] += 1
            return n_seen
    seen[n_seen] = value
    count[n_seen] = 1
    return n_seen + 1


@njit((INTS, INTS, LONGS, INTS, INTS, LONG), cache=True)
def _within(listed, items, indptr, values, limits, n):  # type: ignore[no-untyped-def]
    n_known = len(indptr) - 1
    longest = 0
    for k in range(len(listed)):
        if listed[k] < n_known:
            longest += indptr[listed[k] + 1] - indptr[listed[k]]
    for k in range(len(items)):
        if items[k] < n_known:
            longest += indptr[items[k] + 1] - indptr[items[k]]
    # The values of a list are few: looking through them is quicker than a table of all values.
    seen = np.empty(longest, np.int32)
    count = np.zeros(longest, np.int32)
    n_seen = 0
    for k in range(len(listed)):
        if listed[k] < n_known:
            for at in range(indptr[listed[k]], indptr[listed[k] + 1]):
                n_seen = _counted(seen, count, n_seen, values[at])
    joins = np.zeros(len(items), np.bool_)
    for k in range(len(items)):
        if n == 0:
            break
        fits = True
        if items[k] < n_known:
            for at in range(indptr[items[k]], indptr[items[k] + 1]):
                for row in range(n_seen):
                    if seen[row] == values[at] and count[row] >= limits[values[at]]:
                        fits = False
        if fits:
            joins[k] = True
            n -= 1
            if items[k] < n_known:
                for at in range(indptr[items[k]], indptr[items[k] + 1]):
                    n_seen = _counted(seen, count, n_seen, values[at])
    return joins
