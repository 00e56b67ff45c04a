import json
import time
from collections.abc import Callable
from concurrent.futures import Future

import mlflow
import optuna
import pytest

from features.layout import Layout
from models.bundle import Bundle
from tests.training.conftest import Command
from training.studies import PATIENCE, Studies, exhausted
from training.tracking import CHALLENGER, Tracking

Begin = Callable[[optuna.Trial], Future[float]]


def test_a_shop_of_habits_gets_a_model_that_knows_habits_without_being_told(layout: Layout, command: Command) -> None:
    fitted = command(
        "fit", "--auto", "--budget-minutes", 0.1, "--holdout-days", 14, "--workers", 1, "--var", layout.root
    )

    assert fitted.status == 0, fitted.text
    tracking = Tracking(layout.mlflow)
    challenger = tracking.named(CHALLENGER)
    assert challenger is not None
    assert challenger.run.tags["model"] == "composed"
    assert "buy-again" in Bundle.load(challenger.bundle).scorers

    choice = tracking.find({"of": "choice"})
    part = tracking.find({"of": "buy-again"})
    assert choice is not None
    assert part is not None
    assert part.tags["mlflow.parentRunId"] == choice.run_id
    assert "buy-again" in json.loads((choice.artifacts / "choice.json").read_text())["parts"]

    promoted = command("promote", "--workers", 1, "--var", layout.root)
    assert promoted.status == 0, promoted.text


def parabola(trial: optuna.Trial) -> Future[float]:
    reached: Future[float] = Future()
    reached.set_result(1.0 - (trial.suggest_float("x", 0.0, 1.0) - 0.3) ** 2)
    return reached


def noting(tried: list[float], value: Begin = parabola) -> Begin:
    """Return what begins a trial by ``value``, once it is among those that were ``tried``."""

    def begun(trial: optuna.Trial) -> Future[float]:
        tried.append(trial.suggest_float("x", 0.0, 1.0))
        return value(trial)

    return begun


def cut_off(trial: optuna.Trial) -> Future[float]:
    never: Future[float] = Future()
    never.set_exception(KeyboardInterrupt())
    return never


def test_an_interrupted_study_goes_on_and_repeats_no_trial(layout: Layout) -> None:
    tracking, tags = Tracking(layout.mlflow), {"snapshot_hash": "a", "seed": "0"}
    tried: list[float] = []

    interrupted = noting(tried, lambda trial: cut_off(trial) if len(tried) == 4 else parabola(trial))
    with pytest.raises(KeyboardInterrupt), Studies.kept(layout, tracking, "choice", tags) as studies:
        studies.best("x", interrupted, {"x": 0.5}, 8, 1, 1e9, 0)
    with Studies.kept(layout, tracking, "choice", tags) as studies:
        study = studies.best("x", noting(tried), {"x": 0.5}, 8, 1, 1e9, 0)
        other = studies.best("y", parabola, {"x": 0.25}, 1, 1, 1e9, 0)

    assert tried[0] == 0.5
    assert len(study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))) == 8
    assert len(tried) == 9  # what was cut off is made anew; the three before it are not
    assert tried[3] == tried[4]
    assert len(set(tried)) == 8
    assert other.best_params == {"x": 0.25}
    client = mlflow.MlflowClient(tracking.uri)
    names = [
        run.info.run_name for run in client.search_runs([one.experiment_id for one in client.search_experiments()])
    ]
    assert sorted(names) == ["choice", "x", "y"]  # both attempts are one run, and one run of each study within it


def test_trials_beside_each_other_are_told_apart_and_made_anew_when_cut_off(layout: Layout) -> None:
    tracking, tags = Tracking(layout.mlflow), {"snapshot_hash": "c"}
    tried: list[float] = []

    with pytest.raises(KeyboardInterrupt), Studies.kept(layout, tracking, "choice", tags) as studies:
        studies.best("x", noting(tried, cut_off), {"x": 0.5}, 3, 2, 1e9, 0)
    with Studies.kept(layout, tracking, "choice", tags) as studies:
        study = studies.best("x", noting(tried), {"x": 0.5}, 3, 2, 1e9, 0)

    assert tried[0] == 0.5
    assert tried[2:4] == tried[:2]
    assert len(set(tried[2:])) == len(tried[2:]) == 3
    assert len(study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))) == 3


def test_time_that_was_spent_before_an_interruption_counts(layout: Layout) -> None:
    tracking, tags = Tracking(layout.mlflow), {"snapshot_hash": "b"}
    with Studies.kept(layout, tracking, "choice", tags) as studies:
        studies.best("x", parabola, {"x": 0.5}, 3, 1, 1e9, 0)
        spent_s = studies.spent_s
    with Studies.kept(layout, tracking, "choice", tags) as studies:
        study = studies.best("x", parabola, {"x": 0.5}, 100, 1, spent_s / 2, 0)

    assert spent_s > 0
    assert len(study.trials) == 3


def test_trials_that_would_end_too_late_are_not_begun() -> None:
    # Two beside each other count two fifths of a second each; with two more it would be eight.
    def slow(trial: optuna.Trial) -> Future[float]:
        time.sleep(0.2)
        return parabola(trial)

    trials = {
        until_s: len(Studies().best("x", slow, {"x": 0.5}, 6, 2, until_s, 0).trials) for until_s in (0.1, 1.2, 1e9)
    }

    # Without any there would be nothing to choose.
    assert trials == {0.1: 2, 1.2: 2, 1e9: 6}


def test_a_study_ends_when_many_trials_gain_nothing_and_not_before() -> None:
    assert not exhausted([0.5])
    assert not exhausted([0.5, *[0.4] * (PATIENCE - 1)])
    assert exhausted([0.5, *[0.4] * PATIENCE])
    assert exhausted([0.5, *[0.5001] * PATIENCE])
    assert not exhausted([0.5, *[0.51] * PATIENCE])
