"""The reading of an A/B test: from its units to everything a report says."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluation.ab_test.confidence_sequence import ConfidenceSequence
from evaluation.ab_test.contrast import Contrast, FloatArray, Outcome, contrast
from evaluation.ab_test.design import Design, Guardrail, Metric
from evaluation.ab_test.multiplicity import corrected
from evaluation.ab_test.power import days_needed, detectable_difference, units_needed
from evaluation.ab_test.results import Analysis, Estimate, Held, Heterogeneity, Lift, Look, Size
from evaluation.ab_test.sample_ratio import sample_ratio
from evaluation.ab_test.units import Units
from features.errors import InvalidInput

MOST_LOOKS = 60
"""At how many days a lift is followed; of a longer test, evenly spread ones."""
FEW_EVENTS = 10
"""Fewer successes or failures than this in a variant, and the normal approximation of a rate is poor."""
FEW_UNITS = 30
"""The same for a mean or ratio, whatever its distribution."""
SKEWED = 0.2
"""A skewness of the difference that moves one tail of a 95 % interval from 2.5 to 3 % (first Edgeworth term)."""


def analyse(units: Units, design: Design) -> Analysis:
    """Return what ``units`` show of what ``design`` asks.

    Raises:
        InvalidInput: a variant has fewer than two units, or the expected shares name other variants.
    """
    warnings = list(units.warnings)
    counts = np.bincount(units.variant, minlength=len(units.variants)).tolist()
    for name, count in zip(units.variants, counts, strict=True):
        if count < 2:
            raise InvalidInput(f"Variant {name!r} has {count} units that can be compared; it needs at least two.")
    days = _days(units, warnings)
    ratio = sample_ratio(_units_by_day(units, days), _shares(units, design), threshold=design.sample_ratio_threshold)
    if ratio.mismatch:
        once = ratio.p_value < ratio.threshold
        warnings.insert(
            0,
            f"Sample-ratio mismatch ({'read once' if once else 'watched'}, "
            f"p = {ratio.p_value if once else ratio.sequential_p_value:.2g}): the variants did not get the units they "
            "were meant to get. Find out why before believing any lift below.",
        )

    lifts: list[Lift] = []
    segments: list[Lift] = []
    heterogeneity: list[Heterogeneity] = []
    sizes: list[Size] = []
    looks: list[Look] = []
    for comparison in _comparisons(units, design, design.goals):
        lift = comparison.lift(warnings)
        if lift is None:
            continue
        lifts.append(lift)
        sizes.extend(comparison.size(len(days)))
        looks.extend(comparison.looks(units.entered, days))
        for column, labels in units.segments.items():
            parts = list(comparison.segments(column, labels, warnings))
            segments.extend(parts)
            if len(parts) > 1:
                p_value = comparison.heterogeneity([labels == part.segment_value for part in parts])
                heterogeneity.append(Heterogeneity(lift.metric, lift.variant, column, p_value))
    heterogeneity_p_values = corrected([test.p_value for test in heterogeneity], design.correction)
    return Analysis(
        design=design,
        variants=units.variants,
        units=tuple(counts),
        cross_overs=units.cross_overs,
        sample_ratio=ratio,
        lifts=_corrected(lifts, design),
        guardrails=tuple(_guardrails(units, design, warnings)),
        segments=_corrected(segments, design),
        heterogeneity=tuple(
            replace(test, p_value=p) for test, p in zip(heterogeneity, heterogeneity_p_values, strict=True)
        ),
        sizes=tuple(sizes),
        looks=tuple(looks),
        warnings=tuple(dict.fromkeys(warnings)),
    )


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One metric of one variant and the control, before it is settled which units count."""

    metric: str
    kind: str
    variant: str
    outcome: Outcome
    is_control: NDArray[np.bool_]
    is_variant: NDArray[np.bool_]
    design: Design

    def sides(self, part: NDArray[np.bool_] | bool = True) -> tuple[Outcome, Outcome]:
        """Return what control and variant did, of the units in ``part``."""
        return self.outcome[self.is_control & part], self.outcome[self.is_variant & part]

    def lift(
        self, warnings: list[str], part: NDArray[np.bool_] | bool = True, column: str = "", value: str = ""
    ) -> Lift | None:
        """Return the lift among the units in ``part``; None, with a warning, where there is nothing to compare."""
        control, variant = self.sides(part)
        about = f"{self.metric}, {self.variant}{f', {column}={value}' if column else ''}"
        if min(len(control), len(variant)) < 2:
            warnings.append(f"{about}: too few units to compare ({len(control)} and {len(variant)}); left out.")
            return None
        if any(side.denominator is not None and not side.denominator.any() for side in (control, variant)):
            warnings.append(f"{about}: the denominator is 0 for every unit of a side; left out.")
            return None
        estimate = contrast(control, variant)
        if not estimate.standard_error > 0:
            warnings.append(f"{about}: the same for every unit; there is nothing to compare.")
            return None
        sequence = self.design.confidence_sequence
        fixed = estimate.fixed_critical_value(self.design.confidence)
        always = sequence.critical_value(estimate.units)
        p_value = float(estimate.fixed_p_value())
        always_p_value = float(sequence.p_value(estimate.z, estimate.units))
        difference = estimate.difference_interval(fixed), estimate.difference_interval(always)
        relative = estimate.relative_interval(fixed), estimate.relative_interval(always)
        warnings.extend(f"{about}: {doubt}" for doubt in self.doubts(control, variant, estimate))
        # Adjusted for covariates, a control of exactly 0 is only nearly so.
        share = np.nan if control.value == 0 else float(estimate.relative)
        if np.isinf(relative[0][0]):
            warnings.append(f"{about}: the control is not clearly away from 0; a relative lift has no bounds.")
        return Lift(
            metric=self.metric,
            kind=self.kind,
            variant=self.variant,
            segment=column,
            segment_value=value,
            control_units=len(control),
            variant_units=len(variant),
            control_value=control.value,
            variant_value=variant.value,
            difference=_estimate(float(estimate.difference), *difference),
            relative=_estimate(share, *relative),
            p_value=p_value,
            always_p_value=always_p_value,
            adjusted_p_value=p_value if self.design.read_once else always_p_value,
            variance_reduction=float(estimate.variance_reduction),
        )

    def doubts(self, control: Outcome, variant: Outcome, estimate: Contrast) -> Iterable[str]:
        """Return why the normal approximation may be poor."""
        for name, side in (("the control", control), (self.variant, variant)):
            if self.kind == "rate":
                successes = int(side.numerator.sum())
                rarer = min(successes, len(side) - successes)
                if rarer < FEW_EVENTS:
                    what = "successes" if rarer == successes else "failures"
                    yield f"only {rarer} {what} in {name}; rough intervals."
            elif len(side) < FEW_UNITS:
                yield f"only {len(side)} units in {name}; rough intervals."
        if abs(float(estimate.skewness)) > SKEWED:
            yield "a few large values dominate (the difference is skewed); rough intervals."

    def segments(self, column: str, labels: NDArray[np.object_], warnings: list[str]) -> Iterable[Lift]:
        """Return the lift in each value of a segment column, by name."""
        for value in sorted({label for label in labels if label is not None}):
            lift = self.lift(warnings, labels == value, column, value)
            if lift is not None:
                yield lift

    def heterogeneity(self, parts: Sequence[NDArray[np.bool_]]) -> float:
        """Return the p-value of Cochran's Q: sum of w (d - mean)^2, w the inverse variances, chi-square with k - 1."""
        estimates = [contrast(*self.sides(part)) for part in parts]
        difference = np.array([estimate.difference for estimate in estimates])
        weight = np.array([estimate.standard_error for estimate in estimates]) ** -2
        q = float(np.sum(weight * (difference - np.average(difference, weights=weight)) ** 2))
        return float(stats.chi2.sf(q, len(estimates) - 1))

    def size(self, n_days: int) -> Iterable[Size]:
        """Return the size of the test, planned with the variation seen; none where the control may be 0."""
        control, variant = self.sides()
        estimate = contrast(control, variant)
        if np.isinf(estimate.relative_interval(estimate.fixed_critical_value(self.design.confidence))[0]):
            return
        base = abs(float(estimate.control))
        units = len(control) + len(variant)
        share = len(control) / units
        # The one standard deviation that, on both sides, would give the standard error seen.
        spread = float(estimate.standard_error) * math.sqrt(units * share * (1 - share))
        wanted = self.design.effect * base

        def sized(watched: ConfidenceSequence | None) -> tuple[float, int, int | None]:
            plan = {"control_share": share, "power": self.design.power, "confidence": self.design.confidence}
            needed = units_needed(wanted, spread, watched=watched, **plan)
            detectable = detectable_difference(units, spread, watched=watched, **plan) / base
            return detectable, needed, days_needed(needed, units / n_days) if n_days else None

        once, always = sized(None), sized(self.design.confidence_sequence)
        yield Size(
            metric=self.metric,
            variant=self.variant,
            units=units,
            detectable=once[0],
            always_detectable=always[0],
            effect=self.design.effect,
            units_needed=once[1],
            always_units_needed=always[1],
            days_needed=once[2],
            always_days_needed=always[2],
        )

    def looks(self, entered: NDArray[np.datetime64] | None, days: Sequence[date]) -> Iterable[Look]:
        """Return the lift at the end of each of ``days``; those before there is anything to compare have none."""
        if entered is None:
            return
        for i in sorted({round(at) for at in np.linspace(0, len(days) - 1, min(len(days), MOST_LOOKS))}):
            lift = self.lift([], entered < np.datetime64(days[i] + timedelta(days=1)))
            if lift is not None:
                yield Look(days[i], lift)


def _comparisons(units: Units, design: Design, metrics: Iterable[Metric]) -> Iterable[_Comparison]:
    for metric in metrics:
        outcome, kind = units.outcome(metric), units.kind(metric)
        for index, variant in enumerate(units.variants[1:], start=1):
            yield _Comparison(metric.name, kind, variant, outcome, units.variant == 0, units.variant == index, design)


def _estimate(value: float, fixed: tuple[FloatArray, FloatArray], always: tuple[FloatArray, FloatArray]) -> Estimate:
    return Estimate(value, float(fixed[0]), float(fixed[1]), float(always[0]), float(always[1]))


def _days(units: Units, warnings: list[str]) -> list[date]:
    """Return every day of the test, those on which nobody entered included; none where no time was given."""
    if units.entered is None:
        return []
    entered = units.entered.astype("datetime64[D]")
    days = np.arange(entered[0], entered[-1] + 1)
    empty = days[~np.isin(days, entered)]
    if len(empty):
        some = ", ".join(str(day) for day in empty[:3])
        warnings.append(
            f"Nobody entered the test on {len(empty)} of {len(days)} days ({some}{', ...' if len(empty) > 3 else ''}); "
            "check whether data are lost."
        )
    return [date.fromisoformat(str(day)) for day in days]


def _units_by_day(units: Units, days: Sequence[date]) -> NDArray[np.int64]:
    """Return the cumulated units of each variant at the end of each day; one row where no time was given."""
    if units.entered is None:
        return np.bincount(units.variant, minlength=len(units.variants))[None, :]
    day = (units.entered.astype("datetime64[D]") - np.datetime64(days[0])).astype(np.int64)
    counts = np.zeros((len(days), len(units.variants)), dtype=np.int64)
    np.add.at(counts, (day, units.variant), 1)
    return counts.cumsum(axis=0)


def _shares(units: Units, design: Design) -> list[float]:
    if not design.shares:
        return [1.0] * len(units.variants)
    if set(design.shares) != set(units.variants):
        raise InvalidInput(
            f"The expected shares name {', '.join(map(repr, design.shares))}; the variants are "
            f"{', '.join(map(repr, units.variants))}. Give one share for each."
        )
    return [design.shares[name] for name in units.variants]


def _corrected(lifts: Sequence[Lift], design: Design) -> tuple[Lift, ...]:
    p_values = corrected([lift.adjusted_p_value for lift in lifts], design.correction)
    return tuple(replace(lift, adjusted_p_value=p) for lift, p in zip(lifts, p_values, strict=True))


def _guardrails(units: Units, design: Design, warnings: list[str]) -> Iterable[Held]:
    # Each guardrail must hold by itself, so they need no correction for being many.
    for guardrail in design.guarded:
        for comparison in _comparisons(units, design, [guardrail.metric]):
            lift = comparison.lift(warnings)
            if lift is not None:
                yield Held(lift, guardrail.limit, _guarded(guardrail, lift, design))


def _guarded(guardrail: Guardrail, lift: Lift, design: Design) -> str:
    interval = lift.relative
    low, high = (interval.low, interval.high) if design.read_once else (interval.always_low, interval.always_high)
    if guardrail.limit < 0:
        return "held" if low > guardrail.limit else "broken" if high < guardrail.limit else "undecided"
    return "held" if high < guardrail.limit else "broken" if low > guardrail.limit else "undecided"
