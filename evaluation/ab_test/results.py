"""What the reading of an A/B test says, as plain frozen results."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from evaluation.ab_test.design import Design
from evaluation.ab_test.sample_ratio import SampleRatio


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its two intervals.

    Attributes:
        value: The estimate.
        low: Lower end for a test that is read once.
        high: Upper end for a test that is read once.
        always_low: Lower end however often one looks.
        always_high: Upper end however often one looks.
    """

    value: float
    low: float
    high: float
    always_low: float
    always_high: float


@dataclass(frozen=True, slots=True)
class Lift:
    """What a variant changed in a metric, compared with the control.

    Attributes:
        metric: The metric's name.
        kind: ``rate``, ``mean`` or ``ratio``.
        variant: The variant compared with the control.
        segment: The column whose value the units share; empty where it is about all of them.
        segment_value: That value.
        control_units: Units in the control.
        variant_units: Units in the variant.
        control_value: The metric in the control, as counted.
        variant_value: The metric in the variant, as counted.
        difference: Variant less control, adjusted for covariates.
        relative: The difference as a share of the control.
        p_value: For a test that is read once.
        always_p_value: However often one looks.
        adjusted_p_value: The one of the two that verdicts rest on, corrected over the family; it is itself outside one.
        variance_reduction: The share of the variance that covariates removed.
    """

    metric: str
    kind: str
    variant: str
    segment: str
    segment_value: str
    control_units: int
    variant_units: int
    control_value: float
    variant_value: float
    difference: Estimate
    relative: Estimate
    p_value: float
    always_p_value: float
    adjusted_p_value: float
    variance_reduction: float

    def verdict(self, confidence: float) -> str:
        """Return ``higher``, ``lower`` or ``undecided``."""
        if not self.adjusted_p_value < 1 - confidence:
            return "undecided"
        return "higher" if self.difference.value > 0 else "lower"


@dataclass(frozen=True, slots=True)
class Held:
    """How a guardrail fared in one variant.

    Attributes:
        lift: The lift of the guarded metric.
        limit: The relative lift that must not be reached.
        verdict: ``held`` where the interval rules the limit out, ``broken`` where it lies beyond, else ``undecided``.
    """

    lift: Lift
    limit: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """Whether a lift differs between the values of a segment column (Cochran's Q).

    Attributes:
        metric: The metric's name.
        variant: The variant compared with the control.
        segment: The column.
        p_value: Of the differences being equal in all its values; for a test that is read once, corrected over all.
    """

    metric: str
    variant: str
    segment: str
    p_value: float


@dataclass(frozen=True, slots=True)
class Size:
    """How large the test is and would have to be for one metric; relative lifts, units of control and variant together.

    Attributes:
        metric: The metric's name.
        variant: The variant compared with the control.
        units: How many there are.
        detectable: The smallest lift found with the wanted power, when the test is read once.
        always_detectable: The same when it is watched.
        effect: The lift one would not want to miss.
        units_needed: Units that find it with the wanted power, when the test is read once.
        always_units_needed: The same when it is watched.
        days_needed: Days that bring ``units_needed`` at the pace so far, from the start; None where no time was given.
        always_days_needed: The same when it is watched.
    """

    metric: str
    variant: str
    units: int
    detectable: float
    always_detectable: float
    effect: float
    units_needed: int
    always_units_needed: int
    days_needed: int | None
    always_days_needed: int | None


@dataclass(frozen=True, slots=True)
class Look:
    """The lift as it stood at the end of a day, of the units that had entered by then."""

    day: date
    lift: Lift


@dataclass(frozen=True, slots=True)
class Analysis:
    """All that an A/B test showed.

    Attributes:
        design: What was asked.
        variants: Names of the variants, the control first.
        units: Units of each variant.
        cross_overs: Units left out because they were seen in several variants.
        sample_ratio: Whether the variants got the units they were meant to get.
        lifts: One for each goal and variant.
        guardrails: One for each guardrail and variant.
        segments: One for each goal, variant and value of a segment.
        heterogeneity: One for each goal, variant and segment column.
        sizes: One for each goal and variant.
        looks: One for each goal, variant and day; empty where no time was given.
        warnings: What a reader must know before the numbers, one sentence each.
    """

    design: Design
    variants: tuple[str, ...]
    units: tuple[int, ...]
    cross_overs: int
    sample_ratio: SampleRatio
    lifts: tuple[Lift, ...]
    guardrails: tuple[Held, ...]
    segments: tuple[Lift, ...]
    heterogeneity: tuple[Heterogeneity, ...]
    sizes: tuple[Size, ...]
    looks: tuple[Look, ...]
    warnings: tuple[str, ...]
