"""P-values corrected for how many were asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import stats

Correction = Literal["holm", "benjamini-hochberg"]


def corrected(p_values: Sequence[float], correction: Correction) -> list[float]:
    """Return ``p_values`` so that each may be compared with the error rate of the whole family; same order.

    ``holm`` bounds the chance of any false discovery and needs no assumption (Holm, 1979): the k-th smallest of m is
    multiplied by m - k + 1. ``benjamini-hochberg`` bounds the expected share of false discoveries and assumes that the
    tests are independent or positively dependent (Benjamini and Hochberg, 1995).
    """
    p = np.asarray(p_values, dtype=np.float64)
    if len(p) == 0:
        return []
    if correction == "benjamini-hochberg":
        return [float(one) for one in stats.false_discovery_control(p)]
    # statsmodels has Holm too, but collects the garbage of the whole process at every call.
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty_like(p)
    result[order] = np.minimum(stepped, 1)
    return [float(one) for one in result]
