from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.interactions import History
from models.popularity import Popularity, PopularitySettings
from tests.worlds import NOW, event, item, snapshot

RNG = np.random.default_rng(0)


def test_a_purchase_counts_half_after_the_half_life_and_a_return_takes_it_back(tmp_path: Path) -> None:
    events = [
        event("ann", "tea", 10.0),
        event("bob", "tea", 20.0),
        event("ann", "milk", 10.0),
        event("ann", "milk", 10.0, quantity=-1.0, value=-1.0),
    ]
    shop = snapshot(tmp_path / "snapshot", events, [item("salt")])
    popularity = Popularity.fit(shop, PopularitySettings(half_life_days=10.0), RNG)
    items = shop.items.indices(["tea", "milk", "salt"])
    assert popularity.scores(History.empty(), items, NOW).tolist() == pytest.approx([0.5 + 0.25, 0, 0])
    assert popularity.candidates(History.empty(), 5, NOW).tolist() == [shop.items.index("tea")]


def test_features_tell_age_and_price(tmp_path: Path) -> None:
    events = [event("ann", "tea", 30.0, quantity=2.0, value=6.0), event("bob", "tea", 10.0, quantity=1.0, value=3.0)]
    shop = snapshot(tmp_path / "snapshot", events, [item("salt")])
    popularity = Popularity.fit(shop, PopularitySettings(), RNG)
    tea, salt = popularity.features(History.empty(), shop.items.indices(["tea", "salt"]), NOW)
    at = popularity.feature_names.index
    assert (tea[at("days_since_first")], tea[at("days_since_last")], tea[at("price")]) == (30.0, 10.0, 3.0)
    assert np.isnan(salt[at("days_since_last")])
