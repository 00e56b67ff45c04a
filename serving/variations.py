"""What makes a list less uniform than its scores: no more than so many of a kind, and places given to chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray

from features.compiled import INTS, LONG, LONGS
from features.interactions import IntArray
from serving.admission import counted, has_room
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


Limits = tuple[NDArray[np.int64], NDArray[np.int64], IntArray, IntArray]
"""Of each item the first place of its values and the place behind the last; what values stand there; and how many items
of each value a list may have."""
NO_LIMITS: Final[Limits] = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32)

FEW: Final = 1_000
"""So many values of changed items are always kept beside those of all items."""


class Caps:
    """At most so many items of one value in a list; an item that is new or changed counts as the catalog has it now."""

    def __init__(self, catalog: LiveCatalog, at_most: Mapping[str, int]) -> None:
        self._catalog = catalog
        self._at_most = dict(at_most)
        self._number_all()

    def limits(self) -> Limits:
        """Return what ``admitted`` asks of items at this moment."""
        if self._catalog.version != self._version:
            self._take_in_changes()
        return self._limits

    def within(self, listed: IntArray, items: IntArray, n: int) -> NDArray[np.bool_]:
        """Return which of ``items`` join ``listed``, taken in order up to ``n`` of them; shape (len(items),)."""
        return _within(listed, items, *self.limits(), n)

    def reason(self, listed: IntArray, item: int) -> str | None:
        """Return why ``item`` cannot join ``listed``, or None where it can."""
        counts = self._counts(listed)
        for dimension, value in self._named(item):
            if counts[dimension, value] >= self._at_most[dimension]:
                return f"beyond {self._at_most[dimension]} of {dimension} {value}"
        return None

    def _number_all(self) -> None:
        found = ItemValues.of(self._catalog.rows(None), tuple(self._at_most))
        self._numbers = {value: number for number, value in enumerate(found.named())}
        self._limits = found.indptr[:-1].copy(), found.indptr[1:].copy(), found.values, self._limit()
        self._most_values = 2 * len(found.values) + FEW
        self._version = self._catalog.version

    def _take_in_changes(self) -> None:
        """Write the values of what has changed behind all others."""
        changed = self._catalog.changed_since(self._version)
        start, end, values, _ = self._limits
        if changed is None or len(values) > self._most_values:
            self._number_all()
            return
        grown = np.zeros(len(self._catalog) - len(start), np.int64)
        start, end, more = np.concatenate([start, grown]), np.concatenate([end, grown]), list[int]()
        for item in changed.tolist():
            start[item] = len(values) + len(more)
            more += [self._numbers.setdefault(value, len(self._numbers)) for value in self._named(item)]
            end[item] = len(values) + len(more)
        self._limits = start, end, np.concatenate([values, np.array(more, np.int32)]), self._limit()
        self._version = self._catalog.version

    def _limit(self) -> IntArray:
        return np.array([self._at_most[dimension] for dimension, _ in self._numbers], np.int32)

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


@njit((INTS, INTS, LONGS, LONGS, INTS, INTS, LONG), cache=True)
def _within(listed, items, start, end, values, limits, n):  # type: ignore[no-untyped-def]
    seen, count, n_seen = np.empty(64, np.int32), np.empty(64, np.int32), 0
    for item in listed:
        if item < len(start):
            seen, count, n_seen = counted(item, seen, count, n_seen, start, end, values)
    joins = np.zeros(len(items), np.bool_)
    for k in range(len(items)):
        if n == 0:
            break
        if items[k] >= len(start) or has_room(items[k], seen, count, n_seen, start, end, values, limits):
            joins[k] = True
            n -= 1
            if items[k] < len(start):
                seen, count, n_seen = counted(items[k], seen, count, n_seen, start, end, values)
    return joins
