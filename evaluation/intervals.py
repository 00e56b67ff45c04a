"""How sure a mean over users is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from features.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over users and the interval that holds it with the asked confidence."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: NDArray[np.float64], rng: np.random.Generator, *, confidence: float = 0.95, resamples: int = 1000
) -> Interval:
    """Return the mean of ``values`` and its percentile bootstrap interval (Efron, 1979).

    Users are drawn, not their events: what one person does is not independent. For the difference of two models pass
    the differences per user, which is the paired comparison and much sharper than two intervals side by side.

    Args:
        values: One value for each user; shape (users,).
        rng: Draws the resamples.
        confidence: How often such intervals hold the true mean, 0 to 1.
        resamples: How many times the users are drawn anew.

    Raises:
        InvalidInput: there are fewer than two users.
    """
    if len(values) < 2:
        raise InvalidInput(f"An interval over users needs at least two of them; there is {len(values)}.")
    # The batch bounds memory to about 80 MB whatever the number of users.
    batch = max(1, min(resamples, 10_000_000 // len(values)))
    bounds = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=resamples,
        batch=batch,
        confidence_level=confidence,
        method="percentile",
        rng=rng,
    ).confidence_interval
    return Interval(float(np.mean(values)), float(bounds.low), float(bounds.high))
