from pathlib import Path

import numpy as np
import pytest

from models.content_regression import ContentRegression, ContentRegressionSettings
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
