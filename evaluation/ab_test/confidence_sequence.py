"""Intervals and p-values that stay true however often one looks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from features.errors import InvalidInput


@dataclass(frozen=True)
class ConfidenceSequence:
    """The asymptotic confidence sequence of a mean, as a number of standard errors.

    An interval of ``critical_value`` standard errors on each side, drawn anew after every unit, holds the truth at all
    times at once with probability ``confidence``, once there are enough units for the central limit theorem. So one
    may stop at any look, for any reason. The price is width: at ``planned_units`` it is 3.03 standard errors for 95 %
    where a single look needs 1.96, and it grows slowly before and after.

    With n units and tuning rho, the half-width in standard errors is

        sqrt(2 (n rho^2 + 1) / (n rho^2) log(sqrt(n rho^2 + 1) / alpha)),

    the mixture boundary of Robbins (1970) in the form of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform
    central limit theory and asymptotic confidence sequences", Annals of Statistics 52(6), 2024. Inverted,
    it is the p-value of the mixture sequential probability ratio test (Johari, Koomen, Pekelis and Walsh, 2022).

    Attributes:
        confidence: How often the whole sequence holds the truth, above 0 and below 1.
        planned_units: The number of units at which the interval is to be sharpest. To be chosen before the data are
            seen: chosen afterwards, it undoes the guarantee.
    """

    confidence: float = 0.95
    planned_units: int = 10_000

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise InvalidInput(f"confidence is {self.confidence}; it lies between 0 and 1, for example 0.95.")
        if self.planned_units < 1:
            raise InvalidInput(f"planned_units is {self.planned_units}; it is at least 1.")

    @cached_property
    def rho_squared(self) -> float:
        """The tuning that makes the interval sharpest at ``planned_units``: (-W(-alpha^2 / e) - 1) / planned_units.

        W is the lower branch of Lambert's function (Howard, Ramdas, McAuliffe and Sekhon, 2021).
        """
        alpha = 1 - self.confidence
        return float((-special.lambertw(-(alpha**2) / np.e, -1).real - 1) / self.planned_units)

    def critical_value(self, units: ArrayLike) -> NDArray[np.float64]:
        """Return the half-width in standard errors after each of ``units``, each at least 1; any shape."""
        information = np.asarray(units, dtype=np.float64) * self.rho_squared
        log = np.log(np.sqrt(information + 1) / (1 - self.confidence))
        return np.asarray(np.sqrt(2 * (information + 1) / information * log))

    def p_value(self, z: ArrayLike, units: ArrayLike) -> NDArray[np.float64]:
        """Return the always-valid p-value of estimates ``z`` standard errors from 0 after ``units``; shapes broadcast.

        It is below ``1 - confidence`` exactly where the interval excludes 0.
        """
        information = np.asarray(units, dtype=np.float64) * self.rho_squared
        log = 0.5 * np.log1p(information) - np.square(z) * information / (2 * (information + 1))
        return np.asarray(np.exp(np.minimum(log, 0)))
