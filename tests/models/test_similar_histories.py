import numpy as np
import pytest

from models.similar_histories import SimilarHistories, SimilarHistoriesSettings
from tests.worlds import NOW, event, item, snapshot

ITEMS = [item(name) for name in "abcd"]
PLAIN = {
    "step_decay": 1,
    "distance_decay": 1,
    "backward": 1,
    "item_exponent": 0,
    "length_exponent": 0,
    "popularity_exponent": 0,
    "half_life_days": 1e9,
}


def chain(user, items, start=9.0):
    return [event(user, name, start - at) for at, name in enumerate(items)]


def asked(folder, others, mine, **config):
    """Return the score of each item for somebody who chose ``mine``, where others chose ``others``, the first last."""
    events = [one for place, items in enumerate(others) for one in chain(f"u{place}", items, 20.0 + place)]
    world = snapshot(folder / "snapshot", [*events, *chain("me", mine)], ITEMS)
    known = snapshot(folder / "known", events, ITEMS)
    scorer = SimilarHistories.fit(known, SimilarHistoriesSettings(**PLAIN | config), np.random.default_rng(0))
    history = world.interactions.of(world.users.index("me"))
    return scorer, history, scorer.scores(history, np.arange(4, dtype=np.int32), NOW).tolist()


def scores(*given, **config):
    return asked(*given, **config)[2]


def test_a_history_speaks_for_its_items_as_often_as_it_has_something_in_common(tmp_path):
    # "abc" has two items in common with "ab", "ad" one.
    assert scores(tmp_path, ["abc", "ad"], "ab") == [3, 2, 2, 1]


def test_only_the_histories_most_alike_are_listened_to(tmp_path):
    assert scores(tmp_path, ["abc", "ad"], "ab", neighbours=1) == [2, 2, 2, 0]


def test_only_those_that_went_on_last_are_looked_at(tmp_path):
    assert scores(tmp_path, ["ab", "ac"], "a", histories_of_item=1) == [1, 1, 0, 0]


def test_what_lies_farther_from_what_is_in_common_counts_less_and_less_still_before_it(tmp_path):
    assert scores(tmp_path, ["abcd"], "b", distance_decay=0.5, backward=0.1) == pytest.approx([0.05, 1, 0.5, 0.25])


def test_the_latest_item_in_common_is_the_one_to_be_near_to(tmp_path):
    assert scores(tmp_path, ["abcd"], "ba", distance_decay=0.5) == [2, 1, 0.5, 0.25]


def test_an_earlier_interaction_counts_less(tmp_path):
    assert scores(tmp_path, ["ac", "bd"], "ab", step_decay=0.5) == [0.5, 1, 0.5, 1]


def test_popular_items_long_and_old_histories_tell_less(tmp_path):
    assert scores(tmp_path, ["abcd"], "a", length_exponent=0.5) == [0.5] * 4
    # Three histories have a: it counts (1 + 3) to the power of -.5, and two have b: the score is divided by 1 + 2.
    assert scores(tmp_path / "items", ["ab", "ab", "a"], "a", item_exponent=0.5) == [1.5, 1, 0, 0]
    assert scores(tmp_path / "popular", ["ab", "ab", "a"], "a", popularity_exponent=1)[1] == pytest.approx(2 / 3)
    old = scores(tmp_path / "old", ["ab"], "a", half_life_days=19.0)
    assert old[1] == pytest.approx(0.5)  # it ended 19 days ago


def test_the_columns_tell_who_speaks_for_an_item(tmp_path):
    scorer, history, _ = asked(tmp_path, ["abc", "ad"], "ab")

    columns = scorer.features(history, np.array([0, 3], np.int32), NOW)

    assert scorer.feature_names == ("score", "nearest", "histories", "share_of_best", "place")
    assert columns.tolist() == [[3, 2, 2, 1, 0], [1, 1, 1, pytest.approx(1 / 3), 3]]


def test_the_reason_is_what_most_of_those_had_who_have_the_item(tmp_path):
    scorer, history, _ = asked(tmp_path, ["abd", "ad"], "cba")
    indices = {name: index for index, name in enumerate("abcd")}

    reason = scorer.reason(history, indices["d"], NOW)

    assert reason.items == (indices["a"], indices["b"])
    assert scorer.reason(history, indices["c"], NOW) is None
