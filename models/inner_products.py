"""Inner products of one vector with some rows of a table, without a copy of the rows."""

from __future__ import annotations

import numpy as np
from numba import njit

from features.compiled import FLOAT_ROWS, FLOATS, INTS, LONGS


@njit((FLOAT_ROWS, INTS, FLOATS, LONGS), cache=True, fastmath=True)
def inner_products(vectors, rows, told, ends):  # type: ignore[no-untyped-def]
    """Return the inner products of those ``rows`` of ``vectors`` with ``told`` over their first numbers alone.

    Column ``k`` is over the first ``ends[k]`` of them; these ascend. Of a row below 0 they are 0.
    """
    found = np.zeros((len(rows), len(ends)), np.float32)
    for k in range(len(rows)):
        if rows[k] < 0:
            continue
        one, product, start = vectors[rows[k]], np.float32(0), 0
        for scale in range(len(ends)):
            for f in range(start, ends[scale]):
                product += one[f] * told[f]
            found[k, scale], start = product, ends[scale]
    return found
