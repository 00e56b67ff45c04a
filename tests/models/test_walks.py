import numpy as np
import pytest

from models.walks import Walks, WalksSettings
from tests.worlds import NOW, event, item, snapshot

PLAIN = {
    "backward": 1,
    "popularity_exponent": 0,
    "pair_half_life_days": 1e9,
    "gap_half_life_days": 1e9,
    "half_life_days": 1e9,
}
ALL = np.arange(3, dtype=np.int32)


def scores(folder, *, me="a", **config):
    """Where walks from ``me`` lead, where somebody chose a then b, and somebody else b then c."""
    events = [event("u", "a", 9), event("u", "b", 8), event("v", "b", 7), event("v", "c", 6)]
    world = snapshot(folder / "snapshot", events, [item(name) for name in "abc"])
    history = snapshot(folder / "me", [event("me", me)], [item(name) for name in "abc"]).interactions.of(0)
    return Walks.fit(world, WalksSettings(**PLAIN | config), np.random.default_rng(0)).scores(history, ALL, NOW)


def test_one_step_leads_to_what_was_chosen_together(tmp_path):
    # From a one way leads on, to b: 1 / (1 + 1).
    assert scores(tmp_path, steps=1).tolist() == pytest.approx([0, 1 / 2, 0])


def test_two_steps_lead_to_what_was_never_chosen_together(tmp_path):
    # From b two ways lead on, to a and to c: 1 / (1 + 2) each.
    assert scores(tmp_path, steps=2).tolist() == pytest.approx([0, 1 / 2, 1 / 2 * 1 / 3])


def test_the_third_step_comes_back(tmp_path):
    there_and_back = 1 / 2 * 1 / 3 * 1 / 2
    assert scores(tmp_path, steps=3)[1] == pytest.approx(1 / 2 + 2 * there_and_back)


def test_a_walk_comes_back_to_its_start_only_where_repeats_are_counted(tmp_path):
    assert scores(tmp_path, steps=2)[0] == 0
    assert scores(tmp_path / "repeats", steps=2, repeats=True)[0] == pytest.approx(1 / 2 * 1 / 3)


def test_without_backward_steps_walks_lead_on_only(tmp_path):
    assert scores(tmp_path, me="c", backward=0).tolist() == [0, 0, 0]


def test_popularity_lowers_the_strength(tmp_path):
    # b came after something once, so its popularity is 2 with the one that is added.
    assert scores(tmp_path, steps=1, popularity_exponent=1)[1] == pytest.approx(1 / 2 / 2)
