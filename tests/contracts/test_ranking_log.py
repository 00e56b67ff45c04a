"""What every log of rankings promises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from features.errors import NotFound
from features.interactions import COLUMNS, History
from features.layout import Layout
from serving.ranking_log import LoggedRanking, MemoryRankingLog, RankingLog, SQLiteRankingLog
from serving.recipes import Recipe

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
RECIPE = Recipe.of({"ranker": "popularity", "fill": True}, "the recipe")
THREE = tuple(np.arange(3).astype(dtype) for dtype in COLUMNS.values())
HISTORY = History(*THREE)
RANKING = LoggedRanking(
    ranking_id="r1",
    made_at=NOW,
    kind="recommend",
    user_id="ann",
    request=json.dumps({"user_id": "ann", "recipe": "home"}),
    bundle_id="b1",
    catalog_version=7,
    recipe_version=RECIPE.version,
    profile_version=9,
    history=HISTORY,
    known={"purchases": 2, "context.mobile": True, "attributes.persona": None},
    items=["milk", "tea"],
    scores=[0.1 + 0.2, -1.0],
    explored=(1, True, 0.05),
)


@pytest.fixture(params=["sqlite", "memory"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RankingLog]:
    if request.param == "memory":
        yield MemoryRankingLog()
        return
    with closing(SQLiteRankingLog(Layout(tmp_path))) as opened:
        yield opened


def same(one: LoggedRanking, other: LoggedRanking) -> bool:
    names = {field.name for field in fields(LoggedRanking)} - {"history"}
    return all(getattr(one, name) == getattr(other, name) for name in names) and all(
        np.array_equal(getattr(one.history, name), getattr(other.history, name)) for name in COLUMNS
    )


def test_a_ranking_is_found_to_the_last_bit_with_the_recipe_that_made_it(log: RankingLog) -> None:
    nobody = replace(RANKING, ranking_id="r2", user_id=None, known={}, explored=None, history=History.empty())
    log.append(RANKING, RECIPE)
    log.append(nobody, RECIPE)
    for _ in range(2):  # while it waits to be written, and from where it is kept
        assert same(log.ranking("r1"), RANKING)
        assert same(log.ranking("r2"), nobody)
        assert Recipe.of(json.loads(log.recipe(RECIPE.version)), "the log") == RECIPE


def test_of_many_that_are_written_together_each_is_found_with_its_own_history(log: RankingLog) -> None:
    many = [
        replace(RANKING, ranking_id=f"r{number}", history=History(*(column[: number % 3 + 1] for column in THREE)))
        for number in range(40)
    ]
    for one in many:
        log.append(one, RECIPE)
    log.recipe(RECIPE.version)  # which is written with them
    assert all(same(log.ranking(one.ranking_id), one) for one in many)


def test_what_was_never_logged_is_not_found(log: RankingLog) -> None:
    log.append(RANKING, RECIPE)
    with pytest.raises(NotFound, match="no ranking 'r9'"):
        log.ranking("r9")
    with pytest.raises(NotFound, match="No ranking was made by a recipe of version 'none'"):
        log.recipe("none")


def test_the_latest_that_explored_a_place_are_named_the_oldest_first(log: RankingLog) -> None:
    for number in range(5):
        log.append(replace(RANKING, ranking_id=f"r{number}", made_at=NOW + timedelta(hours=number)), RECIPE)
    other = json.dumps({"recipe": "other"})
    log.append(replace(RANKING, ranking_id="other", request=other), RECIPE)
    log.append(replace(RANKING, ranking_id="plain", explored=None), RECIPE)
    assert log.explored("home", None, 9) == ["r0", "r1", "r2", "r3", "r4"]
    assert log.explored("home", None, 2) == ["r3", "r4"]
    assert log.explored("home", NOW + timedelta(hours=3), 9) == ["r3", "r4"]
    assert log.explored("other", None, 9) == ["other"]
    assert log.explored("none", None, 9) == []
