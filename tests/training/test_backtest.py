"""Learning up to a moment in the past, and the test on what followed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import InvalidInput
from features.layout import Layout
from features.snapshot import Snapshot
from models.bundle import Bundle
from models.popularity import Popularity, PopularitySettings
from tests import worlds
from tests.worlds import event, item
from training.backtest import Backtest, intervals, learning_curve, rank_held_out, variety
from training.fit import MODELS, BlendedSettings
from training.processes import processes


@pytest.fixture
def backtest(tmp_path: Path) -> Backtest:
    """``milk`` has two buyers before the last ten days and ``tea`` one; then ``a`` buys milk again, ``b`` tea."""
    events = [
        event("a", "milk", 40),
        event("b", "milk", 40),
        event("c", "tea", 40),
        event("a", "milk", 5),
        event("b", "tea", 5),
        event("d", "tea", 5),
    ]
    snapshot = worlds.snapshot(tmp_path / "snapshots" / "now", events, [item("milk"), item("tea"), item("salt")])
    return Backtest.of(snapshot, 10, Layout(tmp_path))


def ranked_by_popularity(backtest: Backtest, workers: int = 1) -> pl.DataFrame:
    scorer = Popularity.fit(backtest.past, PopularitySettings(), np.random.default_rng(0))
    bundle = backtest.past.folder.parent / "bundle"
    if not bundle.exists():
        Bundle.of(backtest.past, [scorer], scorer.name, backtest.split.start, "test").save(bundle)
    with processes(workers) as pool:
        return rank_held_out(backtest, bundle, pool)


def test_the_past_knows_nothing_of_the_held_out_days(backtest: Backtest) -> None:
    start = backtest.split.start
    assert start == worlds.NOW.replace(hour=0) - timedelta(days=15)  # the last event was on the 26th
    assert backtest.past.manifest.as_of == start
    assert backtest.past.interactions.all.timestamp_s.max() < start.timestamp()
    assert len(backtest.past.interactions.all) == 3


def test_the_past_is_made_once(backtest: Backtest, tmp_path: Path) -> None:
    again = Backtest.of(backtest.snapshot, 10, Layout(tmp_path))
    assert again.past.folder == backtest.past.folder
    assert len(list(Layout(tmp_path).backtests.iterdir())) == 1


def test_everyone_who_bought_before_and_after_is_ranked_for(backtest: Backtest) -> None:
    ranked = ranked_by_popularity(backtest)
    rows = ranked.select("target", "user_id", "purchases", "relevant", "reciprocal_rank").rows()
    assert rows == [
        ("all", "a", 1, 1, 1.0),  # milk, the most popular, is first
        ("all", "b", 1, 1, 0.5),
        ("new", "b", 1, 1, 1.0),  # b has bought milk, so tea is first; a buys nothing new
    ]


def test_short_rankings_end_in_empty_places(backtest: Backtest) -> None:
    milk, salt, tea = range(3)
    rankings = ranked_by_popularity(backtest)["ranking"].to_list()
    assert [ranking[:4] for ranking in rankings] == [[milk, tea, salt, -1]] * 2 + [[tea, salt, -1, -1]]


def test_processes_rank_as_one_thread_does(backtest: Backtest) -> None:
    assert ranked_by_popularity(backtest, workers=2).equals(ranked_by_popularity(backtest))


def test_intervals_need_two_users_of_a_target(backtest: Backtest) -> None:
    found = intervals(ranked_by_popularity(backtest), seed=0)
    assert list(found) == ["all"]
    assert found["all"]["reciprocal_rank"].mean == 0.75


def test_variety_looks_at_what_may_be_shown(backtest: Backtest) -> None:
    found = variety(ranked_by_popularity(backtest), np.array([True, True, True]))
    assert found["all"] == {"coverage": 1.0, "gini": 0.0, "distinct_lists": 0.5}


def test_a_log_with_one_user_says_that_two_are_needed(tmp_path: Path) -> None:
    snapshot = worlds.snapshot(tmp_path / "one", [event("a", "milk", 40), event("a", "milk", 1)], [item("milk")])
    with pytest.raises(InvalidInput, match="Only one user"):
        Backtest.of(snapshot, 10, Layout(tmp_path))


def test_a_log_that_ends_before_the_held_out_days_says_so(tmp_path: Path) -> None:
    snapshot = worlds.snapshot(tmp_path / "short", [event("a", "milk", 2), event("b", "milk", 1)], [item("milk")])
    with pytest.raises(InvalidInput, match="--holdout-days"):
        Backtest.of(snapshot, 10, Layout(tmp_path))


def test_the_learning_curve_ends_where_the_whole_blend_ranks(tmp_path: Path) -> None:
    layout = worlds.shop_of_habits(tmp_path)
    backtest = Backtest.of(Snapshot.latest(layout), 28, layout)
    settings = BlendedSettings.of({"blend": {"trees": 25, "least_rows": 5}, "als": {"factors": 4}}, "test")
    scorers, top = MODELS["blend"].fit(backtest.past, settings, np.random.default_rng(0))
    bundle = tmp_path / "bundle"
    Bundle.of(backtest.past, scorers.values(), top, backtest.split.start, "test").save(bundle)
    curve = learning_curve(backtest.split, bundle, np.random.default_rng(0))
    assert curve is not None
    assert curve["trees"].to_list() == [10, 20, 25] * 2
    with processes(1) as pool:
        ranked = rank_held_out(backtest, bundle, pool)
    for target in ("all", "new"):
        last = curve.filter(target=target)["ndcg"].to_list()[-1]
        assert last == pytest.approx(ranked.filter(target=target)["ndcg"].mean())


def test_what_grows_no_trees_has_no_learning_curve(backtest: Backtest) -> None:
    ranked_by_popularity(backtest)
    assert learning_curve(backtest.split, backtest.past.folder.parent / "bundle", np.random.default_rng(0)) is None
