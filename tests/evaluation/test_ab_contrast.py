from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evaluation.ab_test.contrast import Contrast, Outcome, contrast
from features.errors import InvalidInput
from tests.experiment_worlds import clustered, contrast_of_sums, correlated


def made(control: float, variant: float, control_variance: float, variant_variance: float) -> Contrast:
    zero = np.asarray(0.0)
    return Contrast(
        control=np.asarray(control),
        variant=np.asarray(variant),
        control_variance=np.asarray(control_variance),
        variant_variance=np.asarray(variant_variance),
        covariance=zero,
        units=np.asarray(100),
        degrees_of_freedom=np.asarray(98.0),
        skewness=zero,
        variance_reduction=zero,
    )


def test_a_small_test_is_computed_by_hand() -> None:
    estimate = contrast(Outcome(np.array([1.0, 2, 3])), Outcome(np.array([3.0, 4, 5])))
    assert estimate.difference == 2
    assert estimate.relative == 1
    assert estimate.standard_error == pytest.approx(np.sqrt(1 / 3 + 1 / 3))
    assert estimate.degrees_of_freedom == pytest.approx(4)
    assert estimate.units == 6


def test_means_are_compared_as_welch_does() -> None:
    rng = np.random.default_rng(1)
    control, variant = rng.exponential(2, 300), rng.exponential(3, 200)
    estimate = contrast(Outcome(control), Outcome(variant))
    theirs = stats.ttest_ind(variant, control, equal_var=False)
    low, high = theirs.confidence_interval(0.95)
    assert estimate.fixed_p_value() == pytest.approx(theirs.pvalue, rel=1e-9)
    assert estimate.difference_interval(estimate.fixed_critical_value(0.95)) == pytest.approx((low, high), rel=1e-9)


def test_a_ratio_is_sum_over_sum_and_not_the_mean_of_ratios() -> None:
    outcome = Outcome(np.array([1.0, 9]), np.array([1.0, 19]))
    assert outcome.value == pytest.approx(10 / 20)
    assert outcome.influence == pytest.approx([(1 - 0.5) / 10, (9 - 9.5) / 10])


def test_the_variance_of_a_ratio_is_that_of_the_jackknife_over_units() -> None:
    control, _ = clustered(400, 0.0, np.random.default_rng(2))
    assert control.denominator is not None
    leave_one_out = (control.numerator.sum() - control.numerator) / (control.denominator.sum() - control.denominator)
    jackknife = 399 / 400 * np.sum((leave_one_out - leave_one_out.mean()) ** 2)
    estimate = contrast(control, control)
    assert estimate.control_variance == pytest.approx(jackknife, rel=0.01)


def test_views_of_one_person_are_not_taken_for_independent_ones() -> None:
    rng = np.random.default_rng(3)
    control, variant = clustered(500, 0.0, rng)
    assert control.denominator is not None
    rate, views = control.value, control.denominator.sum()
    as_if_independent = rate * (1 - rate) / views
    assert contrast(control, variant).control_variance > 1.3 * as_if_independent


def test_a_covariate_with_correlation_r_removes_r_squared_of_the_variance() -> None:
    estimate = contrast(*correlated(20_000, 0.8, 0.0, np.random.default_rng(4)))
    assert estimate.variance_reduction == pytest.approx(0.64, abs=0.01)


def test_the_adjusted_difference_is_that_of_a_regression() -> None:
    control, variant = correlated(3_000, 0.6, 0.1, np.random.default_rng(5))
    assert control.covariates is not None
    assert variant.covariates is not None
    treated = np.repeat([0.0, 1.0], 3_000)
    design = np.column_stack([np.ones(6_000), treated, np.vstack([control.covariates, variant.covariates])])
    theirs = sm.OLS(np.concatenate([control.numerator, variant.numerator]), design).fit(cov_type="HC1")
    estimate = contrast(control, variant)
    assert estimate.difference == pytest.approx(theirs.params[1], abs=1e-3)
    assert estimate.standard_error == pytest.approx(theirs.bse[1], rel=1e-2)


def test_a_covariate_that_says_nothing_changes_nothing() -> None:
    numerator = np.arange(10.0)
    plain = contrast(Outcome(numerator), Outcome(numerator + 1))
    same = np.ones((10, 1))
    adjusted = contrast(Outcome(numerator, covariates=same), Outcome(numerator + 1, covariates=same))
    assert adjusted.difference == plain.difference
    assert adjusted.standard_error == pytest.approx(plain.standard_error)
    assert adjusted.variance_reduction == 0


def test_the_same_covariate_twice_helps_as_much_as_once() -> None:
    control, variant = correlated(500, 0.6, 0.1, np.random.default_rng(6))
    twice = [
        Outcome(side.numerator, covariates=np.hstack([side.covariates, side.covariates])) for side in (control, variant)
    ]
    assert contrast(*twice).difference == pytest.approx(float(contrast(control, variant).difference))


def test_sums_give_the_contrast_that_the_units_give() -> None:
    rng = np.random.default_rng(7)
    control, variant = rng.gamma(2, 1, 50), rng.gamma(2, 1, 70)
    units = contrast(Outcome(control), Outcome(variant))
    sums = contrast_of_sums(*(np.array([len(side), side.sum(), (side**2).sum()]) for side in (control, variant)))
    assert sums.z == pytest.approx(float(units.z))
    assert sums.degrees_of_freedom == pytest.approx(float(units.degrees_of_freedom))


@given(
    st.floats(-5, 5),
    st.floats(-5, 5),
    st.floats(1e-3, 2),
    st.floats(1e-3, 2),
    st.floats(1, 4),
)
def test_the_relative_interval_excludes_0_only_where_the_difference_does(
    control: float, variant: float, control_variance: float, variant_variance: float, critical: float
) -> None:
    estimate = made(control, variant, control_variance, variant_variance)
    low, high = estimate.difference_interval(np.asarray(critical))
    relative_low, relative_high = estimate.relative_interval(np.asarray(critical))
    assert relative_low <= relative_high
    if np.isfinite(relative_low) and min(abs(low), abs(high)) > 1e-6:
        assert (relative_low > 0) == (low > 0)
        assert (relative_high < 0) == (high < 0)


def test_with_a_control_known_exactly_the_relative_interval_is_the_difference_over_it() -> None:
    estimate = made(10.0, 11.0, 0.0, 0.25)
    assert estimate.relative_interval(np.asarray(2.0)) == pytest.approx((0.0, 0.2))


def test_a_lift_of_a_negative_control_points_the_way_the_metric_went() -> None:
    estimate = made(-10.0, -9.0, 1e-6, 1e-6)
    low, high = estimate.relative_interval(np.asarray(2.0))
    assert estimate.relative == pytest.approx(0.1)
    assert 0.09 < low < 0.1 < high < 0.11


def test_a_control_that_may_be_0_leaves_the_relative_lift_without_bounds() -> None:
    estimate = made(0.1, 5.0, 0.01, 0.01)
    assert estimate.relative_interval(np.asarray(1.96)) == (-np.inf, np.inf)


def test_nobody_and_nothing_to_divide_by_are_refused() -> None:
    one, some = Outcome(np.array([1.0])), Outcome(np.array([1.0, 2.0]))
    with pytest.raises(InvalidInput, match="control has 1 units"):
        contrast(one, some)
    with pytest.raises(InvalidInput, match="denominator of the variant sums to 0"):
        contrast(Outcome(some.numerator, np.ones(2)), Outcome(some.numerator, np.zeros(2)))
