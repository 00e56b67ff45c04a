"""``python -m training`` from the snapshot to the champion, and what it says to mistakes."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from features.layout import Layout
from features.snapshot import Snapshot
from models.bundle import Bundle
from tests.training.conftest import Command
from training.backtest import METRICS, PLACES
from training.promote import served
from training.tracking import CHALLENGER, CHAMPION, Tracking
from training.workbench import BUNDLE, RANKED, SETTINGS


def test_a_model_is_fitted_evaluated_and_promoted(layout: Layout, command: Command) -> None:
    fitted = command("fit", "popularity", "--workers", 1, "--var", layout.root)
    assert fitted.status == 0, fitted.text
    assert "Version 1 (popularity) is the challenger" in fitted.text
    refused = command("promote", "--workers", 1, "--var", layout.root)
    assert refused.status == 1
    assert "There is no champion yet, so version 1 must beat popularity." in refused.text
    assert "neither better nor worse" in refused.text
    assert served(layout) is None

    command("fit", "own-frequency", "--workers", 1, "--var", layout.root)
    promoted = command("promote", "--workers", 1, "--var", layout.root)
    assert promoted.status == 0, promoted.text
    assert "makes it better" in promoted.text
    bundle_id = served(layout)
    assert bundle_id is not None
    assert Bundle.load(layout.bundles / bundle_id).manifest.model == "own-frequency"
    assert "is served already" in command("promote", "--workers", 1, "--var", layout.root).text

    worse = command("fit", "popularity", "--workers", 1, "--var", layout.root)
    assert "Version 3" in worse.text
    refused = command("promote", "--workers", 1, "--var", layout.root)
    assert refused.status == 1
    assert "Version 2 is the champion (own-frequency" in refused.text
    assert "makes it worse" in refused.text
    assert served(layout) == bundle_id

    forced = command("promote", "--force", "--workers", 1, "--var", layout.root)
    assert forced.status == 0
    assert served(layout) != bundle_id

    figures = layout.root / "figures.json"
    evaluated = command(
        "evaluate", "popularity", "own-frequency", "--workers", 1, "--json", figures, "--var", layout.root
    )
    assert evaluated.status == 0
    assert all(words in evaluated.text for words in ("popularity", "own-frequency", "recall@20", "NDCG@20"))
    written = json.loads(figures.read_text())
    ndcg = written["models"]["own-frequency"]["all"]["ndcg"]
    assert ndcg["low"] <= ndcg["mean"] <= ndcg["high"]
    assert f"{ndcg['mean']:.3f}".removeprefix("0") in evaluated.text


def test_a_configuration_of_the_champion_is_promoted_for_its_newer_data(layout: Layout, command: Command) -> None:
    for _ in range(2):
        command("fit", "own-frequency", "--workers", 1, "--var", layout.root)
        outcome = command("promote", "--workers", 1, "--var", layout.root)
    assert outcome.status == 0
    assert "The configuration is that of version 1" in outcome.text
    champion = Tracking(layout.mlflow).named(CHAMPION)
    assert champion is not None
    assert champion.number == 2


def test_a_run_keeps_what_a_person_wants_to_see(layout: Layout, command: Command) -> None:
    settings = layout.root / "settings.toml"
    settings.write_text("half_life_days = 30.0")
    assert command("fit", "own-frequency", "--settings", settings, "--workers", 1, "--var", layout.root).status == 0
    challenger = Tracking(layout.mlflow).named(CHALLENGER)
    assert challenger is not None
    run = challenger.run
    assert json.loads((run.artifacts / SETTINGS).read_text()) == {"half_life_days": 30.0}
    assert (run.artifacts / RANKED).is_file()
    assert sorted(path.suffix for path in (run.artifacts / "plots").iterdir()) == [".png", ".png"]
    assert run.tags["snapshot_hash"] == Snapshot.latest(layout).manifest.snapshot_hash
    assert run.tags["bundle_id"] == Bundle.load(run.artifacts / BUNDLE).manifest.bundle_id

    import mlflow  # what is not read back by any command is looked at as the pages do

    data = mlflow.MlflowClient(Tracking(layout.mlflow).uri).get_run(run.run_id).data
    assert data.params["half_life_days"] == "30.0"
    for target in ("all", "new"):
        for name in METRICS:
            low, mean, high = (data.metrics[f"{target}/{name}_{PLACES}{bound}"] for bound in (".low", "", ".high"))
            assert low <= mean <= high
    assert data.metrics["peak_memory_mb"] > 50
    assert {"fit_past_seconds", "rank_seconds", "fit_seconds"} <= data.metrics.keys()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "nonsense"), "There is no model 'nonsense'. Models: popularity"),
        (("fit",), "Say which model to fit"),
        (("fit", "popularity", "als", "--settings", "a.toml"), "is for one model; 2 are to be fitted"),
        (("fit", "popularity", "--settings", "missing.toml"), "There is no file missing.toml"),
        (("fit", "popularity"), "python -m features build"),
        (("evaluate",), "python -m features build"),
        (("promote",), "There is no challenger"),
        (("demo", "--port", "70000"), "70000 is not a port"),
    ],
)
def test_mistakes_are_told_in_words(arguments: tuple[str, ...], words: str, tmp_path: Path, command: Command) -> None:
    outcome = command(*arguments, "--var", tmp_path)
    assert outcome.status == 2
    assert words in outcome.text
    assert "Traceback" not in outcome.text


@pytest.mark.parametrize("name", ["demo", "ui"])
def test_a_taken_port_is_told_before_any_work(name: str, tmp_path: Path, command: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        outcome = command(name, "--port", port, "--var", tmp_path)
    assert outcome.status == 2
    assert f"Port {port} cannot be used" in outcome.text
    assert not list(tmp_path.iterdir())
