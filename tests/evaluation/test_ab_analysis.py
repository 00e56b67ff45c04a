from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from evaluation.ab_test.analysis import analyse
from evaluation.ab_test.design import Design, Guardrail, Metric
from evaluation.ab_test.results import Analysis
from evaluation.ab_test.units import units_of
from features.errors import InvalidInput


def analysis_of(frame: pd.DataFrame, **keys: Any) -> Analysis:
    design = Design.of({"variant": "arm", "unit": "customer", **keys}, "design")
    return analyse(units_of(frame, design), design)


def bought(control: int, variant: int, n: int = 1_000, **more: Any) -> pd.DataFrame:
    """A test of n customers on each side, of whom so many bought."""
    return pd.DataFrame(
        {
            "customer": range(2 * n),
            "arm": np.repeat(["control", "new"], n),
            "bought": np.concatenate([np.arange(n) < control, np.arange(n) < variant]).astype(int),
            **more,
        }
    )


def test_rates_and_their_lift_are_computed_by_hand() -> None:
    [lift] = analysis_of(bought(100, 150), metrics=("bought",)).lifts
    assert (lift.kind, lift.control_value, lift.variant_value) == ("rate", 0.1, 0.15)
    assert lift.difference.value == pytest.approx(0.05)
    assert lift.relative.value == pytest.approx(0.5)
    standard_error = np.sqrt(0.1 * 0.9 / 999 + 0.15 * 0.85 / 999)
    assert lift.difference.high - lift.difference.value == pytest.approx(1.961 * standard_error, rel=1e-3)
    assert lift.difference.always_low < lift.difference.low < lift.difference.high < lift.difference.always_high


def test_a_verdict_rests_on_the_always_valid_p_value_unless_the_test_is_read_once() -> None:
    frame = bought(100, 130)
    [watched] = analysis_of(frame, metrics=("bought",)).lifts
    [once] = analysis_of(frame, metrics=("bought",), read_once=True).lifts
    assert watched.p_value == once.p_value < 0.05 < watched.always_p_value
    assert watched.verdict(0.95) == "undecided"
    assert once.verdict(0.95) == "higher"
    [worse] = analysis_of(bought(130, 100), metrics=("bought",), read_once=True).lifts
    assert worse.verdict(0.95) == "lower"


def test_two_goals_are_corrected_by_holm_and_guardrails_are_not_counted_among_them() -> None:
    frame = bought(100, 130)
    frame["same"] = frame["customer"] % 2
    analysis = analysis_of(frame, metrics=("bought", "same"), guardrails=("bought",), read_once=True)
    first, second = analysis.lifts
    assert first.adjusted_p_value == pytest.approx(2 * first.p_value)
    assert second.adjusted_p_value == second.p_value
    assert analysis.guardrails[0].lift.adjusted_p_value == first.p_value


def test_benjamini_hochberg_is_milder_than_holm() -> None:
    frame = bought(100, 130)
    frame["also"] = frame["bought"]
    keys: dict[str, Any] = {"metrics": ("bought", "also"), "read_once": True}
    [holm, _] = analysis_of(frame, **keys).lifts
    [milder, _] = analysis_of(frame, **keys, correction="benjamini-hochberg").lifts
    assert (holm.adjusted_p_value, milder.adjusted_p_value) == pytest.approx((2 * holm.p_value, holm.p_value))


@pytest.mark.parametrize(
    ("variant", "guardrail", "verdict"),
    [
        (1_000, "bought:-20%", "held"),
        (1_000, "bought:-2%", "undecided"),
        (500, "bought:-20%", "broken"),
        (1_000, "bought:+20%", "held"),
        (2_000, "bought:+20%", "broken"),
        (1_000, "bought/rows:-20%", "held"),
    ],
)
def test_a_guardrail_holds_where_the_interval_rules_the_limit_out(variant: int, guardrail: str, verdict: str) -> None:
    [held] = analysis_of(bought(1_000, variant, n=10_000), guardrails=(guardrail,)).guardrails
    assert held.verdict == verdict


@pytest.mark.parametrize("text", ["a:5", "a:0%", "a:much%", ":-2%", "a:-100%", "a:nan%"])
def test_a_limit_that_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Guardrail.of(text)


def test_a_guardrail_is_by_default_a_fall_of_2_percent() -> None:
    assert Guardrail.of("visits") == Guardrail(Metric("visits"), -0.02)
    assert Guardrail.of("a/b:+5%") == Guardrail(Metric("a", "b"), 0.05)


def test_a_sample_ratio_mismatch_is_the_first_thing_said() -> None:
    frame = bought(100, 150).iloc[:1_800]
    analysis = analysis_of(frame, metrics=("bought",))
    assert analysis.sample_ratio.mismatch
    assert analysis.warnings[0].startswith("Sample-ratio mismatch")
    as_planned = analysis_of(frame, metrics=("bought",), shares={"control": 10, "new": 8})
    assert not as_planned.sample_ratio.mismatch


def test_expected_shares_of_other_variants_are_refused() -> None:
    with pytest.raises(InvalidInput, match="name 'old'; the variants are 'control', 'new'"):
        analysis_of(bought(1, 1), metrics=("bought",), shares={"old": 1.0})


def test_segments_show_where_a_lift_comes_from_and_whether_it_differs() -> None:
    phone, desk = bought(100, 300), bought(100, 100)
    desk["customer"] += 10_000
    frame = pd.concat([phone.assign(device="phone"), desk.assign(device="desk")])
    analysis = analysis_of(frame, metrics=("bought",), segments=("device",))
    assert [(part.segment_value, part.variant_value) for part in analysis.segments] == [("desk", 0.1), ("phone", 0.3)]
    [test] = analysis.heterogeneity
    # Two estimates: Q is the square of their difference in standard errors.
    one, other = (np.sqrt((0.1 * 0.9 + rate * (1 - rate)) / 999) for rate in (0.3, 0.1))
    assert test.p_value == pytest.approx(2 * norm.sf(0.2 / np.hypot(one, other)), rel=1e-9)


def test_three_variants_are_each_compared_with_the_control() -> None:
    newer = bought(0, 120).query("arm == 'new'").assign(arm="newer")
    frame = pd.concat([bought(100, 150), newer])
    frame["customer"] = range(len(frame))
    analysis = analysis_of(frame, metrics=("bought",))
    assert [(lift.variant, lift.variant_value) for lift in analysis.lifts] == [("new", 0.15), ("newer", 0.12)]


def test_a_look_is_what_one_would_have_seen_on_that_day() -> None:
    rng = np.random.default_rng(0)
    frame = bought(200, 300, at=pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 5, 2_000), unit="D"))
    looks = analysis_of(frame, metrics=("bought",), time="at").looks
    assert [look.day.isoformat() for look in looks] == [f"2026-01-0{day}" for day in range(1, 6)]
    so_far = frame[frame["at"] < pd.Timestamp("2026-01-04")]
    [then] = analysis_of(so_far, metrics=("bought",)).lifts
    assert looks[2].lift.variant_units == then.variant_units
    assert looks[2].lift.relative.always_low == pytest.approx(then.relative.always_low)


def test_days_on_which_nobody_entered_are_told() -> None:
    days = np.where(np.arange(2_000) % 3 > 0, 0, 4)
    frame = bought(200, 300, at=pd.Timestamp("2026-01-01") + pd.to_timedelta(days, unit="D"))
    analysis = analysis_of(frame, metrics=("bought",), time="at")
    assert "Nobody entered the test on 3 of 5 days (2026-01-02, 2026-01-03, 2026-01-04)" in analysis.warnings[0]


def test_a_long_test_is_followed_on_sixty_days_the_last_included() -> None:
    days = pd.date_range("2026-01-01", periods=1_000)
    frame = bought(200, 300, at=days.append(days))
    looks = analysis_of(frame, metrics=("bought",), time="at").looks
    assert len(looks) <= 60
    assert looks[-1].lift.control_units == 1_000


def test_the_size_needed_is_given_in_units_and_in_days_at_the_pace_so_far() -> None:
    frame = bought(100, 100, at=pd.date_range("2026-01-01", periods=20).repeat(100))
    [size] = analysis_of(frame, metrics=("bought",), time="at", effect=0.1).sizes
    # sd .3002; (1.960 + .842)^2 x 2 x .0901 / .01^2 = 14,141 on each side, 100 a day.
    assert size.units_needed == pytest.approx(28_290, rel=1e-3)
    assert size.days_needed == 283
    assert size.always_units_needed > size.units_needed
    assert size.detectable == pytest.approx(0.1 * np.sqrt(size.units_needed / 2_000), rel=1e-3)


def test_an_outcome_that_never_varies_is_left_out_with_a_warning() -> None:
    analysis = analysis_of(bought(0, 0), metrics=("bought",), guardrails=("bought",))
    assert analysis.lifts == analysis.guardrails == analysis.sizes == ()
    assert any("the same for every unit" in warning for warning in analysis.warnings)


def test_a_control_of_nothing_gives_a_difference_and_no_relative_lift() -> None:
    analysis = analysis_of(bought(0, 50), metrics=("bought",))
    [lift] = analysis.lifts
    assert lift.difference.low > 0
    assert np.isnan(lift.relative.value)
    assert np.isinf(lift.relative.low)
    assert analysis.sizes == ()
    assert any("only 0 successes in the control" in warning for warning in analysis.warnings)
    assert any("a relative lift has no bounds" in warning for warning in analysis.warnings)


def test_too_few_units_are_an_error_for_a_variant_and_a_warning_for_a_segment() -> None:
    with pytest.raises(InvalidInput, match="'new' has 1 units"):
        analysis_of(bought(100, 100).iloc[:1_001], metrics=("bought",))
    frame = bought(100, 150)
    frame["device"] = np.where(frame["customer"] == 0, "watch", "phone")
    analysis = analysis_of(frame, metrics=("bought",), segments=("device",))
    assert [part.segment_value for part in analysis.segments] == ["phone"]
    assert any("device=watch: too few units to compare (1 and 0)" in warning for warning in analysis.warnings)


def test_a_segment_without_a_denominator_is_left_out_and_the_others_stay() -> None:
    frame = bought(100, 150, visits=np.arange(2_000) % 2, device=np.where(np.arange(2_000) % 2, "phone", "desk"))
    analysis = analysis_of(frame, ratios=("bought/visits",), segments=("device",))
    assert [part.segment_value for part in analysis.segments] == ["phone"]
    assert any("device=desk: the denominator is 0 for every unit" in warning for warning in analysis.warnings)


def test_a_few_large_values_and_few_units_make_the_reader_careful() -> None:
    frame = bought(100, 100, n=20)
    frame["spend"] = np.where(frame["customer"] == 39, 1e6, 1.0 + frame["customer"])
    analysis = analysis_of(frame, metrics=("spend",))
    assert any("a few large values dominate" in warning for warning in analysis.warnings)
    assert any("only 20 units in the control" in warning for warning in analysis.warnings)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(40)))
def test_the_order_of_rows_does_not_matter(order: list[int]) -> None:
    frame = bought(7, 12, n=20, spend=np.sqrt(np.arange(40)))
    keys: dict[str, Any] = {"metrics": ("bought",), "ratios": ("spend/rows",)}
    one, other = analysis_of(frame, **keys), analysis_of(frame.iloc[order], **keys)
    for left, right in zip(one.lifts, other.lifts, strict=True):
        assert left.difference.low == pytest.approx(right.difference.low)
        assert left.relative.always_high == pytest.approx(right.relative.always_high)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "no metric is given"),
        ({"ratios": ("a",)}, "has no slash"),
        ({"metrics": ("a",), "confidence": 1.5}, "confidence"),
        ({"metrics": ("a",), "correction": "none"}, "correction"),
        ({"metrics": ("a",), "holdout": 1}, "holdout"),
    ],
)
def test_a_design_that_asks_nothing_or_the_impossible_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Design.of({"variant": "arm", **keys}, "design")
