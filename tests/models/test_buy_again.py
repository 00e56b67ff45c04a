from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.events import Event
from features.interactions import History
from models.buy_again import BuyAgain, BuyAgainSettings
from tests.worlds import NOW, event, snapshot

RNG = np.random.default_rng(0)


def fitted(folder: Path, events: list[Event]) -> tuple[BuyAgain, History, list[str]]:
    world = snapshot(folder, events, [])
    settings = BuyAgainSettings(half_life_days=10.0)
    return BuyAgain.fit(world, settings, RNG), world.interactions.of(0), world.items.ids()


def columns(model: BuyAgain, history: History, item: int) -> dict[str, float]:
    values = model.features(history, np.array([item], np.int32), NOW)[0]
    return dict(zip(model.feature_names, values.tolist(), strict=True))


def test_purchases_of_one_item_are_counted_by_basket_with_their_age(tmp_path: Path) -> None:
    events = [event("ann", "tea", 30.0, quantity=2.0), event("ann", "tea", 20.0), event("ann", "milk", 10.0)]
    model, ann, _ = fitted(tmp_path / "s", events)
    tea = columns(model, ann, 1)
    assert (tea["baskets"], tea["pieces"]) == (2, 3)
    assert tea["decayed"] == pytest.approx(0.5**3 + 0.5**2)
    assert (tea["days_since_last"], tea["days_since_first"]) == (20.0, 30.0)
    assert tea["baskets_since_last"] == 1
    assert tea["share_of_baskets"] == pytest.approx(2 / 3)
    assert tea["days_since_basket"] == 10.0


def test_what_was_given_back_was_not_bought(tmp_path: Path) -> None:
    events = [event("ann", "tea", 30.0), event("ann", "milk", 29.0), event("ann", "tea", 28.0, quantity=-1.0)]
    model, ann, ids = fitted(tmp_path / "s", events)
    assert [ids[one] for one in model.candidates(ann, 5, NOW)] == ["milk"]
    assert model.reason(ann, ids.index("tea"), NOW) is None


def test_the_usual_interval_is_that_between_purchases_by_the_same_person(tmp_path: Path) -> None:
    events = [event(user, "tea", day) for user in ("ann", "bob") for day in (70.0, 63.0, 56.0)]
    events += [event("ann", "pot", 70.0)]
    model, _, ids = fitted(tmp_path / "s", events)
    assert model.interval_days[ids.index("tea")] == pytest.approx(7.0)
    assert model.repeat_rate[ids.index("tea")] > model.repeat_rate[ids.index("pot")]


def test_a_weekly_habit_is_likelier_to_go_on_than_one_purchase_long_ago(tmp_path: Path) -> None:
    events = []
    for user in range(30):
        events += [event(f"u{user:02}", "milk", 7.0 * week + 1) for week in range(20)]
        events += [event(f"u{user:02}", f"pot{user % 5}", 100.0), event(f"u{user:02}", f"pan{user % 7}", 60.0)]
    model, history, ids = fitted(tmp_path / "s", events)
    best = model.candidates(history, 3, NOW)
    assert ids[int(best[0])] == "milk"
    scores = model.scores(history, best, NOW)
    assert scores[0] > 0.9
    assert scores[1] < 0.1


def test_the_reason_says_how_often_and_how_long_ago(tmp_path: Path) -> None:
    events = [
        event("ann", "tea", 30.0),
        event("ann", "tea", 12.0),
        event("ann", "milk", 1.5),
        event("ann", "salt", 0.5),
    ]
    model, ann, ids = fitted(tmp_path / "s", events)
    said = {name: reason.text for name in ids if (reason := model.reason(ann, ids.index(name), NOW))}
    assert said == {
        "tea": "Bought 2 times, the last time 12 days ago.",
        "milk": "Bought a day ago.",
        "salt": "Bought within the last day.",
    }
