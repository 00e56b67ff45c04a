import numpy as np
import pytest

from models.analogies import Analogies, AnalogiesSettings
from tests.worlds import NOW, event, item, snapshot

PLAIN = {
    "own_exponent": 0,
    "neighbour_exponent": 0,
    "pair_half_life_days": 1e9,
    "gap_half_life_days": 1e9,
    "half_life_days": 1e9,
    "values_weight": 0,
}
TITLES = {"camera": "Old camera", "camera2": "Old camera", "film": "Fresh film", "film2": "Fresh film", "tea": "Tea"}


def scores(folder, me, titles=TITLES, **config):
    """Where somebody bought a film after a camera: scores by item for ``me``, who bought one item."""
    catalog = [item(name) | {"title": title} for name, title in titles.items()]
    world = snapshot(folder / "s", [event("u", "camera", 9), event("u", "film", 8)], catalog)
    history = snapshot(folder / "me", [event("me", me)], catalog).interactions.of(0)
    scorer = Analogies.fit(world, AnalogiesSettings(**PLAIN | config), np.random.default_rng(0))
    items = np.arange(len(titles), dtype=np.int32)
    return dict(zip(sorted(titles), scorer.scores(history, items, NOW).tolist(), strict=True))


def test_what_is_like_what_followed_follows_too_and_so_it_does_what_is_like_its_predecessor(tmp_path):
    once = 1 / np.log2(3)

    # The two cameras, and the two films, have the same title: their likeness is 1, which counts one half.
    after_camera = scores(tmp_path / "camera", "camera", likeness_weight=0.5)
    after_its_like = scores(tmp_path / "like", "camera2", likeness_weight=0.5)

    assert after_camera == pytest.approx({"camera": 0, "camera2": 0, "film": once, "film2": once / 2, "tea": 0})
    assert after_its_like == pytest.approx({"camera": 0, "camera2": 0, "film": once / 2, "film2": once / 4, "tea": 0})


def test_where_nothing_is_alike_only_what_followed_follows(tmp_path):
    found = scores(tmp_path, "camera", {name: name for name in TITLES})

    assert found == pytest.approx(dict.fromkeys(TITLES, 0) | {"film": 1 / np.log2(3)})
