"""What makes a list less uniform than its scores: no more than so many of a kind, and places given to chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray

from features.compiled import INTS, LONG, LONGS
from features.interactions import IntArray
from serving.item_values import ItemValues
from serving.live_catalog import LiveCatalog


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
    """At most so many items of one value in a list; an item that is new or changed counts as the catalog has it now."""

    def __init__(self, catalog: LiveCatalog, at_most: Mapping[str, int]) -> None:
        self._catalog = catalog
        self._at_most = dict(at_most)
        self._values = ItemValues.of(catalog.rows(None), tuple(at_most))
        self._limits = np.repeat(np.array(list(at_most.values()), np.int32), np.diff(self._values.first_value))
        self._version = catalog.version
        self._changed: set[int] = set()

    def within(self, listed: IntArray, items: IntArray, n: int) -> NDArray[np.bool_]:
        """Return which of ``items`` join ``listed``, taken in order up to ``n`` of them; shape (len(items),)."""
        if self._as_numbered(listed) and self._as_numbered(items):
            return _within(listed, items, self._values.indptr, self._values.values, self._limits, n)
        counts = self._counts(listed)
        joins = np.zeros(len(items), np.bool_)
        for place, item in enumerate(items.tolist()):
            values = self._named(item)
            if n > 0 and all(counts[value] < self._at_most[value[0]] for value in values):
                joins[place] = True
                counts.update(values)
                n -= 1
        return joins

    def reason(self, listed: IntArray, item: int) -> str | None:
        """Return why ``item`` cannot join ``listed``, or None where it can."""
        counts = self._counts(listed)
        for dimension, value in self._named(item):
            if counts[dimension, value] >= self._at_most[dimension]:
                return f"beyond {self._at_most[dimension]} of {dimension} {value}"
        return None

    def _as_numbered(self, items: IntArray) -> bool:
        """Return whether all ``items`` have the values that were numbered at the beginning."""
        if self._catalog.version != self._version:
            changed = self._catalog.changed_since(self._version)
            self._changed.update(range(len(self._catalog)) if changed is None else changed.tolist())
            self._version = self._catalog.version
        return not self._changed or self._changed.isdisjoint(items.tolist())

    def _counts(self, items: IntArray) -> Counter[tuple[str, str]]:
        return Counter(value for item in items.tolist() for value in self._named(item))

    def _named(self, item: int) -> list[tuple[str, str]]:
        row = self._catalog.row(item)
        return [(dimension, value) for dimension in self._at_most for value in row.get(dimension) or ()]


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
