"""How large a test must be, and how small a lift a test of a given size can see."""

from __future__ import annotations

import math

from scipy import optimize, special

from evaluation.ab_test.confidence_sequence import ConfidenceSequence
from features.errors import InvalidInput


def detectable_difference(
    units: float,
    standard_deviation: float,
    *,
    control_share: float = 0.5,
    power: float = 0.8,
    confidence: float = 0.95,
    watched: ConfidenceSequence | None = None,
) -> float:
    """Return the smallest difference that a test of ``units`` units finds with probability ``power``.

    (critical value + z(power)) sd sqrt((1 / share + 1 / (1 - share)) / units); the far tail is left out. With
    ``watched`` the critical value is that of the confidence sequence at its last look; as an earlier look may find the
    difference too, the probability is then at least ``power``.

    Args:
        units: Units in control and variant together.
        standard_deviation: Of the metric over units; after variance reduction, sd sqrt(1 - R^2).
        control_share: The share of the units that the control has.
        power: Above 0 and below 1.
        confidence: Of the interval for a test that is read once; ignored when ``watched``.
        watched: How the test is watched, or None when it is read once.

    Raises:
        InvalidInput: an argument is out of its range.
    """
    _check(units=units, standard_deviation=standard_deviation)
    _check_shares(control_share=control_share, power=power, confidence=confidence)
    critical = float(watched.critical_value(units)) if watched else float(special.ndtri((1 + confidence) / 2))
    spread = standard_deviation * math.sqrt((1 / control_share + 1 / (1 - control_share)) / units)
    return (critical + float(special.ndtri(power))) * spread


def units_needed(
    difference: float,
    standard_deviation: float,
    *,
    control_share: float = 0.5,
    power: float = 0.8,
    confidence: float = 0.95,
    watched: ConfidenceSequence | None = None,
) -> int:
    """Return how many units, control and variant together, find ``difference`` with probability ``power``.

    The inverse of ``detectable_difference``, rounded up; the arguments are the same.

    Raises:
        InvalidInput: ``difference`` is 0, or another argument is out of its range.
    """
    _check(difference=abs(difference))

    def excess(log_units: float) -> float:
        return math.log(
            detectable_difference(
                math.exp(log_units),
                standard_deviation,
                control_share=control_share,
                power=power,
                confidence=confidence,
                watched=watched,
            )
            / abs(difference)
        )

    low, high = 0.0, 1.0
    if excess(low) <= 0:
        return 2
    while excess(high) > 0:
        low, high = high, 2 * high
    root = optimize.brentq(excess, low, high, xtol=1e-12)
    # The tolerance keeps a whole number from being rounded up to the next.
    return max(2, math.ceil(math.exp(root) * (1 - 1e-9)))


def days_needed(units: int, units_per_day: float) -> int:
    """Return how many days bring ``units`` units at ``units_per_day``, rounded up.

    Raises:
        InvalidInput: ``units_per_day`` is not above 0.
    """
    _check(units_per_day=units_per_day)
    return math.ceil(units / units_per_day)


def _check(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise InvalidInput(f"{name} is {value}; it must be a finite number above 0.")


def _check_shares(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < 1:
            raise InvalidInput(f"{name} is {value}; it lies between 0 and 1.")
