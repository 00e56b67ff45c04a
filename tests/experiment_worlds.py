"""Simulated A/B tests whose true lift is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.ab_test.contrast import Contrast, Outcome, contrast


@dataclass(frozen=True)
class Arrivals:
    """Units that enter a test day by day, assigned by a fair coin, and what each then spends.

    A unit buys with probability ``rate``, ``rate (1 + lift)`` in the variant. A buyer counts as 1, or where ``spends``
    as a log-normal amount of log-variance 1, which is as skewed as baskets are.

    Attributes:
        units_per_day: How many enter each day, both sides together.
        rate: The probability to buy in the control.
        lift: The true relative lift, of rate and mean alike.
        spends: Whether amounts or buyers are counted.
    """

    units_per_day: int = 500
    rate: float = 0.1
    lift: float = 0.0
    spends: bool = False

    @property
    def true_difference(self) -> float:
        """Variant less control, in expectation."""
        return self.lift * self.rate * (float(np.exp(0.5)) if self.spends else 1.0)

    def watched(self, n_tests: int, n_days: int, rng: np.random.Generator) -> Contrast:
        """Return the contrast at the end of each day of each test; shape (n_tests, n_days)."""
        variant_units = rng.binomial(self.units_per_day, 0.5, (n_tests, n_days))
        control = self._sums(self.units_per_day - variant_units, self.rate, rng)
        variant = self._sums(variant_units, self.rate * (1 + self.lift), rng)
        return contrast_of_sums(control, variant)

    def _sums(self, units: NDArray[np.int64], rate: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return units, sum and sum of squares so far; shape (3, tests, days)."""
        buyers = rng.binomial(units, rate)
        total = squares = buyers.astype(np.float64)
        if self.spends:
            amounts = rng.lognormal(0, 1, int(buyers.sum()))
            cell = np.repeat(np.arange(buyers.size), buyers.ravel())
            total = np.bincount(cell, amounts, buyers.size).reshape(buyers.shape)
            squares = np.bincount(cell, amounts**2, buyers.size).reshape(buyers.shape)
        return np.stack([units, total, squares]).cumsum(axis=-1)


def contrast_of_sums(control: NDArray[np.float64], variant: NDArray[np.float64]) -> Contrast:
    """Return the contrasts of many tests from units, sum and sum of squares; both of shape (3, ...)."""
    n, m = control[0], variant[0]
    v, w = ((squares - total**2 / units) / (units - 1) / units for units, total, squares in (control, variant))
    nothing = np.zeros_like(v)
    return Contrast(
        control=control[1] / n,
        variant=variant[1] / m,
        control_variance=v,
        variant_variance=w,
        covariance=nothing,
        units=(n + m).astype(np.int64),
        degrees_of_freedom=(v + w) ** 2 / (v**2 / (n - 1) + w**2 / (m - 1)),
        skewness=nothing,
        variance_reduction=nothing,
    )


def correlated(n: int, correlation: float, difference: float, rng: np.random.Generator) -> tuple[Outcome, Outcome]:
    """Return control and variant of ``n`` units each, normal around 10, and a covariate with that correlation to it."""
    covariate = rng.standard_normal((2, n))
    noise = rng.standard_normal((2, n))
    metric = 10 + correlation * covariate + np.sqrt(1 - correlation**2) * noise
    metric[1] += difference
    return (
        Outcome(metric[0], covariates=covariate[0][:, None]),
        Outcome(metric[1], covariates=covariate[1][:, None]),
    )


def clustered(n: int, lift: float, rng: np.random.Generator) -> tuple[Outcome, Outcome]:
    """Return control and variant of ``n`` units each that click on some of their views, each with a rate of its own.

    The true ratio of clicks to views is .2 and .2 (1 + ``lift``). As people differ, views are no independent trials.
    """
    views = 1 + rng.poisson(4, (2, n))
    rates = rng.beta(1, 4, (2, n)) * np.array([[1.0], [1 + lift]])
    clicks = rng.binomial(views, np.minimum(rates, 1)).astype(np.float64)
    return Outcome(clicks[0], views[0].astype(np.float64)), Outcome(clicks[1], views[1].astype(np.float64))


def contrasts(pairs: list[tuple[Outcome, Outcome]]) -> Contrast:
    """Return the contrasts of all ``pairs``; shape (pairs,)."""
    each = [contrast(control, variant) for control, variant in pairs]
    return Contrast(*(np.array([getattr(one, name) for one in each]) for name in Contrast.__slots__))
