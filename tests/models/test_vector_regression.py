from pathlib import Path

import numpy as np
import pytest

from models.vector_regression import (
    ContentRegression,
    ContentRegressionSettings,
    SpectralRegression,
    SpectralRegressionSettings,
)
from tests.worlds import NOW, event, item, snapshot

TITLES = {"camera": "Old camera", "camera2": "Old camera", "film": "Fresh film", "tea": "Black tea", "pot": "Black pot"}


def scores(folder: Path, me: str, titles: dict[str, str], **config: float) -> dict[str, float]:
    """Where three people bought a film after a camera, and one a pot after tea: scores for who bought ``me`` alone."""
    catalog = [item(name) | {"title": title} for name, title in titles.items()]
    bought = [event(user, name, day) for user in "uvw" for name, day in (("camera", 9), ("film", 8))]
    bought += [event("x", "tea", 9), event("x", "pot", 8)]
    world = snapshot(folder / "world", bought, catalog)
    history = snapshot(folder / "me", [event("me", me)], catalog).interactions.of(0)
    plain = {"half_life_days": 1e9, "titles": {"largest_share": 1.0}, "values_weight": 0}
    found = ContentRegression.fit(
        world, ContentRegressionSettings.model_validate(plain | config), np.random.default_rng(0)
    )
    items = np.arange(len(titles), dtype=np.int32)
    return dict(zip(sorted(titles), found.scores(history, items, NOW).tolist(), strict=True))


def test_what_followed_follows_what_is_like_its_predecessor_though_nobody_chose_it_yet(tmp_path: Path) -> None:
    after_camera = scores(tmp_path / "camera", "camera", TITLES, ridge=1.0)
    after_its_like = scores(tmp_path / "like", "camera2", TITLES, ridge=1.0)

    # Three pasts of one camera each, all followed by a film: the coefficient is 3 / (3 + ridge).
    assert after_camera == pytest.approx({"camera": 0, "camera2": 0, "film": 3 / 4, "tea": 0, "pot": 0}, abs=1e-5)
    assert after_its_like == pytest.approx(after_camera, abs=1e-5)


def test_a_larger_ridge_draws_towards_nothing(tmp_path: Path) -> None:
    assert scores(tmp_path, "camera", TITLES, ridge=9.0)["film"] == pytest.approx(3 / 12, abs=1e-5)


def test_where_nothing_is_described_nothing_follows(tmp_path: Path) -> None:
    assert not any(scores(tmp_path, "camera", dict.fromkeys(TITLES, "")).values())


def test_what_keeps_the_same_company_is_followed_by_the_same(tmp_path: Path) -> None:
    # Both cameras were bought before a case and a strap, only the first also before a film.
    orders = {"a": ["camera", "case", "strap", "film"], "b": ["camera", "strap", "case", "film"]}
    orders |= {"c": ["camera2", "case", "strap"], "d": ["camera2", "strap", "case"], "e": ["tea", "pot"]}
    bought = [event(user, name, 9 - at) for user, names in orders.items() for at, name in enumerate(names)]
    world = snapshot(tmp_path / "world", bought, [])
    mine = snapshot(tmp_path / "me", [*bought, event("me", "camera2")], []).interactions.of(5)
    config = SpectralRegressionSettings(factors=2, ridge=1.0)

    found = SpectralRegression.fit(world, config, np.random.default_rng(0)).scores(
        mine, np.arange(len(world.items), dtype=np.int32), NOW
    )

    score = dict(zip(map(world.items.id, range(len(world.items))), found.tolist(), strict=True))
    assert score["film"] > 0.1
    assert score["tea"] == pytest.approx(0, abs=1e-3)


def test_where_nothing_followed_anything_nothing_is_alike(tmp_path: Path) -> None:
    world = snapshot(tmp_path, [event("u", "tea"), event("v", "cup")], [])

    found = SpectralRegression.fit(world, SpectralRegressionSettings(), np.random.default_rng(0))

    assert not len(found.indices)


def test_the_same_seed_makes_the_same_ties_though_many_items_have_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    chosen = [event(f"u{n % 40}", f"i{rng.integers(60):02}", float(days)) for n, days in enumerate(range(400, 0, -1))]
    world = snapshot(tmp_path, chosen, [item(f"never{n}") for n in range(20)])

    first, second = (
        SpectralRegression.fit(world, SpectralRegressionSettings(), np.random.default_rng(1)) for _ in "ab"
    )

    np.testing.assert_array_equal(first.indices, second.indices)
    np.testing.assert_array_equal(first.strength, second.strength)
