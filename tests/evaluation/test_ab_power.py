from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.power import NormalIndPower

from evaluation.ab_test.confidence_sequence import ConfidenceSequence
from evaluation.ab_test.power import days_needed, detectable_difference, units_needed
from features.errors import InvalidInput


def test_a_tenth_of_a_standard_deviation_needs_1570_units_on_each_side() -> None:
    # (1.960 + 0.842)^2 x 2 / 0.1^2 = 1,569.8 on each side.
    assert units_needed(0.1, 1.0) == 3140


@pytest.mark.parametrize(("share", "power"), [(0.5, 0.8), (0.5, 0.9), (0.9, 0.8), (0.2, 0.7)])
def test_sizes_are_those_of_statsmodels(share: float, power: float) -> None:
    control = NormalIndPower().solve_power(0.05, alpha=0.05, power=power, ratio=(1 - share) / share)
    assert units_needed(0.05, 1.0, control_share=share, power=power) == pytest.approx(control / share, abs=1.01)


@given(st.floats(1e-4, 10), st.floats(1e-2, 100), st.booleans())
def test_the_size_found_detects_the_difference_and_one_unit_less_does_not(
    difference: float, standard_deviation: float, is_watched: bool
) -> None:
    watched = ConfidenceSequence() if is_watched else None
    units = units_needed(difference, standard_deviation, watched=watched)
    assert detectable_difference(units, standard_deviation, watched=watched) <= difference * (1 + 1e-6)
    if units > 2:
        assert detectable_difference(units - 1, standard_deviation, watched=watched) > difference * (1 - 1e-6)


def test_watching_costs_units() -> None:
    assert units_needed(0.1, 1.0) < units_needed(0.1, 1.0, watched=ConfidenceSequence()) < 2 * units_needed(0.1, 1.0)


def test_days_are_rounded_up() -> None:
    assert days_needed(1001, 100) == 11


@pytest.mark.parametrize(
    "mistake",
    [{"standard_deviation": 0.0}, {"control_share": 1.0}, {"power": 0.0}, {"confidence": 1.0}, {"difference": 0.0}],
)
def test_arguments_out_of_range_are_named(mistake: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(mistake))):
        units_needed(**{"difference": 0.1, "standard_deviation": 1.0, **mistake})
    with pytest.raises(InvalidInput, match="units_per_day"):
        days_needed(10, 0)
