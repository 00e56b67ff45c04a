"""Assignment by hashing: the same in every language, fair, and exclusive within a layer."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from features.errors import InvalidInput
from serving.experiments import Experiment, check_layers, divided, is_held_out, position, variant_of

CASES = json.loads((Path(__file__).parents[1] / "cases" / "assignments.json").read_text(encoding="utf-8"))
UNITS = [f"user-{i}" for i in range(20_000)]


def experiment(**values: object) -> Experiment:
    return Experiment.of(
        {"variants": {"control": {}, "new": {"recipe": "other"}}, "recipe": "for_you"} | values, "test"
    )


@pytest.mark.parametrize("case", CASES["positions"], ids=lambda case: f"{case['purpose']}-{case['unit']}")
def test_a_position_is_that_of_the_published_cases(case: dict[str, str]) -> None:
    assert position(case["purpose"], case["name"], case["unit"]) == case["position"]


@pytest.mark.parametrize("case", CASES["variants"], ids=lambda case: f"{case['experiment']}-{case['unit']}")
def test_a_variant_is_that_of_the_published_cases(case: dict[str, str]) -> None:
    definition = Experiment.of(CASES["experiments"][case["experiment"]], case["experiment"])
    assert variant_of(case["experiment"], definition, case["unit"]) == case["variant"]


def test_the_first_case_can_be_computed_by_any_sha_256() -> None:
    # printf 'experiment/button/ann' | sha256sum  begins with the 13 digits that follow
    case = CASES["positions"][0]
    assert (case["purpose"], case["name"], case["unit"]) == ("experiment", "button", "ann")
    assert case["digits"] == f"{round(case['position'] * 16**13):013x}"


def test_variants_get_their_shares() -> None:
    three = experiment(variants={"a": {"share": 1}, "b": {"share": 2, "recipe": "x"}, "c": {"share": 1}})
    counts = Counter(variant_of("colours", three, unit) for unit in UNITS)
    assert chisquare([counts["a"], counts["b"], counts["c"]], [5_000, 10_000, 5_000]).pvalue > 0.001


def test_two_experiments_assign_independently() -> None:
    pairs = Counter((variant_of("one", experiment(), unit), variant_of("two", experiment(), unit)) for unit in UNITS)
    assert len(pairs) == 4
    assert chisquare(list(pairs.values())).pvalue > 0.001


def test_experiments_of_one_layer_have_no_unit_in_common_and_take_their_share() -> None:
    first = experiment(layer="checkout", traffic=[0, 0.3])
    second = experiment(layer="checkout", traffic=[0.3, 1])
    of_first = {unit for unit in UNITS if variant_of("first", first, unit)}
    of_second = {unit for unit in UNITS if variant_of("second", second, unit)}
    assert not of_first & of_second
    assert of_first | of_second == set(UNITS)
    assert 0.29 < len(of_first) / len(UNITS) < 0.31


def test_more_traffic_leaves_everybody_where_they_were() -> None:
    small, large = experiment(traffic=[0, 0.2]), experiment(traffic=[0, 0.6])
    for unit in UNITS[:2_000]:
        if (before := variant_of("x", small, unit)) is not None:
            assert variant_of("x", large, unit) == before


def test_the_global_holdout_takes_its_share_and_grows_around_those_in_it() -> None:
    small, large = ({unit for unit in UNITS if is_held_out(unit, share)} for share in (0.02, 0.1))
    assert small < large
    assert 0.017 < len(small) / len(UNITS) < 0.023
    assert not any(is_held_out(unit, 0.0) for unit in UNITS)


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(0.01, 100), min_size=1), st.floats(0, 1, exclude_max=True))
def test_every_position_has_a_name(shares: dict[str, float], at: float) -> None:
    assert divided(shares, at) in shares


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_has_a_position(unit: str) -> None:
    assert 0 <= position("experiment", "x", unit) < 1


def test_an_experiment_runs_from_its_start_until_its_end() -> None:
    timed = experiment(starts_at="2026-01-01T00:00:00Z", ends_at="2026-02-01T00:00:00Z")
    moments = [
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 31, 23, tzinfo=UTC),
        datetime(2026, 2, 1, tzinfo=UTC),
    ]
    assert [timed.runs(moment) for moment in moments] == [True, True, False]
    assert not timed.runs(datetime(2025, 12, 31, tzinfo=UTC))


def test_overlapping_experiments_of_a_layer_are_refused() -> None:
    one, other = experiment(layer="home", traffic=[0, 0.6]), experiment(layer="home", traffic=[0.5, 1])
    with pytest.raises(InvalidInput, match=r"'one' and 'other' of layer 'home' overlap"):
        check_layers({"one": one, "other": other})
    later = experiment(layer="home", traffic=[0.5, 1], starts_at="2026-02-01T00:00:00Z")
    ended = experiment(layer="home", traffic=[0, 0.6], ends_at="2026-02-01T00:00:00Z")
    check_layers({"one": ended, "other": later})
    check_layers({"one": experiment(), "other": experiment()})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"variants": {"a": {"recipe": "x"}}}, "at least 2"),
        ({"variants": {"a": {}, "b": {}}}, "nothing to compare"),
        ({"recipe": None}, "in place of which"),
        ({"control": "old"}, r"name \['old'\]"),
        ({"overrides": {"ann": "old"}}, r"name \['old'\]"),
        ({"traffic": [0.5, 0.5]}, "traffic must grow"),
        ({"traffic": [0, 1.5]}, "less than or equal to 1"),
        ({"starts_at": "2026-02-01T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"}, "before ends_at"),
        ({"ends_at": "2026-01-01T00:00:00"}, "timezone"),
        ({"variants": {"a/b": {}, "b": {"recipe": "x"}}}, "pattern"),
        ({"variants": {"a": {"share": 0}, "b": {"recipe": "x"}}}, "greater than 0"),
        ({"variant": {}}, "Extra inputs"),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        experiment(**values)
