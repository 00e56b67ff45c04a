"""The promoted bundle, and the end of the one before."""

from __future__ import annotations

import gc
import sqlite3
from pathlib import Path

import pytest

from features.database import open_database
from features.layout import Layout
from serving import champion
from serving.recipes import BUILT_IN, Recipes
from tests.serving.shop import add, bundle_of, point_to


def is_open(database: sqlite3.Connection) -> bool:
    try:
        database.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return False
    return True


def test_a_replaced_bundle_closes_its_connections_once_the_last_request_is_done_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[sqlite3.Connection] = []

    def noted(path: Path, any_thread: bool) -> sqlite3.Connection:
        opened.append(open_database(path, any_thread))
        return opened[-1]

    monkeypatch.setattr(champion, "open_database", noted)
    ids = [add(tmp_path, bundle_of(tmp_path / model, model)) for model in ("item-to-item", "popularity")]
    recipes = Recipes.read(BUILT_IN)
    followed = champion.Champion(Layout(tmp_path), lambda: recipes, lambda bundle: bundle.manifest.as_of, 1.0)
    gc.disable()  # what is open is so until its last user ends, not until somebody collects garbage
    try:
        point_to(tmp_path, ids[0])
        followed.refresh()
        held = followed.served()
        first = len(opened)
        point_to(tmp_path, ids[1])
        followed.refresh()
        assert followed.served().pipeline.bundle.manifest.bundle_id == ids[1]
        held.pipeline.catalog.refresh()
        assert all(map(is_open, opened))
        del held
        assert [is_open(database) for database in opened] == [False] * first + [True] * (len(opened) - first)
    finally:
        gc.enable()
