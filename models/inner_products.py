"""Vectors in half the room, and inner products with them: what is looked at here and there stays near the processor."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.compiled import FLOATS, INTS, LONGS, SHORT_ROWS

LARGEST: Final = np.iinfo(np.int16).max


def quantized(vectors: NDArray[np.floating]) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Return ``codes`` of two bytes and a ``unit`` for each row, ``vectors`` being nearly their products.

    The largest number of a row has the code 32,767 or -32,767; of a row of zeros both are 0.
    """
    unit = np.abs(vectors).max(axis=1, initial=0) / LARGEST
    codes = np.round(vectors / np.where(unit > 0, unit, 1)[:, np.newaxis])
    return codes.astype(np.int16), unit.astype(np.float32)


@njit((SHORT_ROWS, FLOATS, INTS, FLOATS, LONGS), cache=True, fastmath=True)
def inner_products(codes, unit, rows, told, ends):  # type: ignore[no-untyped-def]
    """Return the inner products of ``told`` and those ``rows`` of what is ``quantized``, over their first numbers.

    Column ``k`` is over the first ``ends[k]`` of them; these ascend. Of a row below 0 they are 0.
    """
    found = np.zeros((len(rows), len(ends)), np.float32)
    for k in range(len(rows)):
        if rows[k] < 0:
            continue
        # Without signs: an index that may count from the end is looked at each time, and one number follows another.
        row, start, total = np.uintp(rows[k]), np.uintp(0), np.float32(0)
        for column in range(len(ends)):
            product, end = np.float32(0), np.uintp(ends[column])
            for f in range(start, end):
                product += np.float32(codes[row, f]) * told[f]
            total, start = total + product, end
            found[k, column] = total * unit[row]
    return found


@njit((SHORT_ROWS, FLOATS, INTS, FLOATS, LONGS, FLOATS), cache=True)
def compared_products(codes, unit, rows, told, ends, usual):  # type: ignore[no-untyped-def]
    """Return the ``inner_products``, and behind them each by what is ``usual`` in its column; none of these is 0."""
    n = len(ends)
    found = np.empty((len(rows), 2 * n), np.float32)
    found[:, :n] = inner_products(codes, unit, rows, told, ends)
    found[:, n:] = found[:, :n] / usual
    return found
