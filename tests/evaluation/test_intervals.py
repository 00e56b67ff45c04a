"""Bootstrap intervals over users."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.intervals import bootstrap_interval
from features.errors import InvalidInput


def test_an_interval_is_about_two_standard_errors_to_each_side() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    interval = bootstrap_interval(values, np.random.default_rng(2))
    error = values.std() / np.sqrt(400)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.high - interval.mean == pytest.approx(1.96 * error, rel=0.15)
    assert interval.mean - interval.low == pytest.approx(1.96 * error, rel=0.15)


def test_about_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(3)
    intervals = [bootstrap_interval(rng.exponential(1, 100), rng, resamples=200) for _ in range(200)]
    held = np.mean([interval.low <= 1 <= interval.high for interval in intervals])
    assert 0.88 <= held <= 0.99


def test_differences_per_user_are_sharper_than_two_intervals() -> None:
    rng = np.random.default_rng(4)
    user = rng.normal(0, 10, 300)  # users differ far more than models do
    better, worse = user + 1 + rng.normal(0, 0.5, 300), user
    difference = bootstrap_interval(better - worse, rng)
    assert 0.9 < difference.low <= difference.mean <= difference.high < 1.1
    assert bootstrap_interval(better, rng).low < bootstrap_interval(worse, rng).high


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.arange(50.0)
    first, second = (bootstrap_interval(values, np.random.default_rng(5)) for _ in range(2))
    assert first == second


def test_one_user_has_no_interval() -> None:
    with pytest.raises(InvalidInput, match="at least two"):
        bootstrap_interval(np.array([1.0]), np.random.default_rng(6))
