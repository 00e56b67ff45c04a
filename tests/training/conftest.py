"""A tiny shop whose customers come back for their own things, and one run of the commands on it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from features.command_line import run
from features.events import Event
from features.layout import Layout
from tests import worlds
from training.__main__ import app
from training.tracking import Tracking

USERS, GROUPS = 24, 4


def shop(path: Path) -> Layout:
    """Return a run-time folder whose latest snapshot is of a shop where habits are worth more than fashion.

    Item ``all`` is bought by everybody, once. Beyond that every user buys two items of their own every week, and in the
    held-out days for the first time one that others of their group have bought before.
    """
    events: list[Event] = []
    for user in range(USERS):
        group = user % GROUPS
        events.append(worlds.event(f"u{user:02}", "all", days_ago=40 + user))
        for own in (f"own{user:02}a", f"own{user:02}b"):
            events.extend(worlds.event(f"u{user:02}", own, days_ago=7 * week + 1) for week in range(16))
        early_days_ago, late_days_ago = 60 + user, 3
        first_half = user < USERS // 2
        events.append(worlds.event(f"u{user:02}", f"group{group}", early_days_ago if first_half else late_days_ago))
    items = sorted({event.item_id for event in events if event.item_id})
    layout = Layout(path)
    snapshot = worlds.snapshot(layout.snapshots / ("0" * 16), events, [worlds.item(item) for item in items])
    layout.latest_snapshot.write_text(snapshot.manifest.snapshot_hash)
    return layout


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
    layout = shop(tmp_path)
    shutil.copytree(tracked, layout.mlflow)
    return layout
