import numpy as np
import pytest

from models.values import Values, ValuesSettings
from tests.worlds import NOW, event, item, snapshot

CATALOG = [
    item("a", brand=["red"], kind=["shoe"]),
    item("b", brand=["red"], kind=["hat"]),
    item("c", brand=["blue"], kind=["hat"]),
    item("d", brand=["blue"], kind=["shoe"]),
    item("e", brand=["grey"], kind=["shoe"]),
    item("f", brand=["grey"], kind=[]),
]


def scores(folder, **config):
    world = snapshot(folder / "s", [event("me", "a")], CATALOG)
    scorer = Values.fit(world, ValuesSettings(half_life_days=1e9, **config), np.random.default_rng(0))
    return scorer.scores(world.interactions.of(0), np.arange(6, dtype=np.int32), NOW)


def test_a_rare_value_that_is_shared_tells_more_than_a_common_one(tmp_path):
    # Of six items two are red, two are hats and three are shoes: red weighs log 3, hat log 3, shoe log 2.
    found = scores(tmp_path, largest_share=1.0)

    rare, common = np.log(3), np.log(2)
    length_of_a = np.hypot(rare, common)
    assert found[1] == pytest.approx(rare**2 / (length_of_a * np.hypot(rare, rare)))
    assert found[3] == pytest.approx(common**2 / (length_of_a * length_of_a))
    assert found[2] == found[5] == 0


def test_a_value_of_too_many_items_tells_nothing(tmp_path):
    assert np.flatnonzero(scores(tmp_path, largest_share=0.4)).tolist() == [1]


def test_a_catalog_without_dimensions_tells_nothing(tmp_path):
    world = snapshot(tmp_path / "s", [event("me", "a")], [item("a"), item("b")])

    scorer = Values.fit(world, ValuesSettings(), np.random.default_rng(0))

    assert len(scorer.candidates(world.interactions.of(0), 5, NOW)) == 0
