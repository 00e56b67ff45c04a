"""What is asked of an A/B test, settled before anybody looks at it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import Field, model_validator

from evaluation.ab_test.confidence_sequence import ConfidenceSequence
from evaluation.ab_test.multiplicity import Correction
from features.errors import InvalidInput
from features.settings import Settings

COUNTS = ("rows", "units")
"""As denominators, how many rows a unit has, and 1. Of a column of zeros and ones, ``clicked`` is the share of units
with a click, ``clicked/units`` the mean number of clicks, and ``clicked/rows`` the share of rows with one."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What is measured of every unit.

    A column of zeros and ones is a rate: the share of units with a 1 in any row. Another column is a mean: of the
    units' sums over their rows. With a denominator it is a ratio: sum over sum.
    """

    numerator: str
    denominator: str | None = None

    @property
    def name(self) -> str:
        """How it is called on the command line and in reports."""
        return f"{self.numerator}/{self.denominator}" if self.denominator else self.numerator

    @classmethod
    def of(cls, text: str) -> Metric:
        """Return the metric called ``text``: ``COL``, or ``NUM/DEN`` for a ratio.

        Raises:
            InvalidInput: a name is missing.
        """
        numerator, slash, denominator = text.partition("/")
        if not numerator or (slash and not denominator):
            raise InvalidInput(f"The metric {text!r} names no column; give COL, or NUM/DEN for a ratio of two columns.")
        return cls(numerator, denominator or None)


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A metric that a variant may not harm by more than a margin (a test of non-inferiority).

    Attributes:
        metric: What is guarded.
        limit: The relative lift that must not be reached: -0.02 forbids a fall by 2 % (higher is better), 0.02 a rise
            by 2 % (lower is better).
    """

    metric: Metric
    limit: float = -0.02

    @classmethod
    def of(cls, text: str) -> Guardrail:
        """Return the guardrail ``COL`` or ``COL:LIMIT%``, as in ``visits:-2%`` or ``unsubscribed:+5%``.

        Raises:
            InvalidInput: the limit is not a percentage other than 0.
        """
        name, colon, limit = text.rpartition(":")
        if not colon:
            return cls(Metric.of(text))
        try:
            value = float(limit.removesuffix("%")) / 100 if limit.endswith("%") else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value == 0 or value <= -1:
            raise InvalidInput(
                f"The guardrail {text!r} has the limit {limit!r}; give COL:-2% where a fall by 2 % must be ruled out, "
                "COL:+2% where a rise must."
            )
        return cls(Metric.of(name), value)


class Design(Settings):
    """Columns, questions and error rates of an A/B test."""

    variant: str
    """Column with the variant of each row."""
    unit: str | None = None
    """Column with what was randomised (a customer's id); its rows are added up. Without it each row is a unit."""
    metrics: tuple[str, ...] = ()
    """Columns the test is meant to move: the family that is corrected for multiplicity, with the ratios."""
    ratios: tuple[str, ...] = ()
    """Ratios NUM/DEN of two columns summed over units, of the same family; DEN may be ``rows`` or ``units``."""
    guardrails: tuple[str, ...] = ()
    """Metrics or ratios that must not be harmed: COL or COL:LIMIT%, by default COL:-2%."""
    covariates: tuple[str, ...] = ()
    """Columns known before the test, for variance reduction; averaged over a unit's rows."""
    segments: tuple[str, ...] = ()
    """Columns by whose values the lift is shown apart; known before the test, one value for each unit."""
    time: str | None = None
    """Column with the time of each row; a unit enters at its first."""
    control: str | None = None
    """The variant the others are compared with; without it one named control, else the first by name."""
    shares: dict[str, float] = {}
    """The share of units each variant was meant to have, for all or none of them; equal shares where none is given."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Of every interval; 1 - confidence is the error rate of the verdicts."""
    planned_units: int = Field(10_000, ge=100)
    """Units of control and variant together at which always-valid intervals are sharpest; never taken from the data."""
    read_once: bool = False
    """Whether verdicts rest on the fixed-horizon p-values: only for a test read once, at an end set beforehand."""
    correction: Correction = "holm"
    """Holm bounds the chance of any false verdict, Benjamini-Hochberg the expected share of false ones."""
    sample_ratio_threshold: float = Field(0.01, gt=0, lt=1)
    """A p-value below it tells of a sample-ratio mismatch."""
    effect: float = Field(0.05, gt=0)
    """The relative lift one would not want to miss, for the size the test needs."""
    power: float = Field(0.8, gt=0, lt=1)
    """The probability with which that lift is to be found."""
    missing_as_zero: bool = False
    """Whether a missing metric is a 0; otherwise it is an error."""

    @model_validator(mode="after")
    def _asks_something(self) -> Design:
        if not (self.metrics or self.ratios or self.guardrails):
            raise ValueError("no metric is given; name at least one metric, ratio or guardrail")
        for ratio in self.ratios:
            if "/" not in ratio:
                raise ValueError(f"the ratio {ratio!r} has no slash; give NUM/DEN")
        return self

    @property
    def goals(self) -> tuple[Metric, ...]:
        """The metrics that the test is meant to move, each once."""
        return tuple(dict.fromkeys([*(Metric(name) for name in self.metrics), *map(Metric.of, self.ratios)]))

    @property
    def guarded(self) -> tuple[Guardrail, ...]:
        """The guardrails, each once."""
        return tuple(dict.fromkeys(map(Guardrail.of, self.guardrails)))

    @property
    def denominators(self) -> tuple[str, ...]:
        """What metrics are divided by, each once."""
        metrics = [*self.goals, *(guardrail.metric for guardrail in self.guarded)]
        return tuple(dict.fromkeys(metric.denominator for metric in metrics if metric.denominator))

    @property
    def number_columns(self) -> tuple[str, ...]:
        """The columns that metrics are made of, each once."""
        metrics = [*self.goals, *(guardrail.metric for guardrail in self.guarded)]
        divisors = [name for name in self.denominators if name not in COUNTS]
        return tuple(dict.fromkeys([*(metric.numerator for metric in metrics), *divisors]))

    @property
    def columns(self) -> tuple[str, ...]:
        """All the columns a table must have, each once."""
        single = [name for name in (self.unit, self.variant, self.time) if name]
        return tuple(dict.fromkeys([*single, *self.number_columns, *self.covariates, *self.segments]))

    @property
    def confidence_sequence(self) -> ConfidenceSequence:
        """The always-valid intervals of this test."""
        return ConfidenceSequence(self.confidence, self.planned_units)
