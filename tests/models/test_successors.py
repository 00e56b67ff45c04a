import numpy as np
import pytest

from models.successors import Successors, SuccessorsSettings
from tests.worlds import NOW, event, item, snapshot

ITEMS = [item(name) for name in "abc"]
PLAIN = {
    "own_exponent": 0,
    "neighbour_exponent": 0,
    "pair_half_life_days": 1e9,
    "gap_half_life_days": 1e9,
    "half_life_days": 1e9,
}


def fitted(folder, events, **config):
    world = snapshot(folder / "snapshot", events, ITEMS)
    return Successors.fit(world, SuccessorsSettings(**PLAIN | config), np.random.default_rng(0))


def ties(scorer):
    table = np.zeros((3, 3))
    for row in range(3):
        part = slice(scorer.indptr[row], scorer.indptr[row + 1])
        table[row, scorer.indices[part]] = scorer.strength[part]
    return table.tolist()


def chain(user="u", items="abc", start=9.0):
    return [event(user, name, start - at) for at, name in enumerate(items)]


def test_what_came_later_follows_and_what_came_at_once_follows_most(tmp_path):
    scorer = fitted(tmp_path, chain(), distance_decay=0.5)

    # Three interactions: each pair counts 1 / log2(1 + 3).
    assert ties(scorer) == [[0, 0.5, 0.25], [0, 0, 0.5], [0, 0, 0]]


def test_nothing_beyond_the_distance_follows(tmp_path):
    assert ties(fitted(tmp_path, chain(), distance=1)) == [[0, 0.5, 0], [0, 0, 0.5], [0, 0, 0]]


def test_a_pair_in_a_long_history_tells_less(tmp_path):
    assert ties(fitted(tmp_path, chain(items="ab")))[0][1] == pytest.approx(1 / np.log2(3))
    assert ties(fitted(tmp_path / "longer", chain()))[0][1] == 1 / 2


def test_an_item_follows_itself_only_where_repeats_are_counted(tmp_path):
    assert ties(fitted(tmp_path, chain(items="aa")))[0][0] == 0
    assert ties(fitted(tmp_path / "repeats", chain(items="aa"), repeats=True))[0][0] > 0


def test_an_old_pair_counts_half_after_its_half_life(tmp_path):
    events = [*chain("u", "ab", 11.0), *chain("v", "ac", 21.0)]

    table = ties(fitted(tmp_path, events, pair_half_life_days=10))

    assert table[0][2] / table[0][1] == pytest.approx(0.5, rel=1e-3)


def test_a_pair_with_time_between_counts_half_after_its_half_life(tmp_path):
    table = ties(fitted(tmp_path, chain(), distance_decay=1, gap_half_life_days=1))

    assert table == [[0, 0.25, 0.125], [0, 0, 0.25], [0, 0, 0]]


def test_the_exponents_take_company_and_popularity_away(tmp_path):
    events = [*chain("u", "ab"), *chain("v", "ab"), *chain("w", "ac"), *chain("x", "cb")]

    plain = ties(fitted(tmp_path, events))
    divided = ties(fitted(tmp_path / "divided", events, own_exponent=1, neighbour_exponent=1))

    assert plain[0][1] / plain[0][2] == pytest.approx(2)
    # a is followed three times; b follows three times, c once.
    assert divided[0][1] / divided[0][2] == pytest.approx(2 / 3)


def test_it_recommends_what_came_next_to_others_and_says_so(tmp_path):
    scorer = fitted(tmp_path, chain())
    world = snapshot(tmp_path / "me", [event("me", "a")], ITEMS)

    me = world.interactions.of(0)

    assert scorer.candidates(me, 5, NOW).tolist() == [1, 2]
    assert scorer.reason(me, 1, NOW).text == "Often follows {0}."
