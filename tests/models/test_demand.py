from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from features.interactions import History
from models.demand import Demand, DemandSettings
from tests.worlds import NOW, event, item, snapshot

NOBODY = History.empty()
EVERY = np.arange(3, dtype=np.int32)  # cup, pot, tea


def demand(folder: Path) -> Demand:
    """Return the demand where cups were bought 100, 40 and 5 days ago and tea 20 days ago; nobody bought a pot."""
    bought = [event("u", "cup", 100), event("v", "cup", 40), event("w", "cup", 5), event("u", "tea", 20)]
    world = snapshot(folder, bought, [item(name) for name in ("cup", "pot", "tea")])
    return Demand.fit(world, DemandSettings(window_days=10), np.random.default_rng(0))


def test_what_was_bought_is_counted_back_from_the_moment_that_is_asked_for(tmp_path: Path) -> None:
    found = demand(tmp_path)

    for days_ago, cup, tea in ((0, [1, 1, 3, 3], [0, 1, 1, 1]), (15, [0, 1, 2, 2], [1, 1, 1, 1])):
        columns = found.features(NOBODY, EVERY, NOW - timedelta(days=days_ago))
        assert columns[[0, 2], :4].tolist() == [cup, tea]


def test_days_are_counted_from_the_first_and_the_last_time_before_or_after(tmp_path: Path) -> None:
    columns = demand(tmp_path).features(NOBODY, EVERY, NOW - timedelta(days=15))

    assert columns[[0, 2], 4:].tolist() == pytest.approx(np.array([[85, -10], [5, 5]]))
    assert np.isnan(columns[1, 4:]).all()
    assert columns[1, :4].tolist() == [0, 0, 0, 0]


def test_candidates_are_what_the_window_holds_most_of(tmp_path: Path) -> None:
    found = demand(tmp_path)

    assert found.candidates(NOBODY, 5, NOW).tolist() == [0]
    assert found.candidates(NOBODY, 5, NOW - timedelta(days=15)).tolist() == [2]


def test_a_return_is_no_demand(tmp_path: Path) -> None:
    world = snapshot(tmp_path, [event("u", "cup", 5), event("u", "cup", 4, quantity=-1.0)], [])

    found = Demand.fit(world, DemandSettings(), np.random.default_rng(0))

    assert found.scores(NOBODY, np.zeros(1, np.int32), NOW).tolist() == [1]
