from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np

from features.interactions import Interactions
from features.snapshot import Snapshot
from features.snapshot_job import before
from models.buy_again import BuyAgain, BuyAgainSettings
from models.popularity import Popularity, PopularitySettings
from models.scorer import Scorer
from tests.worlds import NOW, event, snapshot
from training.examples import replay
from training.lessons import Lessons

START = NOW - timedelta(days=28)
COUNTS = {"buy-again": 10, "popularity": 10}


def world(folder: Path) -> Snapshot:
    events = [event("ann", "tea", 60.0), event("ann", "milk", 50.0), event("bob", "salt", 40.0)]
    events += [event("ann", "tea", 5.0), event("ann", "new", 4.0), event("bob", "view", 3.0, event_type="view")]
    return snapshot(folder, events, [])


def parts(past: Snapshot) -> dict[str, Scorer]:
    rng = np.random.default_rng(0)
    return {
        "popularity": Popularity.fit(past, PopularitySettings(), rng),
        "buy-again": BuyAgain.fit(past, BuyAgainSettings(), rng),
    }


def replayed(scorers: dict[str, Scorer], interactions: Interactions, negatives: float = 1.0) -> Lessons:
    people = np.arange(interactions.n_users, dtype=np.int32)
    return replay(scorers, COUNTS, interactions, people, START, NOW, negatives, 0.0, np.random.default_rng(0))


def test_each_candidate_of_a_buyer_is_a_row_that_says_whether_it_was_bought(tmp_path: Path) -> None:
    shop = world(tmp_path / "s")
    examples = replayed(parts(before(shop, START, tmp_path)), shop.interactions)
    assert examples.right.tolist() == [
        False,
        False,
        True,
    ]  # milk, salt, tea for ann; bob bought nothing
    assert len(examples.columns) == 3


def test_the_columns_know_nothing_of_what_came_later(tmp_path: Path) -> None:
    shop = world(tmp_path / "s")
    past = before(shop, START, tmp_path)
    scorers = parts(past)
    ann = past.interactions.of(0)
    expected = np.hstack(
        [scorers[name].features(ann, past.items.indices(["milk", "salt", "tea"]), START) for name in sorted(scorers)]
    )
    np.testing.assert_array_equal(replayed(scorers, shop.interactions).columns, expected)


def test_what_was_bought_is_kept_and_of_the_rest_the_share_that_is_asked_for(tmp_path: Path) -> None:
    shop = world(tmp_path / "s")
    examples = replayed(parts(before(shop, START, tmp_path)), shop.interactions, negatives=0.0)
    assert examples.right.tolist() == [True]


def test_what_was_bought_after_the_period_counts_as_not_bought(tmp_path: Path) -> None:
    shop = world(tmp_path / "s")
    scorers, end = parts(before(shop, START, tmp_path)), NOW - timedelta(days=4.5)  # after the tea, before the new
    ann, rng = np.array([0], np.int32), np.random.default_rng(0)
    told = replay(scorers, COUNTS, shop.interactions, ann, START, end, 1.0, 0.0, rng)
    assert told.right.tolist() == [False, False, True]
    assert not len(replay(scorers, COUNTS, shop.interactions, ann, START, NOW - timedelta(days=6), 1.0, 0.0, rng).right)


def test_only_the_people_asked_for_are_learned_from(tmp_path: Path) -> None:
    shop = world(tmp_path / "s")
    scorers, bob = parts(before(shop, START, tmp_path)), np.array([1], np.int32)
    rng = np.random.default_rng(0)
    assert not len(replay(scorers, COUNTS, shop.interactions, bob, START, NOW, 1.0, 0.0, rng).right)
