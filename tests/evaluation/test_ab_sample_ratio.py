from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.special import gammaln

from evaluation.ab_test.sample_ratio import sample_ratio, sequential_p_values
from features.errors import InvalidInput


def test_chi_square_of_300_against_250_is_computed_by_hand() -> None:
    # Expected 275 each: 2 x 25^2 / 275 = 4.545, and chi-square with one degree exceeds that with p = .0330.
    ratio = sample_ratio(np.array([[300, 250]]), [1, 1])
    assert ratio.p_value == pytest.approx(0.0330, abs=0.0001)
    assert not ratio.mismatch


def test_the_published_mismatch_of_a_mobile_game_is_flagged() -> None:
    ratio = sample_ratio(np.array([[44_700, 45_489]]), [0.5, 0.5])
    assert ratio.p_value == pytest.approx(0.0086, abs=0.0001)
    assert ratio.mismatch


def test_shares_that_were_meant_to_be_unequal_are_no_mismatch() -> None:
    assert not sample_ratio(np.array([[9_020, 980]]), [9, 1]).mismatch
    assert sample_ratio(np.array([[9_020, 980]]), [1, 1]).mismatch


def test_three_heads_against_a_uniform_prior_have_a_bayes_factor_of_2() -> None:
    # Beta(1, 1): the integral of p^3 is 1/4; the fair coin gives 1/8.
    p_values = sequential_p_values(np.array([[3, 0]]), np.array([0.5, 0.5]), concentration=2)
    assert p_values == pytest.approx([0.5])


def test_the_sequential_p_value_remembers_its_smallest() -> None:
    looks = np.array([[5, 5], [60, 5], [60, 60]])
    p_values = sequential_p_values(looks, np.array([0.5, 0.5]), concentration=10)
    assert p_values[1] < 0.01
    assert p_values[2] == p_values[1]


def test_the_bayes_factor_expects_1_under_the_planned_shares() -> None:
    # Over all 3^4 equally likely assignments to three equal variants: Ville's inequality rests on this mean.
    shares = np.full(3, 1 / 3)
    counts = np.array([np.bincount(way, minlength=3) for way in product(range(3), repeat=4)])
    prior = 30 * shares
    bayes_factors = np.exp(
        gammaln(30) - gammaln(34) + (gammaln(prior + counts) - gammaln(prior)).sum(axis=1) + 4 * np.log(3)
    )
    assert bayes_factors.mean() == pytest.approx(1)
    p_values = sequential_p_values(counts[:, None, :], shares, concentration=30)[:, 0]
    assert p_values == pytest.approx(np.minimum(1, 1 / bayes_factors))


@pytest.mark.parametrize("shares", [[0.5], [0.5, 0.0], [0.5, float("nan")], [-1, 2]])
def test_impossible_shares_are_refused(shares: list[float]) -> None:
    with pytest.raises(InvalidInput, match="shares"):
        sample_ratio(np.array([[10, 10]]), shares)


def test_nobody_at_all_is_refused() -> None:
    with pytest.raises(InvalidInput, match="No unit"):
        sample_ratio(np.array([[0, 0]]), [1, 1])
