"""The promises of the statistics, in simulated tests; ``benchmarks/ab_test.py`` runs more of them."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.ab_test.confidence_sequence import ConfidenceSequence
from evaluation.ab_test.power import units_needed
from evaluation.ab_test.sample_ratio import sequential_p_values
from tests.experiment_worlds import Arrivals, clustered, contrasts, correlated

TESTS = 1_500
FOUR_ERRORS = 4 * (0.95 * 0.05 / TESTS) ** 0.5
"""Four standard errors of a share of 5 % among the simulated tests."""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_261_121)


@pytest.mark.parametrize("spends", [False, True], ids=["rate", "spend"])
def test_looking_every_day_fools_the_fixed_interval_and_not_the_always_valid_one(
    spends: bool, rng: np.random.Generator
) -> None:
    estimates = Arrivals(spends=spends).watched(TESTS, 30, rng)
    fixed = np.abs(estimates.z) > estimates.fixed_critical_value(0.95)
    always = np.abs(estimates.z) > ConfidenceSequence().critical_value(estimates.units)
    assert fixed[:, -1].mean() == pytest.approx(0.05, abs=FOUR_ERRORS)
    assert fixed.any(axis=1).mean() > 0.2
    assert 0 < always.any(axis=1).mean() <= 0.05


def test_the_always_valid_relative_interval_holds_the_true_lift_on_every_day(rng: np.random.Generator) -> None:
    estimates = Arrivals(lift=0.2).watched(TESTS, 30, rng)
    low, high = estimates.relative_interval(ConfidenceSequence().critical_value(estimates.units))
    assert ((low <= 0.2) & (high >= 0.2)).all(axis=1).mean() >= 0.95


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("metric", ["rate", "spend", "ratio", "cuped"])
def test_intervals_read_once_hold_the_true_lift_19_times_in_20(
    metric: str, relative: bool, rng: np.random.Generator
) -> None:
    if metric in {"rate", "spend"}:
        arrivals = Arrivals(units_per_day=4_000, lift=0.2, spends=metric == "spend")
        estimates, difference, lift = arrivals.watched(TESTS, 1, rng), arrivals.true_difference, 0.2
    elif metric == "ratio":
        estimates, difference, lift = contrasts([clustered(400, 0.1, rng) for _ in range(TESTS)]), 0.02, 0.1
    else:
        estimates, difference, lift = contrasts([correlated(300, 0.8, 1.0, rng) for _ in range(TESTS)]), 1.0, 0.1
    critical = estimates.fixed_critical_value(0.95)
    low, high = estimates.relative_interval(critical) if relative else estimates.difference_interval(critical)
    truth = lift if relative else difference
    assert ((low <= truth) & (truth <= high)).mean() == pytest.approx(0.95, abs=FOUR_ERRORS)


def test_cuped_narrows_by_1_less_the_squared_correlation(rng: np.random.Generator) -> None:
    estimates = contrasts([correlated(300, 0.8, 0.0, rng) for _ in range(TESTS)])
    assert np.mean(1 - estimates.variance_reduction) == pytest.approx(0.36, abs=0.01)
    # A variance of n normals has a relative standard error of sqrt(2 / n), 3.7 % here.
    assert np.var(estimates.difference) / (2 / 300) == pytest.approx(0.36, rel=0.15)


def test_a_watched_test_of_the_size_needed_finds_the_lift_as_often_as_planned(rng: np.random.Generator) -> None:
    arrivals = Arrivals(units_per_day=500, rate=0.1, lift=0.2)
    sequence = ConfidenceSequence()
    spread = float(np.sqrt((0.1 * 0.9 + 0.12 * 0.88) / 2))
    days = int(np.ceil(units_needed(0.02, spread, watched=sequence, power=0.8) / 500))
    estimates = arrivals.watched(TESTS, days, rng)
    found = np.abs(estimates.z) > sequence.critical_value(estimates.units)
    assert found[:, -1].mean() == pytest.approx(0.8, abs=0.05)
    assert found.any(axis=1).mean() >= 0.8


def test_a_fair_assignment_watched_daily_is_rarely_accused_and_a_tilted_one_is_caught(
    rng: np.random.Generator,
) -> None:
    def smallest(share: float) -> np.ndarray:
        first = rng.binomial(500, share, (TESTS, 30)).cumsum(axis=1)
        counts = np.stack([first, 500 * np.arange(1, 31) - first], axis=-1)
        return sequential_p_values(counts, np.full(2, 0.5))[:, -1]

    assert (smallest(0.5) < 0.01).mean() <= 0.01
    assert (smallest(0.53) < 0.01).mean() > 0.99
