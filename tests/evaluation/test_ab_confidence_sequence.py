from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from evaluation.ab_test.confidence_sequence import ConfidenceSequence
from features.errors import InvalidInput


def test_the_boundary_is_the_formula_of_the_paper() -> None:
    sequence = ConfidenceSequence(0.95, 10_000)
    information = 2_000 * sequence.rho_squared
    by_hand = np.sqrt(2 * (information + 1) / information * np.log(np.sqrt(information + 1) / 0.05))
    assert sequence.critical_value(2_000) == pytest.approx(by_hand)


def test_at_the_planned_size_it_costs_three_standard_errors_instead_of_two() -> None:
    assert ConfidenceSequence(0.95, 10_000).critical_value(10_000) == pytest.approx(3.035, abs=0.001)
    assert ConfidenceSequence(0.95, 700).critical_value(700) == pytest.approx(3.035, abs=0.001)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_no_other_tuning_is_sharper_at_the_planned_size(confidence: float) -> None:
    def width(log_rho_squared: float) -> float:
        information = 5_000 * np.exp(log_rho_squared)
        return float(2 * (information + 1) / information * np.log(np.sqrt(information + 1) / (1 - confidence)))

    best = optimize.minimize_scalar(width, bracket=(-8, -6)).fun
    assert ConfidenceSequence(confidence, 5_000).critical_value(5_000) == pytest.approx(np.sqrt(best), rel=1e-9)


@given(st.floats(0, 8), st.integers(1, 10**7), st.floats(0.6, 0.999), st.integers(100, 10**6))
def test_the_p_value_is_small_exactly_where_the_interval_excludes_0(
    z: float, units: int, confidence: float, planned_units: int
) -> None:
    sequence = ConfidenceSequence(confidence, planned_units)
    critical = float(sequence.critical_value(units))
    if abs(z - critical) > 1e-9:
        assert (sequence.p_value(z, units) < 1 - confidence) == (z > critical)


def test_many_looks_at_once_are_the_looks_one_by_one() -> None:
    sequence = ConfidenceSequence()
    units = np.array([[10, 100], [1_000, 10_000]])
    assert sequence.critical_value(units)[1, 0] == sequence.critical_value(1_000)
    assert sequence.p_value(np.full((2, 2), 3.0), units).shape == (2, 2)


@pytest.mark.parametrize(("confidence", "planned_units"), [(1.0, 100), (0.0, 100), (0.95, 0)])
def test_settings_out_of_range_are_refused(confidence: float, planned_units: int) -> None:
    with pytest.raises(InvalidInput):
        ConfidenceSequence(confidence, planned_units)
