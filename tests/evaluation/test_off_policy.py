"""Off-policy estimates against sums by hand, against worlds whose truth is known, and from files."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from evaluation.__main__ import app
from evaluation.off_policy.analysis import AnalysisSettings, analyse, analyse_rankings
from evaluation.off_policy.estimators import clipped_ips, direct_method, doubly_robust, ips, mean_interval, snips
from evaluation.off_policy.files import Question, analyse_file
from evaluation.off_policy.logs import LoggedDecisions, LoggedRankings
from evaluation.off_policy.overlap import overlap_of
from evaluation.off_policy.rankings import places_of, ranking_ips, ranking_snips
from evaluation.off_policy.reward_model import Target, predictions
from features.command_line import run
from features.errors import InvalidInput, NotFound
from tests.decision_worlds import LoggedWorld, RankingWorld

HAND = LoggedDecisions(
    reward=np.array([1.0, 0.0, 2.0, 1.0]),
    propensity=np.array([0.5, 0.5, 0.25, 0.8]),
    target=np.array([0.25, 0.5, 0.75, 0.0]),  # weights 0.5, 1, 3, 0
    predicted=np.array([0.5, 0.5, 1.0, 1.0]),
    predicted_value=np.array([0.4, 0.6, 1.2, 0.8]),
)
RATES = np.array([[0.30, 0.10, 0.05, 0.20], [0.05, 0.25, 0.10, 0.15], [0.10, 0.05, 0.30, 0.20]])
LOGGING = np.array([[0.4, 0.3, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4]])
TARGET = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.6, 0.1, 0.2], [0.1, 0.1, 0.6, 0.2]])


def decisions(world: LoggedWorld, **model: np.ndarray) -> LoggedDecisions:
    return LoggedDecisions(world.reward, world.propensity, world.target_probability, **model)


def with_model(world: LoggedWorld, rates: np.ndarray) -> LoggedDecisions:
    """Return the log with a reward model that believes in ``rates``."""
    value = (world.target * rates).sum(axis=1)
    return decisions(world, predicted=rates[world.taste, world.action], predicted_value=value[world.taste])


def test_inverse_propensity_scoring_by_hand():
    assert ips(HAND).mean() == pytest.approx((0.5 * 1 + 3 * 2) / 4)


def test_self_normalisation_divides_by_the_weights_by_hand():
    assert snips(HAND).mean() == pytest.approx((0.5 * 1 + 3 * 2) / (0.5 + 1 + 3))


def test_clipping_cuts_the_largest_weight_by_hand():
    assert clipped_ips(HAND, cap=2.5).mean() == pytest.approx((0.5 * 1 + 2.5 * 2) / 4)
    assert clipped_ips(HAND).mean() == pytest.approx((0.5 * 1 + 2 * 2) / 4)  # the square root of 4 rows is 2


def test_the_direct_method_is_the_mean_of_expected_rewards_by_hand():
    assert direct_method(HAND).mean() == pytest.approx((0.4 + 0.6 + 1.2 + 0.8) / 4)


def test_doubly_robust_adds_the_weighted_residuals_by_hand():
    corrections = 0.5 * (1 - 0.5) + 1 * (0 - 0.5) + 3 * (2 - 1)
    assert doubly_robust(HAND).mean() == pytest.approx((3.0 + corrections) / 4)


def test_judging_the_logging_policy_itself_gives_what_was_earned():
    log = replace(HAND, target=HAND.propensity)

    assert ips(log).mean() == snips(log).mean() == pytest.approx(1.0)


@given(
    rewards=st.lists(st.floats(-10, 10), min_size=2, max_size=30),
    shift=st.floats(-5, 5),
    scale=st.floats(0.1, 5),
    seed=st.integers(0, 99),
)
@settings(max_examples=50, deadline=None)
def test_self_normalised_estimates_and_their_intervals_move_with_the_unit_of_reward(rewards, shift, scale, seed):
    rng = np.random.default_rng(seed)
    reward = np.array(rewards)
    log = LoggedDecisions(reward, rng.uniform(0.1, 1, len(reward)), rng.uniform(0.1, 1, len(reward)))

    one = mean_interval(snips(log))
    other = mean_interval(snips(replace(log, reward=scale * reward + shift)))

    for name in ("mean", "low", "high"):
        assert getattr(other, name) == pytest.approx(scale * getattr(one, name) + shift, abs=1e-6)


def test_an_interval_without_skewness_is_the_normal_one():
    terms = np.array([-1.0, 1.0] * 50)

    interval = mean_interval(terms)

    assert interval.high == pytest.approx(1.959964 * np.std(terms, ddof=1) / 10)
    assert interval.low == -interval.high


def test_rare_rewards_stretch_the_interval_upwards():
    interval = mean_interval(np.array([1.0] * 5 + [0.0] * 995))

    assert interval.high - interval.mean > 1.3 * (interval.mean - interval.low)
    assert interval.low > 0


def test_repeating_every_row_of_a_unit_adds_no_certainty():
    terms = np.random.default_rng(0).exponential(size=200)

    once = mean_interval(terms)
    tenfold = mean_interval(np.repeat(terms, 10), unit=np.repeat(np.arange(200), 10))

    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high), abs=1e-12)
    assert mean_interval(np.repeat(terms, 10)).low > once.low


def test_of_a_single_unit_nothing_is_known():
    interval = mean_interval(np.array([3.0]))

    assert (interval.mean, interval.low, interval.high) == (3.0, -np.inf, np.inf)


def test_estimators_are_unbiased_and_their_intervals_hold_the_truth():
    """600 logs: coverage within three standard errors (0.9 % each) of 95 %, bias within four of its own."""
    rng = np.random.default_rng(11)
    wrong = np.full_like(RATES, 0.3)
    held: dict[str, list[bool]] = {"IPS": [], "SNIPS": [], "doubly robust": []}
    errors: dict[str, list[float]] = {name: [] for name in held}
    for _ in range(600):
        world = LoggedWorld.of(1500, rng, RATES, LOGGING, TARGET)
        for one in analyse(with_model(world, wrong)).answers[0].estimates:
            if one.estimator in held:
                held[one.estimator].append(one.value.low <= world.truth <= one.value.high)
                errors[one.estimator].append(one.value.mean - world.truth)

    for name in held:
        assert 0.923 <= np.mean(held[name]) <= 0.977, name
        assert abs(np.mean(errors[name])) < 4 * np.std(errors[name]) / np.sqrt(600), name


def test_a_right_model_makes_doubly_robust_steadier_than_weights_alone():
    rng = np.random.default_rng(12)
    logs = [with_model(LoggedWorld.of(1000, rng, RATES * 3, LOGGING, TARGET), RATES * 3) for _ in range(100)]

    assert np.std([doubly_robust(log).mean() for log in logs]) < 0.9 * np.std([ips(log).mean() for log in logs])


def test_the_difference_is_surer_than_two_intervals_side_by_side():
    world = LoggedWorld.of(5000, np.random.default_rng(2), RATES, LOGGING, 0.9 * LOGGING + 0.1 * TARGET)

    analysis = analyse(decisions(world))

    one = next(one for one in analysis.answers[0].estimates if one.estimator == "SNIPS")
    apart = (one.value.high - one.value.low) + (analysis.logged.high - analysis.logged.low)
    assert one.difference.mean == pytest.approx(one.value.mean - analysis.logged.mean)
    assert one.difference.high - one.difference.low < apart / 4


def test_effective_sample_size_by_hand():
    overlap = overlap_of(HAND.weight, HAND.reward)

    assert overlap.effective_sample_size == pytest.approx(4.5**2 / (0.25 + 1 + 9))
    assert overlap.effective_rewards == pytest.approx(6.5**2 / (0.25 + 36))
    assert overlap.max_weight == 3
    assert overlap.largest_share == pytest.approx(3 / 4.5)


def test_few_rows_that_the_target_policy_would_choose_are_refused():
    world = LoggedWorld.of(
        2000,
        np.random.default_rng(3),
        RATES,
        np.tile([0.97, 0.01, 0.01, 0.01], (3, 1)),
        np.tile([0, 1, 0, 0.0], (3, 1)),
    )

    answer = analyse(decisions(world)).answers[0]

    assert answer.estimates == ()
    assert "decisions of the target policy; at least 100 are due" in answer.refusals[0]


def test_removing_the_overlap_fires_the_refusal():
    """The log never chooses arm 0, which the target policy chooses half of the time."""
    never = np.tile([0.0, 0.4, 0.3, 0.3], (3, 1))
    half = np.tile([0.5, 0.3, 0.1, 0.1], (3, 1))
    world = LoggedWorld.of(5000, np.random.default_rng(4), RATES, never, half)

    by_weights = analyse(decisions(world)).answers[0]
    known = analyse(decisions(world, unsupported_share=0.5)).answers[0]

    assert by_weights.estimates == known.estimates == ()
    assert any("the log misses choices of the target policy" in reason for reason in by_weights.refusals)
    assert any("50.0% of the target policy's choices are arms that were never logged" in r for r in known.refusals)


def test_propensities_that_are_too_small_are_refused():
    world = LoggedWorld.of(5000, np.random.default_rng(5), RATES, LOGGING, TARGET)

    answer = analyse(replace(decisions(world), propensity=world.propensity / 2)).answers[0]

    assert any("the propensities are too small" in reason for reason in answer.refusals)


def test_a_log_without_a_reward_is_refused():
    log = LoggedDecisions(np.zeros(500), np.full(500, 0.5), np.full(500, 0.5))

    assert "nothing to compare" in analyse(log).answers[0].refusals[0]


def test_few_rewards_are_warned_of():
    reward = np.zeros(5000)
    reward[:8] = 1

    answer = analyse(LoggedDecisions(reward, np.full(5000, 0.5), np.full(5000, 0.5))).answers[0]

    assert "rest on 8.0 rewards" in answer.warnings[0]
    assert answer.estimates


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"propensity": [0.5, 0.0]}, r"1 of 2 rows have a propensity that is not above 0 .* \(first: row 2, 0\.0\)"),
        ({"propensity": [1.2, 0.5]}, r"propensity .* \(first: row 1, 1\.2\)"),
        ({"propensity": [np.nan, 0.5]}, r"propensity .* \(first: row 1, missing\)"),
        ({"target": [0.5, -0.1]}, r"target probability that is not between 0 and 1"),
        ({"target": [np.nan, 0.1]}, r"target probability .* missing"),
        ({"reward": [np.nan, 1.0]}, r"reward that is not finite \(first: row 1, missing\)"),
        ({"reward": [1.0, np.inf]}, r"reward that is not finite \(first: row 2, inf\)"),
        ({"reward": []}, "There is no logged decision"),
        ({"target": [0.5]}, r"2 rewards and target has shape \(1,\)"),
        ({"predicted": [0.5, 0.5]}, "both predicted and predicted_value"),
    ],
)
def test_bad_logs_are_refused_with_the_first_bad_row(change, message):
    columns = {"reward": [1.0, 0.0], "propensity": [0.5, 0.5], "target": [0.5, 0.5]} | change

    with pytest.raises(InvalidInput, match=message):
        LoggedDecisions(**{name: np.array(values) for name, values in columns.items()})


def test_negative_rewards_count_as_what_was_lost():
    log = LoggedDecisions(np.array([-2.0, 1.0]), np.array([0.5, 0.5]), np.array([0.5, 0.5]))

    assert ips(log).mean() == -0.5


def test_a_target_that_chooses_nothing_of_the_log_is_refused():
    log = LoggedDecisions(np.ones(300), np.full(300, 0.5), np.zeros(300))

    assert analyse(log).answers[0].estimates == ()
    with pytest.raises(InvalidInput, match="probability 0 to everything that was logged"):
        snips(log)


def test_the_reward_model_finds_which_arm_suits_whom_and_never_sees_its_own_row():
    rng = np.random.default_rng(6)
    world = LoggedWorld.of(6000, rng, RATES, LOGGING, TARGET)

    predicted, value = predictions(
        world.action,
        world.reward,
        Target(TARGET, world.taste),
        world.taste[:, None].astype(float),
        np.array([True]),
        rng.permutation(6000) % 5,
        rng,
    )

    assert np.mean(np.abs(predicted - RATES[world.taste, world.action])) < 0.03
    assert value.mean() == pytest.approx(world.truth, abs=0.02)


# --- rankings ---------------------------------------------------------------------------------------------------


def two_rankings(*, given_above: bool) -> LoggedRankings:
    return LoggedRankings(
        ranking=np.array([7, 7, 9, 9]),
        position=np.array([1, 2, 2, 1]),
        reward=np.array([0.0, 1.0, 1.0, 1.0]),
        propensity=np.array([0.5, 0.5, 0.25, 0.5]),
        target=np.array([1.0, 0.25, 0.5, 0.5]),
        given_above=given_above,
    )


def test_rankings_by_hand():
    """Ranking 7: ratios 2 and 1/2, clicked second. Ranking 9: ratios 1 and 2, both clicked."""
    above, over_all = places_of(two_rankings(given_above=True)), places_of(two_rankings(given_above=False))

    assert ranking_ips(over_all, over_all.weight["independent"]).tolist() == [0.5, 1 + 2]
    assert ranking_ips(above, above.weight["cascade"]).tolist() == [2 * 0.5, 1 + 1 * 2]
    assert ranking_ips(above, above.weight["whole list"]).tolist() == [1.0, 2 + 2]
    # First places: (2 x 0 + 1 x 1) / 3; second places: (.5 x 1 + 2 x 1) / 2.5.
    assert ranking_snips(over_all, over_all.weight["independent"]).mean() == pytest.approx(1 / 3 + 1)


def test_a_ranking_of_one_place_is_a_decision():
    world = LoggedWorld.of(2000, np.random.default_rng(8), RATES, LOGGING, TARGET)
    log = decisions(world)
    rankings = LoggedRankings(
        np.arange(2000), np.ones(2000, dtype=int), log.reward, log.propensity, log.target, given_above=True
    )

    single = {one.estimator: one.value for one in analyse(log).answers[0].estimates}
    for answer in analyse_rankings(rankings).answers:
        for one in answer.estimates:
            assert one.value.mean == pytest.approx(single[one.estimator].mean, rel=1e-12)
            assert one.value.low == pytest.approx(single[one.estimator].low, rel=1e-9)


def test_a_cascade_is_estimated_without_bias_where_independent_places_are_not():
    world = RankingWorld(np.array([0.5, 0.3, 0.2, 0.1]), slots=3, stop=1.0)
    rng = np.random.default_rng(9)
    logging, target = np.ones(4), np.array([6.0, 3.0, 2.0, 1.0])
    shown, clicks, propensity, of_target = world.rankings(60_000, rng, logging, target)
    truth = world.value(target)
    rows, slots = np.divmod(np.arange(shown.size), 3)
    columns = (rows, slots + 1, clicks.ravel(), propensity.ravel(), of_target.ravel())

    answers = {a.assumption: a for a in analyse_rankings(LoggedRankings(*columns, given_above=True)).answers}
    wrong = analyse_rankings(LoggedRankings(*columns, given_above=False), AnalysisSettings(max_unsupported_share=0.9))

    for assumption in ("cascade", "whole list"):
        for one in answers[assumption].estimates:
            assert one.value.low < truth < one.value.high
    cascade, whole = (answers[name].estimates[0].value for name in ("cascade", "whole list"))
    assert cascade.high - cascade.low < whole.high - whole.low
    assert all(not one.value.low < truth < one.value.high for one in wrong.answers[0].estimates)


def test_a_long_list_is_refused_where_places_alone_are_not():
    rng = np.random.default_rng(10)
    n, k = 2000, 8
    ratio = rng.choice([0.2, 1.8], size=(n, k))
    rows, slots = np.divmod(np.arange(n * k), k)
    columns = (rows, slots + 1, (rng.random(n * k) < 0.2) * 1.0, np.full(n * k, 0.5), (ratio / 2).ravel())

    above = {a.assumption: a for a in analyse_rankings(LoggedRankings(*columns, given_above=True)).answers}
    alone = analyse_rankings(LoggedRankings(*columns, given_above=False)).answers[0]

    assert above["whole list"].refusals
    assert alone.estimates


@pytest.mark.parametrize(
    ("ranking", "position", "message"),
    [
        ([1, 1, 2], [1, 1, 1], r"places are given twice \(first: ranking 1, position 1\)"),
        ([1, 1, 2], [1, 2, 0], "position that is not 1 or more"),
        ([1, 1, 2], [1, 3, 1], "A place above another is missing"),
    ],
)
def test_bad_rankings_are_refused(ranking, position, message):
    half = np.full(3, 0.5)

    with pytest.raises(InvalidInput, match=message):
        places_of(LoggedRankings(np.array(ranking), np.array(position), np.ones(3), half, half, given_above=True))


# --- files and the command ---------------------------------------------------------------------------------------


@pytest.fixture
def log_file(tmp_path):
    world = LoggedWorld.of(3000, np.random.default_rng(1), RATES, LOGGING, TARGET)
    frame = pd.DataFrame(
        {
            "arm": [f"arm{i}" for i in world.action],
            "taste": [f"taste{i}" for i in world.taste],
            "click": world.reward.astype(int),
            "propensity": world.propensity,
            "new": world.target_probability,
        }
    )
    frame.to_parquet(tmp_path / "log.parquet")
    frame.to_csv(tmp_path / "log.csv", index=False)
    pd.DataFrame(
        [{"taste": f"taste{t}", "arm": f"arm{a}", "probability": TARGET[t, a]} for t in range(3) for a in range(4)]
    ).to_csv(tmp_path / "policy.csv", index=False)
    return tmp_path / "log.parquet"


def asked(path, **question):
    columns = {"reward": "click", "propensity": "propensity"} | question
    return analyse_file(path, Question.of(columns, "test"), np.random.default_rng(0))


def test_a_policy_in_a_file_gives_what_its_probabilities_in_a_column_give(log_file):
    by_column = asked(log_file, target="new").answers[0]
    by_table = asked(
        log_file, action="arm", target_policy=str(log_file.with_name("policy.csv")), context=("taste",)
    ).answers[0]

    assert [one.estimator for one in by_column.estimates] == ["IPS", "SNIPS", "clipped IPS"]
    assert by_table.estimates[:3] == by_column.estimates
    assert [one.estimator for one in by_table.estimates[3:]] == ["direct method", "doubly robust"]
    truth = float((RATES * TARGET).sum(axis=1).mean())
    assert by_table.estimates[4].value.low < truth < by_table.estimates[4].value.high
    assert by_table.overlap.unsupported_share == 0


def test_csv_and_parquet_give_the_same(log_file):
    assert asked(log_file, target="new") == asked(log_file.with_suffix(".csv"), target="new")


def test_uniform_and_fixed_policies_need_no_file(log_file):
    frame = pd.read_parquet(log_file)
    uniform = asked(log_file, action="arm", target_policy="uniform").answers[0].estimates[0].value.mean
    fixed = asked(log_file, action="arm", target_policy="fixed:arm2").answers[0].estimates[0].value.mean

    assert uniform == pytest.approx((0.25 / frame["propensity"] * frame["click"]).mean())
    assert fixed == pytest.approx(((frame["arm"] == "arm2") / frame["propensity"] * frame["click"]).mean())


def test_an_arm_may_be_called_none(log_file):
    frame = pd.read_parquet(log_file)
    frame.assign(arm=frame["arm"].replace("arm2", "none")).to_csv(log_file.with_name("none.csv"), index=False)

    renamed = asked(log_file.with_name("none.csv"), action="arm", target_policy="fixed:none")

    assert (
        renamed.answers[0].estimates[0]
        == asked(log_file, action="arm", target_policy="fixed:arm2").answers[0].estimates[0]
    )


def test_arms_of_the_policy_that_were_never_logged_are_refused_with_their_share(log_file, tmp_path):
    policy = pd.DataFrame({"arm": ["arm0", "brand-new"], "probability": [0.7, 0.3]})
    policy.to_csv(tmp_path / "bold.csv", index=False)

    answer = asked(log_file, action="arm", target_policy=str(tmp_path / "bold.csv")).answers[0]

    assert answer.estimates == ()
    assert any("30.0% of the target policy's choices are arms that were never logged" in r for r in answer.refusals)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"arm": ["arm0", "arm1"], "probability": [0.7, 0.2]}, r"sum to 1 .* \(first: the only one, 0\.9\)"),
        ({"arm": ["arm0", "arm0"], "probability": [0.5, 0.5]}, "gives an arm twice"),
        ({"arm": ["arm0", "arm1"], "probability": [1.5, -0.5]}, "every probability lies between 0 and 1"),
        ({"arm": ["arm0", "arm1"], "p": [0.5, 0.5]}, "has no column 'probability'"),
        ({"arm": ["arm0"], "taste": ["taste0"], "probability": [1.0]}, "says nothing of .* taste taste"),
        ({"arm": ["arm0"], "mood": ["good"], "probability": [1.0]}, "has no column 'mood'"),
        ({"arm": ["arm0", None], "probability": [0.5, 0.5]}, "values of column 'arm' are missing"),
    ],
)
def test_bad_policies_are_refused(log_file, tmp_path, policy, message):
    pd.DataFrame(policy).to_parquet(tmp_path / "bad.parquet")

    with pytest.raises(InvalidInput, match=message):
        asked(log_file, action="arm", target_policy=str(tmp_path / "bad.parquet"))


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({}, "give either target or target_policy"),
        ({"target": "new", "target_policy": "uniform", "action": "arm"}, "give either target or target_policy"),
        ({"target_policy": "uniform"}, "target_policy needs action"),
        ({"target_policy": "best", "action": "arm"}, "'best' is none of: uniform, fixed:ARM"),
        ({"target_policy": "fixed:arm9", "action": "arm"}, "never logged arm 'arm9'; it logged 'arm0', 'arm1'"),
        ({"target": "new", "ranking": "list"}, "give both ranking and position"),
        ({"target": "new", "context": ("taste",)}, "context is for the reward model"),
        ({"target": "nwe"}, "has no column 'nwe'; it has 'arm', 'taste'"),
        ({"target": "taste"}, "values of column 'taste' are not numbers"),
        ({"target": "new", "confidence": 95}, "confidence"),
    ],
)
def test_bad_questions_are_refused(log_file, question, message):
    with pytest.raises(InvalidInput, match=message):
        asked(log_file, **question)


def test_files_that_are_absent_empty_or_of_another_kind_are_refused(tmp_path):
    (tmp_path / "empty.csv").write_text("click,propensity,new\n", encoding="utf-8")
    (tmp_path / "log.xlsx").write_bytes(b"")
    (tmp_path / "broken.parquet").write_bytes(b"not parquet")

    with pytest.raises(NotFound, match="There is no file"):
        asked(tmp_path / "none.csv", target="new")
    with pytest.raises(InvalidInput, match="There is no logged decision"):
        asked(tmp_path / "empty.csv", target="new")
    with pytest.raises(InvalidInput, match=r"neither a \.parquet nor a \.csv"):
        asked(tmp_path / "log.xlsx", target="new")
    with pytest.raises(InvalidInput, match="cannot be read as"):
        asked(tmp_path / "broken.parquet", target="new")


@pytest.fixture
def command(monkeypatch, capsys):
    """Return a function that runs the command and returns its exit status, what it printed, and its errors."""

    def status_and_output(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["evaluation", "off-policy", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run(app, "evaluation")
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return status_and_output


def test_the_command_prints_a_report_and_writes_it_as_json(command, log_file, tmp_path):
    status, out, err = command(
        log_file, "--reward", "click", "--propensity", "propensity", "--target", "new", "--json", tmp_path / "out.json"
    )

    assert status == 0, err
    assert "SNIPS" in out
    report = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    values = {one["estimator"]: one["value"] for one in report["answers"][0]["estimates"]}
    assert values["IPS"]["low"] < float((RATES * TARGET).sum(axis=1).mean()) < values["IPS"]["high"]


def test_the_command_ends_with_status_1_where_the_log_cannot_tell(command, log_file):
    status, out, _ = command(
        *(log_file, "--reward", "click", "--propensity", "propensity", "--target", "new"),
        *("--min-effective-sample-size", 1e6),
    )

    assert status == 1
    assert "REFUSED: The 3,000 rows are worth" in out
    assert "SNIPS" not in out


def test_the_command_answers_a_mistake_in_words(command, log_file):
    status, out, err = command(log_file, "--reward", "clik", "--propensity", "propensity", "--target", "new")

    assert status == 2
    assert "has no column 'clik'" in err
    assert "Traceback" not in err + out


def test_the_command_asks_for_the_columns_that_it_was_not_told(command, log_file):
    status, out, err = command(log_file, "--target", "new")

    assert status == 2
    assert "Say with --reward and --propensity" in err
    assert "Traceback" not in err + out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--target", "t", "--confidence", "2"],
            "The command line: --confidence: Input should be less than 1 (given 2.0).",
        ),
        ([], "The command line: give either --target or --target-policy."),
        (["--target", "t", "--given-above"], "--given-above is said of rankings; give --ranking and --position."),
        (["--target-policy", "uniform"], "The command line: --target-policy needs --action."),
    ],
)
def test_a_wrong_option_is_told_by_its_name(tmp_path: Path, options: list[str], message: str) -> None:
    (tmp_path / "log.csv").write_text("r,p,t\n1,0.5,0.5\n")
    command = ["off-policy", str(tmp_path / "log.csv"), "--reward", "r", "--propensity", "p"]
    with pytest.raises(InvalidInput, match=re.escape(message)):
        CliRunner().invoke(app, [*command, *options], catch_exceptions=False)
    refused = CliRunner().invoke(app, [*command, "--target", "t", "--seed", "-1"])
    assert (refused.exit_code, "--seed" in refused.output) == (2, True)
