"""Scorers that look up which items they know anything of: an answer takes no longer in a larger catalog."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.compiled import FLOAT_ROWS, FLOATS, INTS, LONG, LONGS
from features.hash_table import slot_of
from features.interactions import History, IntArray
from models.scorer import Features, Scorer, Scores, of_latest

PLACES: Final = 200
"""Places counted from the best; all items beyond them share this one."""

BINS: Final = 4096
"""So many counts tell how high the best scores are; more would not stay next to the processor."""

Found = tuple[IntArray, IntArray, Scores, Features, NDArray[np.int64]]
"""What is found for a history: a hash table of rows; of each row the item, its score above 0, and what else is known of
it, one column for each name between the first and the last two of ``feature_names``; and the ``PLACES`` best rows."""


@dataclass(frozen=True)
class Lookup(Scorer):
    """Scores the items it finds in its tables, and all others 0."""

    @abstractmethod
    def find(self, history: History, now: datetime) -> Found:
        """Return what the tables say of ``history``."""

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        """Return the score of each of ``items``."""
        return scores_of(items, *self._found(history, now)[:3])

    def features(self, history: History, items: IntArray, now: datetime) -> Features:
        """Return the score, what else ``find`` tells, and how the score compares; 0 for what is not found.

        ``share_of_best`` is the score by the best score of any item; ``place`` how many items score higher, at most
        ``PLACES``.
        """
        return _columns(items, *self._found(history, now), PLACES)

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return the ``n`` items of the highest scores, equal ones in order of the items."""
        _, items, scores, _, best = self._found(history, now)
        return items[best[:n] if n <= PLACES else best_rows(items, scores, n)]

    def tied(self, history: History, now: datetime) -> tuple[IntArray, Scores]:
        """Return the items that score above 0, none twice, in any order, and their scores."""
        _, items, scores, _, _ = self._found(history, now)
        return items, scores

    def _found(self, history: History, now: datetime) -> Found:
        return of_latest(self, history, now, lambda: self.find(history, now))


@njit((FLOATS, LONG), cache=True)
def _rows_above(scores, n):  # type: ignore[no-untyped-def]
    """Return the rows of the ``n`` highest of more ``scores`` than that, 0 or more, and of a few next to them.

    Of numbers from 0 on the bits ascend as they do: how many have the same first bits is counted, and nothing waits
    for a comparison.
    """
    bits = scores.view(np.uint32)
    least, most = bits.min(), bits.max()
    shift = np.uint32(0)
    while (most - least) >> shift >= BINS:
        shift += np.uint32(1)
    counts = np.zeros(BINS, np.int64)
    for row in range(len(bits)):
        counts[np.uintp((bits[row] - least) >> shift)] += 1
    bin_, length = BINS - 1, counts[BINS - 1]
    while length < n:
        bin_ -= 1
        length += counts[bin_]
    floor = least + (np.uint32(bin_) << shift)
    rows, found = np.empty(length, np.int64), 0
    for row in range(len(bits)):
        if bits[row] >= floor:
            rows[found] = row
            found += 1
    return rows


@njit((INTS, FLOATS, LONG), cache=True)
def best_rows(items, scores, n):  # type: ignore[no-untyped-def]
    """Return the rows of the ``n`` highest ``scores``, 0 or more: the highest first, equal ones in order of items."""
    rows = _rows_above(scores, n) if len(scores) > n else np.arange(len(scores))
    bits = scores.view(np.uint32)
    order = np.empty(len(rows), np.int64)
    for k in range(len(rows)):
        order[k] = (-np.int64(bits[rows[k]]) << 32) + items[rows[k]]
    return rows[np.argsort(order)[:n]]


@njit((INTS, INTS, INTS, FLOATS), cache=True)
def scores_of(asked, slots, items, scores):  # type: ignore[no-untyped-def]
    """Return the scores of the items ``asked``, 0 for those that are not found; for the others see ``Found``."""
    found = np.zeros(len(asked), np.float32)
    for k in range(len(asked)):
        row = slots[slot_of(slots, items, asked[k])] - 1
        if row >= 0:
            found[k] = scores[row]
    return found


@njit((INTS, INTS, INTS, FLOATS, FLOAT_ROWS, LONGS, LONG), cache=True)
def _columns(asked, slots, items, scores, known, best, places):  # type: ignore[no-untyped-def]
    """Return the columns of ``Lookup.features`` for the items ``asked``."""
    n = known.shape[1]
    columns = np.zeros((len(asked), n + 3), np.float32)
    highest_first = -scores[best]
    for k in range(len(asked)):
        row = slots[slot_of(slots, items, asked[k])] - 1
        if row < 0:
            columns[k, n + 2] = places
            continue
        columns[k, 0] = scores[row]
        columns[k, 1 : n + 1] = known[row]
        columns[k, n + 1] = scores[row] / scores[best[0]]
        columns[k, n + 2] = np.searchsorted(highest_first, -scores[row], side="left")
    return columns
