"""The items in the running for one ranking, and what each part of the score gives them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from features.compiled import DOUBLES, FLOATS, INTS, LONG, LONGS
from features.hash_table import place_rows, slot_of
from features.interactions import IntArray
from serving.heap import sink

Doubles = NDArray[np.float64]
Weights = NDArray[np.float32]

IN_A_LINE: Final = 16
"""So many numbers of 32 bits come from memory together."""
SHADES: Final = 1_024
SHADE: Final = 46
"""Scores whose bits agree from this one on are of one shade: 64 shades lie between a score and its half."""
_ITEMS = types.Array(types.int32, 1, "C")
_SCORES = types.Array(types.float64, 1, "C")
_PARTS = types.Array(types.float64, 2, "C")


class Pool:
    """A growing list of distinct items with a table of parts, behind which stand two sums of them.

    A hash table with linear probing says where an item stands. The arrays are kept from one ranking to the next, for
    fetching fresh memory takes longer than filling it: use ``cleared`` first, and one pool for each thread.
    """

    def __init__(self, n_items: int) -> None:
        """Make a pool for ``Ties`` between ``n_items``; it may hold other items as well."""
        self._n, self._open, self.n_parts = 0, True, 0
        self._sums = np.zeros(n_items)  # of each item what it gains, while that is added up; else 0
        self._items, self._parts = np.zeros(0, np.int32), np.zeros((0, 0))
        self._slots = np.zeros(1, np.int32)
        self._reserve(1_000, 8)

    def cleared(self, n_parts: int, only: IntArray | None) -> Pool:
        """Return the pool for a new ranking of ``n_parts`` parts: empty, or closed with ``only`` in it, in order."""
        _clear(self._slots, self._items, self._parts, self._n)
        self._n, self._open, self.n_parts = 0, True, n_parts
        if n_parts + 2 > len(self._parts):
            self._reserve(len(self._items), n_parts + 2)
        if only is not None:
            self.add(only)
            self._open = False
        return self

    @property
    def items(self) -> IntArray:
        """The items, in the order in which they came; valid until the pool changes."""
        return self._items[: self._n]

    def part(self, number: int) -> Doubles:
        """Return what the part ``number`` gives each item; it may be written to."""
        return self._parts[number, : self._n]

    @property
    def base(self) -> Doubles:
        """What the first parts of each item come to, as ``sum_up`` has added them up."""
        return self._parts[self.n_parts, : self._n]

    @property
    def total(self) -> Doubles:
        """What all parts of each item come to, as ``sum_up`` has added them up."""
        return self._parts[self.n_parts + 1, : self._n]

    def sum_up(self, n_base: int, weights: Doubles) -> None:
        """Add up the first ``n_base`` parts of each item in their order, and all of them.

        Before that each of the first parts, as many as there are ``weights``, gives its best item its weight and the
        others less in proportion; below 0 counts 0.
        """
        _sum_up(self._parts, self._n, self.n_parts, n_base, weights)

    def at(self, rows: NDArray[np.int64], n_base: int) -> tuple[IntArray, Doubles, Doubles, NDArray[np.int64]]:
        """Return of each of ``rows`` the item, its total, its parts, and which of the first ``n_base`` is greatest.

        The parts have the shape (len(rows), parts).
        """
        found: tuple[IntArray, Doubles, Doubles, NDArray[np.int64]]
        found = _at(self._items, self._parts, self.n_parts, n_base, rows)
        return found

    def add(self, items: IntArray) -> None:
        """Put ``items`` into the running; those that are already stay, and a closed pool takes no more."""
        if self._open:
            self._room(len(items))
            self._n = _join(self._slots, self._items, self._n, items)

    def tie(self, ties: Ties, n: int, anchors: IntArray, weight: Weights, indptr: Any, indices: Any, tied: Any) -> None:
        """Put the ``n`` items that gain most by ``anchors`` into the running; ``ties`` remembers what each gains.

        The neighbours of item ``i`` are at ``indptr[i]:indptr[i + 1]`` of ``indices``, and each gains ``weight`` times
        what stands there in ``tied``, above 0.
        """
        n = n if self._open else 0
        while True:
            self._room(min(n, len(ties.items)))
            ties.n, self._n = _tie(
                *(self._sums, ties.items, ties.gains, anchors, weight, indptr, indices, tied),
                *(n, self._slots, self._items, self._n),
            )
            if ties.n <= len(ties.items):
                return
            ties.reserve(2 * ties.n)

    def take(self, number: int, ties: Ties) -> None:
        """Give each item what ``ties`` remember, 0 where they do not know it."""
        _take(self._items, self._parts, self._n, number, self._sums, ties.items, ties.gains, ties.n)

    def rows(self, items: IntArray) -> NDArray[np.int64]:
        """Return where each of ``items`` stands, -1 where it is not in the running."""
        return _rows(self._slots, self._items, items)

    def _room(self, more: int) -> None:
        if self._n + more > len(self._items):
            self._reserve(2 * (self._n + more), len(self._parts))

    def _reserve(self, capacity: int, n_parts: int) -> None:
        """Make room for ``capacity`` items; the table of slots is at most half full."""
        items, parts, n = np.zeros(capacity, np.int32), np.zeros((n_parts, capacity)), self._n
        if n:
            items[:n] = self._items[:n]
            parts[: len(self._parts), :n] = self._parts[:, :n]
        self._items, self._parts = items, parts
        self._slots = np.zeros(1 << (2 * capacity - 1).bit_length(), np.int32)
        _place(self._slots, self._items, n)


class Ties:
    """What the neighbours of some items gain from them; kept and used like a pool.

    Attributes:
        n: How many items gain something.
        items: int32; the first ``n`` are those, in order of arrival.
        gains: float64; what each of them gains, above 0.
    """

    items: IntArray
    gains: Doubles

    def __init__(self) -> None:
        self.n = 0
        self.reserve(8_192)

    def reserve(self, capacity: int) -> None:
        """Make room for ``capacity`` items, and forget those that are there."""
        self.items, self.gains = np.zeros(capacity, np.int32), np.zeros(capacity)


@njit((_ITEMS, _ITEMS, _PARTS, LONG), cache=True)
def _clear(slots, items, parts, n):  # type: ignore[no-untyped-def]
    parts[:, :n] = 0
    if n * 64 > len(slots):  # a table is wiped faster than items are looked up
        slots[:] = 0
        return
    for row in range(n - 1, -1, -1):  # the last to come stands at the end of its run, so no run is broken
        slots[slot_of(slots, items, items[row])] = 0


@njit((_ITEMS, _ITEMS, LONG), cache=True)
def _place(slots, items, n):  # type: ignore[no-untyped-def]
    place_rows(slots, items, n)


@njit
def _joined(slots, items, n, item):  # type: ignore[no-untyped-def]
    """Return how many items there are with ``item``."""
    at = slot_of(slots, items, item)
    if slots[at] == 0:
        items[n] = item
        n += 1
        slots[at] = n
    return n


@njit((_ITEMS, _ITEMS, LONG, INTS), cache=True)
def _join(slots, items, n, new):  # type: ignore[no-untyped-def]
    for item in new:
        n = _joined(slots, items, n, item)
    return n


@njit((DOUBLES, LONG), cache=True)
def best_rows(scores, n):  # type: ignore[no-untyped-def]
    """Return the rows of the ``n`` highest ``scores``, the highest first, ties in order of the rows.

    A heap of the best so far, the worst of them on top, so it takes one pass over the scores.
    """
    n = min(n, len(scores))
    heap = np.empty(n, np.int64)
    size = 0
    for row in range(len(scores)):
        if size < n:
            at = size
            size += 1
            while at > 0:
                above = (at - 1) >> 1
                if scores[heap[above]] < scores[row]:
                    break
                # rows come in rising order, so of equal scores the new one is the worse and goes up
                heap[at] = heap[above]
                at = above
            heap[at] = row
        elif n > 0 and scores[row] > scores[heap[0]]:
            heap[0] = row
            sink(scores, heap, size, 0, False)
    ordered = np.empty(n, np.int64)
    for place in range(n - 1, -1, -1):
        ordered[place] = heap[0]
        size -= 1
        if size > 0:
            heap[0] = heap[size]
            sink(scores, heap, size, 0, False)
    return ordered


@njit
def _highest(scores, n_scores, n):  # type: ignore[no-untyped-def]
    """Return ``best_rows`` of the first ``n_scores``, all above 0; all, in their own order, where there are no more."""
    if n_scores <= n:
        return np.arange(n_scores)
    # The bits of numbers above 0 are in the order of the numbers: shades, counted from the highest score down.
    bits = scores.view(np.int64)
    top = bits[0]
    for row in range(n_scores):
        top = max(top, bits[row])
    count = np.zeros(SHADES, np.int32)
    for row in range(n_scores):
        count[min((top - bits[row]) >> SHADE, SHADES - 1)] += 1
    last, n_counted = -1, 0
    while n_counted < n:
        last += 1
        count[last], n_counted = n_counted, n_counted + count[last]
    if n_counted > 2 * n + 64:
        return best_rows(scores[:n_scores], n)
    rows = np.empty(n_counted, np.int64)
    for row in range(n_scores):
        shade = min((top - bits[row]) >> SHADE, SHADES - 1)
        if shade <= last:
            rows[count[shade]] = row
            count[shade] += 1
    for place in range(1, n_counted):  # next to nothing is left to order
        row = rows[place]
        while place > 0 and scores[rows[place - 1]] < scores[row]:
            rows[place] = rows[place - 1]
            place -= 1
        rows[place] = row
    return rows[:n]


@njit((_SCORES, _ITEMS, _SCORES, INTS, FLOATS, LONGS, INTS, FLOATS, LONG, _ITEMS, _ITEMS, LONG), cache=True)
def _tie(sums, items, gains, anchors, weight, indptr, indices, tied, n, slots, pool, n_pool):  # type: ignore[no-untyped-def]
    """Return how many items gain something, or how many might where there is no room; and how many the pool has."""
    most = 1
    for anchor in anchors:
        most += indptr[anchor + 1] - indptr[anchor]
    if most > len(items):
        return most, n_pool
    # The rows are far apart in memory: fetched before they are needed, they come many at a time.
    bits = tied.view(np.int32)
    fetched = np.int32(0)
    for anchor in anchors:
        for at in range(indptr[anchor], indptr[anchor + 1], IN_A_LINE):
            fetched ^= indices[at] ^ bits[at]
    items[-1] = fetched  # into the place that is always free, or the compiler would leave the reading out
    for k in range(len(anchors)):
        for at in range(indptr[anchors[k]], indptr[anchors[k] + 1]):
            sums[indices[at]] += np.float64(weight[k]) * tied[at]
    # Without a decision: what is new among so many cannot be guessed, and a wrong guess costs more than a step.
    n_tied = 0
    for anchor in anchors:
        for at in range(indptr[anchor], indptr[anchor + 1]):
            item = indices[at]
            gain = sums[item]
            items[n_tied], gains[n_tied], sums[item] = item, gain, 0
            n_tied += gain > 0
    for row in _highest(gains, n_tied, n):
        n_pool = _joined(slots, pool, n_pool, items[row])
    return n_tied, n_pool


@njit((_PARTS, LONG, LONG, LONG, DOUBLES), cache=True)
def _sum_up(parts, n, n_parts, n_base, weights):  # type: ignore[no-untyped-def]
    for part in range(len(weights)):
        best = 0.0
        for row in range(n):
            if parts[part, row] > best:
                best = parts[part, row]
        for row in range(n):
            share = parts[part, row] / best if parts[part, row] > 0 else 0.0
            parts[part, row] = weights[part] * share
    base, total = parts[n_parts], parts[n_parts + 1]
    base[:n] = 0
    for part in range(n_base):
        for row in range(n):
            base[row] += parts[part, row]
    total[:n] = base[:n]
    for part in range(n_base, n_parts):
        for row in range(n):
            total[row] += parts[part, row]


@njit((_ITEMS, _PARTS, LONG, LONG, LONGS), cache=True)
def _at(items, parts, n_parts, n_base, rows):  # type: ignore[no-untyped-def]
    found, total = np.empty(len(rows), np.int32), np.empty(len(rows))
    their, greatest = np.empty((len(rows), n_parts)), np.zeros(len(rows), np.int64)
    for k in range(len(rows)):
        row = rows[k]
        found[k], total[k] = items[row], parts[n_parts + 1, row]
        for part in range(n_parts):
            their[k, part] = parts[part, row]
            if part < n_base and parts[part, row] > parts[greatest[k], row]:
                greatest[k] = part
    return found, total, their, greatest


@njit((_ITEMS, _PARTS, LONG, LONG, _SCORES, _ITEMS, _SCORES, LONG), cache=True)
def _take(items, parts, n, number, sums, tied, gains, n_tied):  # type: ignore[no-untyped-def]
    for k in range(n_tied):
        sums[tied[k]] = gains[k]
    for row in range(n):
        parts[number, row] = sums[items[row]] if items[row] < len(sums) else 0.0
    for k in range(n_tied):
        sums[tied[k]] = 0


@njit((_ITEMS, _ITEMS, INTS), cache=True)
def _rows(slots, items, asked):  # type: ignore[no-untyped-def]
    rows = np.empty(len(asked), np.int64)
    for k in range(len(asked)):
        rows[k] = slots[slot_of(slots, items, asked[k])] - 1
    return rows
