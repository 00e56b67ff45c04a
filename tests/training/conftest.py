"""A tiny shop whose customers come back for their own things, and one run of the commands on it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from features.command_line import run
from features.layout import Layout
from tests import worlds
from training.__main__ import app
from training.tracking import Tracking


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    status: int
    text: str


Command = Callable[..., Outcome]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``python -m training`` with the given arguments, in this process."""

    def run_command(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["training", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "100")
        capsys.readouterr()
        status = 0
        try:
            run(app, "training")
        except SystemExit as end:
            status = int(end.code or 0)
        written = capsys.readouterr()
        return Outcome(status, written.out + written.err)

    return run_command


@pytest.fixture(scope="session")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracking folder without a run; MLflow takes seconds to make one, so it is made once and copied."""
    folder = tmp_path_factory.mktemp("tracked") / "mlflow"
    Tracking(folder)
    return folder


@pytest.fixture
def layout(tmp_path: Path, tracked: Path) -> Layout:
    """The shop's run-time folder."""
    layout = worlds.shop_of_habits(tmp_path)
    shutil.copytree(tracked, layout.mlflow)
    return layout
