"""Who joins a list: what is asked of one item, and which rows of a pool join, the best first; all of it compiled.

The functions for one item become part of those that call them, and of what is kept on disk of those: after a change of
one that another module calls, change that module too.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from features.compiled import BOOLS, BYTES, DOUBLE, DOUBLES, INTS, LONG, LONGS
from serving.heap import sink


@njit
def refusal(item, in_catalog, visible, stock, published_s, expires_s, now_s):  # type: ignore[no-untyped-def]
    """Return the place in ``UNAVAILABLE`` of the first reason why ``item`` cannot be shown, 0 where it can."""
    if not in_catalog[item]:
        return 1
    if not visible[item]:
        return 2
    if stock[item] <= 0:
        return 3
    if published_s[item] > now_s:
        return 4
    if expires_s[item] <= now_s:
        return 5
    return 0


@njit
def is_among(item, ordered):  # type: ignore[no-untyped-def]
    """Return whether ``item`` is one of those ``ordered``."""
    place = np.searchsorted(ordered, item)
    return place < len(ordered) and ordered[place] == item


@njit
def is_set(item, bits):  # type: ignore[no-untyped-def]
    """Return the bit of ``item``."""
    return (bits[item >> 3] >> (item & 7)) & 1 == 1


@njit
def has_room(item, seen, count, n_seen, start, end, values, limits):  # type: ignore[no-untyped-def]
    """Return whether none of the values of ``item`` was ``seen`` as often as its limit allows."""
    # The values of a list are few: looking through them is quicker than a table of all values.
    for at in range(start[item], end[item]):
        for row in range(n_seen):
            if seen[row] == values[at] and count[row] >= limits[values[at]]:
                return False
    return True


@njit
def counted(item, seen, count, n_seen, start, end, values):  # type: ignore[no-untyped-def]
    """Count the values of ``item`` as seen once more; return what they are seen in, which may have grown."""
    for at in range(start[item], end[item]):
        row = 0
        while row < n_seen and seen[row] != values[at]:
            row += 1
        if row == n_seen:
            if n_seen == len(seen):
                seen = np.concatenate((seen, np.empty(len(seen), np.int32)))
                count = np.concatenate((count, np.empty(len(count), np.int32)))
            seen[row], count[row] = values[at], 0
            n_seen += 1
        count[row] += 1
    return seen, count, n_seen


_AVAILABILITY = (BOOLS, BOOLS, DOUBLES, LONGS, LONGS, DOUBLE)
_LIMITS = (LONGS, LONGS, INTS, INTS)


@njit((INTS, DOUBLES, DOUBLES, LONGS, LONGS, BOOLS, *_AVAILABILITY, INTS, BYTES, *_LIMITS, INTS, LONG), cache=True)
def admitted(  # type: ignore[no-untyped-def]
    items,
    base,
    total,
    first,
    out,
    kept,
    in_catalog,
    visible,
    stock,
    published_s,
    expires_s,
    now_s,
    without,
    bits,
    start,
    end,
    values,
    limits,
    listed,
    n,
):
    """Return the rows that join a list, at most ``n``: those ``first``, then the others, the highest ``total`` first.

    Equal totals come in order of the rows. Only a row whose ``base`` is above 0 and whose ``total`` is above minus
    infinity counts, and none of ``out``. What joins is ``kept`` (all, where that is empty), may be shown, is not among
    those ``without``, has its bit (where there are any), and finds room beside the items ``listed`` already.
    """
    left = np.ones(len(items), np.bool_)
    for row in first:
        left[row] = False
    for row in out:
        left[row] = False
    heap, size = np.empty(len(items), np.int64), 0
    for row in range(len(items)):
        heap[size] = row
        size += left[row] & (base[row] > 0) & (total[row] > -np.inf)
    for at in range(size // 2 - 1, -1, -1):
        sink(total, heap, size, at, True)
    seen, count, n_seen = np.empty(64, np.int32), np.empty(64, np.int32), 0
    for item in listed:
        if item < len(start):
            seen, count, n_seen = counted(item, seen, count, n_seen, start, end, values)
    rows, n_rows, place = np.empty(min(n, len(first) + size), np.int64), 0, 0
    while n_rows < len(rows) and (place < len(first) or size > 0):
        if place < len(first):
            row = first[place]
            place += 1
        else:
            row = heap[0]
            size -= 1
            heap[0] = heap[size]
            sink(total, heap, size, 0, True)
        item = items[row]
        if len(kept) > 0 and not kept[row]:
            continue
        if refusal(item, in_catalog, visible, stock, published_s, expires_s, now_s) != 0 or is_among(item, without):
            continue
        if len(bits) > 0 and not is_set(item, bits):
            continue
        if item < len(start):
            if not has_room(item, seen, count, n_seen, start, end, values, limits):
                continue
            seen, count, n_seen = counted(item, seen, count, n_seen, start, end, values)
        rows[n_rows] = row
        n_rows += 1
    return rows[:n_rows]
