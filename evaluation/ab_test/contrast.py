"""What a variant did beyond the control, and how that estimate varies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from features.errors import InvalidInput

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the units of one variant did; arrays with one row for each unit.

    Attributes:
        numerator: The metric, or the numerator of a ratio; shape (units,), finite.
        denominator: For a ratio of sums such as clicks / impressions, its denominator; shape (units,), at least 0,
            not all 0. None for a mean or a rate.
        covariates: What was known of the units before the test and could not be changed by it; shape (units, k).
            None for no variance reduction.
    """

    numerator: FloatArray
    denominator: FloatArray | None = None
    covariates: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.numerator)

    def __getitem__(self, part: slice | NDArray[Any]) -> Outcome:
        """Return the outcome of some of the units."""
        return Outcome(
            self.numerator[part],
            None if self.denominator is None else self.denominator[part],
            None if self.covariates is None else self.covariates[part],
        )

    @property
    def value(self) -> float:
        """The mean over units, or the ratio of sums."""
        numerator = float(np.mean(self.numerator))
        return numerator if self.denominator is None else numerator / float(np.mean(self.denominator))

    @property
    def influence(self) -> FloatArray:
        """How much each unit moves ``value``, times the number of units; shape (units,), its mean is 0.

        y - mean(y) for a mean; (y - R d) / mean(d) for a ratio R = sum(y) / sum(d), which is the delta method with
        units as clusters (Deng, Knoblich and Lu, "Applying the delta method in metric analytics", KDD 2018).
        """
        if self.denominator is None:
            return self.numerator - np.mean(self.numerator)
        return (self.numerator - self.value * self.denominator) / np.mean(self.denominator)


@dataclass(frozen=True, slots=True)
class Contrast:
    """The estimates of one variant and of the control, with their covariance.

    All attributes have one shape: that of a number for one test, or any other for many tests at once.

    Attributes:
        control: The control's estimate, adjusted for covariates where there are any.
        variant: The variant's.
        control_variance: Variance of the control's estimate.
        variant_variance: Variance of the variant's estimate.
        covariance: Of the two estimates; 0 without covariates.
        units: Units in both together.
        degrees_of_freedom: Welch's, for the difference.
        skewness: Of the difference; near 0 the normal approximation is good.
        variance_reduction: The share of the difference's variance that covariates removed; 0 without.
    """

    control: FloatArray
    variant: FloatArray
    control_variance: FloatArray
    variant_variance: FloatArray
    covariance: FloatArray
    units: NDArray[np.int64]
    degrees_of_freedom: FloatArray
    skewness: FloatArray
    variance_reduction: FloatArray

    @property
    def difference(self) -> FloatArray:
        """Variant less control."""
        return self.variant - self.control

    @property
    def relative(self) -> FloatArray:
        """The difference as a share of the control's absolute value; not a number where that is 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.control == 0, np.nan, self.difference / np.abs(self.control))

    @property
    def standard_error(self) -> FloatArray:
        """Of the difference."""
        return np.sqrt(self.control_variance + self.variant_variance - 2 * self.covariance)

    @property
    def z(self) -> FloatArray:
        """The difference in standard errors."""
        return self.difference / self.standard_error

    def fixed_critical_value(self, confidence: float) -> FloatArray:
        """Return the half-width in standard errors of an interval for a test that is read once (Welch, 1947)."""
        return np.asarray(stats.t.ppf((1 + confidence) / 2, self.degrees_of_freedom))

    def fixed_p_value(self) -> FloatArray:
        """Return the two-sided p-value for a test that is read once (Welch, 1947)."""
        return np.asarray(2 * stats.t.sf(np.abs(self.z), self.degrees_of_freedom))

    def difference_interval(self, critical_value: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return low and high of the difference, ``critical_value`` standard errors on each side."""
        half = critical_value * self.standard_error
        return self.difference - half, self.difference + half

    def relative_interval(self, critical_value: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return low and high of the relative lift; both infinite where the control is too near 0 to divide by.

        Fieller's set: the r for which ``variant - r control`` is within ``critical_value`` of its standard errors of 0.
        It excludes 0 exactly when ``difference_interval`` does, so that the two never contradict each other, and with
        the critical value of a confidence sequence it is one too, as each r is tested by one (Fieller, "Some problems
        in interval estimation", 1954).
        """
        square = critical_value**2
        a = self.control**2 - square * self.control_variance
        b = self.control * self.variant - square * self.covariance
        c = self.variant**2 - square * self.variant_variance
        bounded = a > 0
        safe = np.where(bounded, a, 1.0)
        root = np.sqrt(np.maximum(b**2 - a * c, 0))
        sign = np.sign(self.control)
        ends = sign * ((b - root) / safe - 1), sign * ((b + root) / safe - 1)
        return np.where(bounded, np.minimum(*ends), -np.inf), np.where(bounded, np.maximum(*ends), np.inf)


def contrast(control: Outcome, variant: Outcome) -> Contrast:
    """Return the estimates of ``variant`` and ``control``, adjusted for covariates where both have them.

    CUPED (Deng, Xu, Kohavi and Walker, "Improving the sensitivity of online controlled experiments by utilizing
    pre-experiment data", WSDM 2013): with covariates x, the estimate m_v becomes m_v - theta'(mean_v(x) - mean(x)),
    theta the regression of the metric on x over both. The variance of the difference falls by the factor 1 - R^2.

    Raises:
        InvalidInput: a side has fewer than two units, or a denominator sums to 0.
    """
    for name, side in (("control", control), ("variant", variant)):
        if len(side) < 2:
            raise InvalidInput(f"The {name} has {len(side)} units; an estimate with an interval needs at least two.")
        if side.denominator is not None and not side.denominator.sum() > 0:
            raise InvalidInput(f"The denominator of the {name} sums to 0; there is nothing to divide by.")
    n_control, n_variant = len(control), len(variant)
    units = n_control + n_variant
    raw = _variance(control.influence) / n_control + _variance(variant.influence) / n_variant

    control_fit, variant_fit = _predictions(control, variant)
    control_rest = control.influence - (control_fit - control_fit.mean())
    variant_rest = variant.influence - (variant_fit - variant_fit.mean())
    v_control, v_variant = _variance(control_rest) / n_control, _variance(variant_rest) / n_variant
    # Both estimates are adjusted towards the mean of x over all units, so they share its error.
    shared = _variance(np.concatenate([control_fit, variant_fit])) / units
    from_control = float(np.mean(control_rest * control_fit)) / units
    from_variant = float(np.mean(variant_rest * variant_fit)) / units
    variance = v_control + v_variant
    third = np.mean(variant_rest**3) / n_variant**2 - np.mean(control_rest**3) / n_control**2
    return Contrast(
        control=np.asarray(control.value - control_fit.mean()),
        variant=np.asarray(variant.value - variant_fit.mean()),
        control_variance=np.asarray(v_control + 2 * from_control + shared),
        variant_variance=np.asarray(v_variant + 2 * from_variant + shared),
        covariance=np.asarray(from_control + from_variant + shared),
        units=np.asarray(units),
        degrees_of_freedom=np.asarray(
            variance**2 / (v_control**2 / (n_control - 1) + v_variant**2 / (n_variant - 1)) if variance else units - 2
        ),
        skewness=np.asarray(third / variance**1.5 if variance else 0.0),
        variance_reduction=np.asarray(1 - variance / raw if raw else 0.0),
    )


def _predictions(control: Outcome, variant: Outcome) -> tuple[FloatArray, FloatArray]:
    """Return what the covariates predict of each unit's influence, less its mean over both sides."""
    if control.covariates is None or variant.covariates is None:
        return np.zeros(len(control)), np.zeros(len(variant))
    denominator = None
    if control.denominator is not None and variant.denominator is not None:
        denominator = np.concatenate([control.denominator, variant.denominator])
    both = Outcome(np.concatenate([control.numerator, variant.numerator]), denominator)
    covariates = np.concatenate([control.covariates, variant.covariates])
    covariates = covariates - covariates.mean(axis=0)
    theta = np.linalg.lstsq(covariates, both.influence, rcond=None)[0]
    fit = covariates @ theta
    return fit[: len(control)], fit[len(control) :]


def _variance(values: FloatArray) -> float:
    return float(np.var(values, ddof=1))
