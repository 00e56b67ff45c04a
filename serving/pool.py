"""The items in the running for one ranking, and what each part of the score gives them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from features.compiled import DOUBLES, FLOATS, INTS, LONG, LONGS
from features.hash_table import slot_of
from features.interactions import IntArray

Doubles = NDArray[np.float64]

CALL: Final = 2**32
LAST_CALL: Final = 2**62
ITEM: Final = CALL - 1
IN_A_LINE: Final = 16
"""So many numbers of 32 bits come from memory together."""
_SLOTS = types.Array(types.int32, 1, "C")
_ITEMS = types.Array(types.int32, 1, "C")
_PARTS = types.Array(types.float64, 2, "C")
_TABLE = types.Array(types.int64, 1, "C")


class Pool:
    """A growing list of distinct items with a table of parts; nothing in it is as long as the catalog.

    A hash table with linear probing says where an item stands. The arrays are kept from one ranking to the next, for
    fetching fresh memory takes longer than filling it: use ``cleared`` first, and one pool for each thread.
    """

    def __init__(self) -> None:
        self._n, self._open, self.n_parts = 0, True, 0
        self._items, self._parts = np.zeros(0, np.int32), np.zeros((0, 0))
        self._slots = np.zeros(1, np.int32)
        self._reserve(4_096, 8)

    def cleared(self, n_parts: int, only: IntArray | None) -> Pool:
        """Return the pool for a new ranking of ``n_parts`` parts: empty, or closed with ``only`` in it, in order."""
        _clear(self._slots, self._items, self._n)
        self._n, self._open, self.n_parts = 0, True, n_parts
        if n_parts > len(self._parts):
            self._reserve(len(self._items), n_parts)
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

    def parts(self, rows: NDArray[np.int64]) -> Doubles:
        """Return what each part gives the items at ``rows``; shape (len(rows), parts)."""
        return np.ascontiguousarray(self._parts[: self.n_parts, rows].T)

    def scale(self, weights: Doubles) -> None:
        """Give the best item of each of the first parts its weight, the others less in proportion; below 0 counts 0."""
        _scale(self._parts, self._n, weights)

    def totals(self, n_parts: int) -> Doubles:
        """Return the sum of the first ``n_parts`` parts of each item, added up in their order."""
        return _totals(self._parts, self._n, n_parts)

    def add(self, items: IntArray) -> None:
        """Put ``items`` into the running; those that are already stay, and a closed pool takes no more."""
        if self._open:
            self._room(len(items))
            self._n = _join(self._slots, self._items, self._parts, self._n, items)

    def take(self, number: int, ties: Ties) -> None:
        """Give each item what ``ties`` give it, 0 where they do not know it."""
        _take(self._items, self._parts, self._n, number, ties.table, ties.call)

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
        table: int64; a hash table with linear probing: the number of the call and an item, in 32 bits each, and behind
            them the bits of what the item gains, float64. A slot of another call is empty.
        call: The number of the last call, times 2^32.
    """

    call: int
    table: NDArray[np.int64]
    _slots: NDArray[np.int64]

    def __init__(self) -> None:
        self._reserve(2_048)

    def strongest(
        self, n: int, anchors: IntArray, weight: NDArray[np.float32], indptr: Any, indices: Any, strength: Any
    ) -> IntArray:
        """Return the ``n`` items that gain most by ``anchors``: each neighbour gains ``weight x strength``.

        The neighbours of item ``i`` are at ``indptr[i]:indptr[i + 1]`` of ``indices``. What all of them gain is there
        until the next call.
        """
        while True:
            self.call = self.call + CALL if self.call < LAST_CALL else self._wiped()
            n_tied = _tie(self.table, self.call, self._slots, anchors, weight, indptr, indices, strength)
            if n_tied < len(self._slots):
                return _strongest(self.table, self._slots, n_tied, n)
            self._reserve(4 * len(self._slots))

    def _wiped(self) -> int:
        """Return the first call, for which all slots are empty."""
        self.table[:] = 0
        return CALL

    def _reserve(self, capacity: int) -> None:
        """Make room for ``capacity`` items, in a table that is at most half full."""
        self.call, self._slots = 0, np.zeros(capacity, np.int64)
        self.table = np.zeros(4 * capacity, np.int64)


@njit((_SLOTS, _ITEMS, LONG), cache=True)
def _clear(slots, items, n):  # type: ignore[no-untyped-def]
    if n * 64 > len(slots):  # a table is wiped faster than items are looked up
        slots[:] = 0
        return
    for row in range(n - 1, -1, -1):  # the last to come stands at the end of its run, so no run is broken
        slots[slot_of(slots, items, items[row])] = 0


@njit((_SLOTS, _ITEMS, LONG), cache=True)
def _place(slots, items, n):  # type: ignore[no-untyped-def]
    for row in range(n):
        slots[slot_of(slots, items, items[row])] = row + 1


@njit((_SLOTS, _ITEMS, _PARTS, LONG, INTS), cache=True)
def _join(slots, items, parts, n, new):  # type: ignore[no-untyped-def]
    for k in range(len(new)):
        at = slot_of(slots, items, new[k])
        if slots[at] == 0:
            items[n] = new[k]
            parts[:, n] = 0
            n += 1
            slots[at] = n
    return n


@njit((_TABLE, LONG, LONG), cache=True, inline="always")
def _of_item(table, call, item):  # type: ignore[no-untyped-def]
    """Return the slot of ``item`` in the table of ``Ties``, or the empty one where it belongs."""
    mask = (len(table) >> 1) - 1
    at = (item * 2654435761 >> 8) & mask
    while table[2 * at] >= call and table[2 * at] != call + item:
        at = (at + 1) & mask
    return at


@njit((_TABLE, LONG, _TABLE, INTS, FLOATS, LONGS, INTS, FLOATS), cache=True)
def _tie(table, call, slots, anchors, weight, indptr, indices, strength):  # type: ignore[no-untyped-def]
    """Return how many items have gained something, in order of their ``slots``; len(slots) where there is no room."""
    gained = table.view(np.float64)
    # The rows are far apart in memory: fetched before they are needed, they come many at a time.
    bits = strength.view(np.int32)
    fetched = np.int32(0)
    for k in range(len(anchors)):
        for at in range(indptr[anchors[k]], indptr[anchors[k] + 1], IN_A_LINE):
            fetched ^= indices[at] ^ bits[at]
    slots[-1] = fetched  # into the place that is always free, or the compiler would leave the reading out
    n = 0
    for k in range(len(anchors)):
        for at in range(indptr[anchors[k]], indptr[anchors[k] + 1]):
            item = np.int64(indices[at])
            slot = _of_item(table, call, item)
            gain = np.float64(weight[k]) * strength[at]
            if table[2 * slot] < call:
                if n == len(slots) - 1:
                    slots[n] = slot
                    return n + 1
                table[2 * slot] = call + item
                gained[2 * slot + 1] = gain
                slots[n] = slot
                n += 1
            else:
                gained[2 * slot + 1] += gain
    return n


@njit((_PARTS, LONG, DOUBLES), cache=True)
def _scale(parts, n, weights):  # type: ignore[no-untyped-def]
    for part in range(len(weights)):
        best = 0.0
        for row in range(n):
            if parts[part, row] > best:
                best = parts[part, row]
        for row in range(n):
            share = parts[part, row] / best if parts[part, row] > 0 else 0.0
            parts[part, row] = weights[part] * share


@njit((_PARTS, LONG, LONG), cache=True)
def _totals(parts, n, n_parts):  # type: ignore[no-untyped-def]
    total = np.zeros(n)
    for part in range(n_parts):
        for row in range(n):
            total[row] += parts[part, row]
    return total


@njit((_ITEMS, _PARTS, LONG, LONG, _TABLE, LONG), cache=True)
def _take(items, parts, n, number, table, call):  # type: ignore[no-untyped-def]
    gained = table.view(np.float64)
    for row in range(n):
        slot = _of_item(table, call, np.int64(items[row]))
        if table[2 * slot] >= call:
            parts[number, row] = gained[2 * slot + 1]


@njit((_SLOTS, _ITEMS, INTS), cache=True)
def _rows(slots, items, asked):  # type: ignore[no-untyped-def]
    rows = np.empty(len(asked), np.int64)
    for k in range(len(asked)):
        rows[k] = slots[slot_of(slots, items, asked[k])] - 1
    return rows


@njit(cache=True)
def _worse(scores, one, other):  # type: ignore[no-untyped-def]
    return scores[one] < scores[other] or (scores[one] == scores[other] and one > other)


@njit(cache=True)
def _sink(scores, heap, size, row):  # type: ignore[no-untyped-def]
    """Put ``row`` in the place of the worst, on top, and restore the order of the heap."""
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and _worse(scores, heap[below + 1], heap[below]):
            below += 1
        if not _worse(scores, heap[below], row):
            break
        heap[at] = heap[below]
        at = below
    heap[at] = row


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
            _sink(scores, heap, size, row)
    ordered = np.empty(n, np.int64)
    for place in range(n - 1, -1, -1):
        ordered[place] = heap[0]
        size -= 1
        if size > 0:
            _sink(scores, heap, size, heap[size])
    return ordered


@njit((DOUBLES, DOUBLES, LONG), cache=True)
def best_rows_of(scores, base, n):  # type: ignore[no-untyped-def]
    """Return ``best_rows`` of those rows whose ``base`` is above 0 and whose score is above minus infinity."""
    rows, counted = np.empty(len(scores), np.int64), np.empty(len(scores))
    n_rows = 0
    for row in range(len(scores)):
        if base[row] > 0 and scores[row] > -np.inf:
            rows[n_rows], counted[n_rows] = row, scores[row]
            n_rows += 1
    return rows[best_rows(counted[:n_rows], n)]


@njit((_TABLE, _TABLE, LONG, LONG), cache=True)
def _strongest(table, slots, n_known, n):  # type: ignore[no-untyped-def]
    """Return the ``n`` items of the table that have gained most; all, in order of arrival, where there are no more."""
    gained = table.view(np.float64)
    if n_known <= n:
        items = np.empty(n_known, np.int32)
        for k in range(n_known):
            items[k] = table[2 * slots[k]] & ITEM
        return items
    scores = np.empty(n_known)
    for k in range(n_known):
        scores[k] = gained[2 * slots[k] + 1]
    rows = best_rows(scores, n)
    items = np.empty(n, np.int32)
    for k in range(n):
        items[k] = table[2 * slots[rows[k]]] & ITEM
    return items
