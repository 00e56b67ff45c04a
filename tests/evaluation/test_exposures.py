"""Reports on Attune's own log."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evaluation.__main__ import app
from evaluation.exposures import design_of, exposures, subject_of, with_global_holdout
from features.errors import AttuneError, InvalidInput, NotFound
from features.event_log import EventLog
from features.events import Event
from features.layout import Layout
from tests.serving.deciding import NOW, Worker, event

SPLIT = {
    "zone": "home",
    "choice": "ab",
    "experiences": {"red": {"content": {"colour": "red"}}, "blue": {"content": {"colour": "blue"}, "share": 2}},
    "goal": {"reward": "revenue", "window_days": 2},
}
LATER = NOW + timedelta(days=60)


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


@pytest.fixture
def layout(tmp_path: Path, worker: Worker) -> Layout:
    return Layout(tmp_path)


def test_each_exposure_carries_what_came_of_it(worker: Worker, layout: Layout) -> None:
    worker.define(sale=SPLIT)
    plan, unseen = worker.decide("ann"), worker.decide("bob")
    worker.tell(event("purchase", None, -5, value=40.0), event("purchase", None, -24 * 40, value=99.0))
    worker.tell(event("impression", plan, 0.5), event("click", plan, 1), event("purchase", None, 3, value=12.0))
    shown = exposures(layout, subject_of(layout, "campaign", "sale"), LATER)
    (row,) = shown.frame.to_dict("records")
    assert row["decision_id"] == plan.decision.decision_id != unseen.decision.decision_id
    assert row["variant"] == row["experience"] == plan.decision.experience
    assert row["propensity"] == pytest.approx(1 / 3 if row["variant"] == "red" else 2 / 3)
    assert (row["clicked"], row["converted"], row["revenue"], row["reward"]) == (1, 1, 12, 12)
    assert row["revenue_before"] == 40
    assert row["exposed_at"].to_pydatetime() == NOW + timedelta(hours=0.5)


def test_what_is_said_of_an_exposure_does_not_depend_on_the_period(worker: Worker, layout: Layout) -> None:
    worker.define(sale=SPLIT)
    for hours in range(0, 24 * 6, 7):
        for user in ("ann", "bob"):
            plan = worker.decide(user, hours=hours)
            worker.tell(event("impression", plan, hours), fold=False)
            worker.tell(event("purchase", None, hours + 5, user, value=1.0 + hours), fold=False)
    subject = subject_of(layout, "campaign", "sale")
    whole = exposures(layout, subject, LATER).frame.set_index("decision_id")
    for first, days in ((0, 1), (1, 2), (2, 3), (0, 6)):
        since, until = NOW + timedelta(days=first), NOW + timedelta(days=first + days)
        part = exposures(layout, subject, LATER, since, until).frame.set_index("decision_id")
        assert 0 < len(part) <= len(whole)
        assert part.equals(whole.loc[part.index])
        assert ((part["exposed_at"] >= since) & (part["exposed_at"] < until)).all()


def test_what_a_person_buys_under_another_id_counts(worker: Worker, layout: Layout) -> None:
    worker.define(sale=SPLIT)
    plan = worker.decide("cookie-1")
    worker.tell(event("impression", plan), Event("i1", "identify", "cookie-1", NOW, same_as="ann"))
    worker.tell(event("purchase", None, 1, user_id="ann", value=7.0))
    assert exposures(layout, subject_of(layout, "campaign", "sale"), LATER).frame["revenue"].tolist() == [7.0]


def test_what_is_younger_than_its_window_is_said_not_to_be_final(worker: Worker, layout: Layout) -> None:
    worker.define(sale=SPLIT)
    worker.tell(event("impression", worker.decide()))
    subject = subject_of(layout, "campaign", "sale")
    assert "1 of 1 exposures are younger than the window of 2 days" in exposures(layout, subject, NOW).warnings[0]
    assert exposures(layout, subject, LATER).warnings == ()


def test_holdouts_are_a_variant_and_rankings_of_an_experiment_are_exposures(worker: Worker, layout: Layout) -> None:
    worker.define(sale=SPLIT | {"choice": "rules", "holdout": 0.5})
    plans = [worker.decide(f"user-{i}") for i in range(20)]
    worker.tell(*(event("impression", plan) for plan in plans))
    held = {plan.decision.user_id for plan in plans if plan.decision.experience is None}
    frame = exposures(layout, subject_of(layout, "campaign", "sale"), LATER).frame
    assert 0 < len(held) < 20
    assert dict(zip(frame["user_id"], frame["variant"], strict=True)) == {
        plan.decision.user_id: "holdout" if plan.decision.user_id in held else "shown" for plan in plans
    }


def test_the_log_from_before_a_withdrawal_can_still_be_read(worker: Worker, layout: Layout) -> None:
    worker.define(sale=SPLIT)
    worker.tell(event("impression", worker.decide()))
    worker.define(sale=None)
    assert len(exposures(layout, subject_of(layout, "campaign", "sale"), LATER).frame) == 1


def refused(call: Callable[[], object], kind: type[AttuneError], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_what_cannot_be_reported_is_refused_and_says_why(worker: Worker, layout: Layout) -> None:
    refused(lambda: subject_of(layout, "campaign", "sale"), NotFound, r"no campaign 'sale'. It knows: none")
    worker.define(sale=SPLIT)
    subject = subject_of(layout, "campaign", "sale")
    refused(lambda: exposures(layout, subject, LATER), InvalidInput, "has decided nothing yet")
    plan = worker.decide()
    refused(lambda: exposures(layout, subject, LATER), InvalidInput, r"None of the 1 decisions .* was seen by anybody")
    worker.tell(event("impression", plan))
    refused(lambda: exposures(layout, subject, LATER, LATER, NOW), InvalidInput, "is empty; swap its ends")
    refused(lambda: exposures(layout, subject, LATER, LATER), InvalidInput, r"1 exposures are from 2026-03-02 12:00 to")


def fill(worker: Worker, zone: str = "home", people: int = 400) -> None:
    """Let people see decisions; blue sells twice as well as anything else."""
    events = []
    for i in range(people):
        plan = worker.decide(f"user-{i}", zone, hours=i / 10)
        events.append(event("impression", plan, i / 10))
        if i % (2 if plan.decision.experience == "blue" else 4) == 0:
            events += [event("click", plan, i / 10 + 1), event("purchase", None, i / 10 + 2, f"user-{i}", value=10.0)]
    EventLog(Layout(Path(worker.writing.execute("PRAGMA database_list").fetchone()[2]).parent)).append(events)


def test_the_command_reads_an_ab_test_of_the_log(worker: Worker, layout: Layout, tmp_path: Path) -> None:
    worker.define(sale=SPLIT)
    fill(worker)
    out = tmp_path / "report.json"
    options = ["ab", "--campaign", "sale", "--var", str(layout.root), "--covariate", "revenue_before"]
    done = CliRunner().invoke(app, [*options, "--control", "red", "--json", str(out)])
    assert done.exit_code == 0, done.output
    report = json.loads(out.read_text())
    lifts = {lift["metric"]: lift for lift in report["lifts"]}
    assert lifts.keys() == {"revenue", "converted"}
    assert lifts["converted"]["control_value"] == pytest.approx(0.25, abs=0.07)
    assert lifts["converted"]["variant_value"] == pytest.approx(0.5, abs=0.07)
    assert report["sample_ratio_p_value"] > 0.001


def test_the_command_reads_an_experiment_between_campaigns(worker: Worker, layout: Layout, tmp_path: Path) -> None:
    banner = {"zone": "home", "experiences": {"blue": {"content": {}}}}
    worker.define(banner=banner, test_banner={"variants": {"without": {}, "with": {"campaigns": ["banner"]}}})
    fill(worker)
    out = tmp_path / "report.json"
    options = ["ab", "--experiment", "test_banner", "--var", str(layout.root), "--metric", "converted"]
    done = CliRunner().invoke(app, [*options, "--json", str(out)])
    assert done.exit_code == 0, done.output
    report = json.loads(out.read_text())
    (lift,) = report["lifts"]
    assert (report["control"], lift["variant"]) == ("without", "with")
    assert lift["relative"] == pytest.approx(1.0, abs=0.5)


def test_the_command_tells_what_another_policy_would_have_earned(
    worker: Worker, layout: Layout, tmp_path: Path
) -> None:
    worker.define(sale=SPLIT | {"goal": {"reward": "click"}})
    fill(worker)
    out = tmp_path / "estimates.json"
    options = ["off-policy", "--campaign", "sale", "--var", str(layout.root), "--json", str(out)]
    done = CliRunner().invoke(app, [*options, "--target-policy", "fixed:blue"])
    assert done.exit_code == 0, done.output
    (answer,) = json.loads(out.read_text())["answers"]
    assert {one["estimator"]: one["value"]["mean"] for one in answer["estimates"]}["SNIPS"] == pytest.approx(
        0.5, abs=0.05
    )
    done = CliRunner().invoke(app, [*options, "--target-policy", "fixed:green"])
    assert "never logged arm 'green'" in str(done.exception)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["ab"], "Give one of a file, --experiment and --campaign; given are 0"),
        (["ab", "x.csv", "--campaign", "sale"], "given are 2"),
        (["ab", "--campaign", "sale", "--unit", "user_id"], "--unit: the log knows its own columns"),
        (["ab", "--campaign", "sale", "--window-days", "0"], "greater than 0"),
        (["ab", "x.csv"], "Say with --variant"),
        (["off-policy", "--campaign", "sale", "--reward", "x"], "--reward: the log knows its own columns"),
        (["off-policy"], "given are 0"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    worker: Worker, layout: Layout, options: list[str], message: str
) -> None:
    worker.define(sale=SPLIT)
    done = CliRunner().invoke(app, [*options, "--var", str(layout.root)])
    assert message in str(done.exception)


def test_the_global_holdout_is_checked_against_its_share(tmp_path: Path) -> None:
    worker, layout = Worker(tmp_path, global_holdout=0.3), Layout(tmp_path)
    worker.define(sale=SPLIT)
    worker.tell(*(event("impression", worker.decide(f"user-{i}")) for i in range(60)))
    subject = with_global_holdout(subject_of(layout, "experiment", "global_holdout"), 0.3)
    frame = exposures(layout, subject, LATER).frame
    assert set(frame["variant"]) == {"held_out", "treated"}
    assert design_of(subject, frame, {}).shares == pytest.approx({"held_out": 0.3, "treated": 0.7})
    command = ["ab", "--experiment", "global_holdout", "--var", str(tmp_path), "--global-holdout", "0.9"]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0, told.output
    assert "mismatch" in told.output.lower()
    refused(lambda: with_global_holdout(subject, 1.0), InvalidInput, "a share between 0 and 1")
    other = subject_of(layout, "campaign", "sale")
    assert with_global_holdout(other, 0.3) is other
