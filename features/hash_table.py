"""Hash tables with linear probing, for compiled code: where the row of a number stands.

A slot holds 1 + a row, or 0 where it is empty; the numbers of the rows stand in an array of their own. These functions
become part of those that call them, and of what is kept on disk of those: after a change here, change them too.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from features.compiled import INT, INTS, LONG


@njit((LONG,), cache=True, inline="always")
def empty_slots(n):  # type: ignore[no-untyped-def]
    """Return a table with room for ``n`` rows, at most half full with them."""
    n_slots = 2
    while n_slots < 2 * n:
        n_slots *= 2
    return np.zeros(n_slots, np.int32)


@njit((INTS, INTS, INT), cache=True, inline="always")
def slot_of(slots, numbers, number):  # type: ignore[no-untyped-def]
    """Return the slot that holds the row of ``number``, or the empty one where it belongs.

    Slots have no sign: a place that has one might count from the end, and is looked at each time.
    """
    mask, one = np.uintp(len(slots) - 1), np.uintp(1)
    # not the lowest bits of the product: multiples of 16, as first sizes of an article may be, would share a few slots
    at = (np.uintp(number) * np.uintp(2654435761) >> np.uintp(8)) & mask
    while slots[at] != 0 and numbers[np.uintp(slots[at] - 1)] != number:
        at = (at + one) & mask
    return at


@njit(inline="always")
def place_rows(slots, numbers, n):  # type: ignore[no-untyped-def]
    """Put the rows of the first ``n`` of ``numbers``, into their slots; of equal ones the last stays."""
    for row in range(n):
        slots[slot_of(slots, numbers, numbers[row])] = row + 1
