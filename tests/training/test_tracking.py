"""The runs and versions that MLflow keeps."""

from __future__ import annotations

import os
import runpy
import shutil
from pathlib import Path

import pytest

from training import tracking
from training.tracking import CHALLENGER, CHAMPION, Tracking


@pytest.fixture
def kept(tmp_path: Path, tracked: Path) -> Tracking:
    shutil.copytree(tracked, tmp_path / "mlflow")
    return Tracking(tmp_path / "mlflow")


def test_the_latest_finished_run_is_found_by_its_tags(kept: Tracking) -> None:
    for seed in ("1", "2", "2"):
        with kept.run("als", {"model": "als", "seed": seed}) as run:
            run.parameters({"factors": 8})
            run.metrics({"all/ndcg_20": 0.5, "all/ndcg_20.low": 0.4})
            run.tag("bundle_id", "abc")
    found = kept.find({"model": "als", "seed": "2"})
    assert found is not None
    assert found.run_id == run.run_id
    assert found.tags["bundle_id"] == "abc"
    assert kept.find({"model": "als", "seed": "3"}) is None


def test_a_run_that_failed_is_not_found(kept: Tracking) -> None:
    with pytest.raises(ZeroDivisionError), kept.run("broken", {"model": "broken"}):
        _ = 1 / 0
    assert kept.find({"model": "broken"}) is None


def test_what_is_written_to_a_folder_of_a_run_stays_with_it(kept: Tracking) -> None:
    with kept.run("plotted", {"model": "plotted"}) as run:
        (run.folder("plots") / "curve.txt").write_text("up")
    found = kept.find({"model": "plotted"})
    assert found is not None
    assert (found.artifacts / "plots" / "curve.txt").read_text() == "up"


def test_an_alias_names_one_version_at_a_time(kept: Tracking) -> None:
    assert kept.named(CHAMPION) is None
    numbers = []
    for text in ("first", "second"):
        with kept.run("fit", {"model": text}) as run:
            bundle = run.folder("bundle")
            (bundle / "says").write_text(text)
            numbers.append(kept.register(run, bundle))
            kept.name(numbers[-1], CHALLENGER)
    kept.name(numbers[0], CHAMPION)
    challenger, champion = kept.named(CHALLENGER), kept.named(CHAMPION)
    assert challenger is not None
    assert champion is not None
    assert numbers == [champion.number, challenger.number] == [1, 2]
    assert (challenger.bundle / "says").read_text() == "second"
    assert champion.run.tags["model"] == "first"


@pytest.mark.parametrize(("given", "expected"), [(None, "true"), ("false", "false")])
def test_usage_is_reported_only_where_the_operator_asks_for_it(
    given: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", given or "")
    if given is None:
        monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY")
    runpy.run_path(str(Path(tracking.__file__)))
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == expected
