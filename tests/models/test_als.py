from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from features.interactions import History
from features.snapshot import Snapshot
from models.als import ALS, ALSSettings
from tests.worlds import NOW, event, item, snapshot

RNG = np.random.default_rng(0)


def checkerboard(folder: Path) -> Snapshot:
    """Return a world in which even users chose even items, odd users odd ones, and nobody that of their own number."""
    events = [event(f"u{user:02}", f"i{one:02}") for user in range(20) for one in range(user % 2, 20, 2) if one != user]
    return snapshot(folder, events, [item("never")])


def test_on_a_checkerboard_the_one_missing_item_is_found(tmp_path: Path) -> None:
    world = checkerboard(tmp_path / "s")
    als = ALS.fit(world, ALSSettings(factors=4, regularization=0.01), RNG)
    for user in range(20):
        history = world.interactions.of(user)
        best = [one for one in als.candidates(history, 20, NOW).tolist() if one not in history.item]
        assert world.items.id(best[0]) == f"i{user:02}"


@pytest.mark.parametrize("factors", [3, 12])
def test_the_vector_of_a_history_solves_the_equation_of_its_paper(factors: int, tmp_path: Path) -> None:
    world = checkerboard(tmp_path / "s")
    config = ALSSettings(factors=factors, regularization=0.5, alpha=4.0, half_life_days=1e9)
    als = ALS.fit(world, config, np.random.default_rng(1))
    history = world.interactions.of(0)
    assert len(history) == 9
    # implicit alone, with the same seed, knows the vectors as they were before they were turned.
    seed = int(np.random.default_rng(1).integers(2**31))
    model = AlternatingLeastSquares(factors=factors, regularization=0.5, alpha=1.0, iterations=12, random_state=seed)
    chosen = world.matrix("combined")[:, als.items].astype(np.float32)
    chosen.data[:] = 1 + 4.0 * np.log(2.0)
    model.fit(chosen, show_progress=False)
    Y, c, p = model.item_factors.astype(np.float64), np.ones(len(als.items)), np.zeros(len(als.items))
    c[als.place[history.item]], p[als.place[history.item]] = 1 + 4.0 * np.log(2.0), 1
    expected = Y @ np.linalg.solve(Y.T @ sparse.diags(c) @ Y + 0.5 * np.eye(factors), Y.T @ (c * p))

    columns = als.features(history, als.items, NOW)

    np.testing.assert_allclose(columns[:, 0], expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(columns[:, 1], expected / expected[p > 0].mean(), rtol=1e-3, atol=1e-4)


def test_an_item_without_enough_people_has_no_vector_and_is_never_a_candidate(tmp_path: Path) -> None:
    world = checkerboard(tmp_path / "s")
    als = ALS.fit(world, ALSSettings(factors=3, least_users=100), RNG)
    assert not len(als.candidates(world.interactions.of(0), 5, NOW))
    als = ALS.fit(world, ALSSettings(factors=3), RNG)
    assert world.items.index("never") not in als.candidates(world.interactions.of(0), 100, NOW)
    assert not als.scores(History.empty(), als.items, NOW).any()


@pytest.mark.parametrize("factors", [1, 3, 12])
def test_an_interaction_of_long_ago_tells_next_to_nothing_and_spoils_nothing(factors: int, tmp_path: Path) -> None:
    # After 50 half-lives what is added to the confidence, 1, is less than what float32 can tell from it.
    events = [
        event("ann", "tea", 500.0),
        event("ann", "milk", 1.0),
        event("bob", "tea", 1.0),
        event("bob", "milk", 2.0),
    ]
    world = snapshot(tmp_path / "s", events, [])
    als = ALS.fit(world, ALSSettings(factors=factors, least_users=1, half_life_days=10.0), RNG)
    scores = als.scores(world.interactions.of(world.users.index("ann")), als.items, NOW)
    assert np.isfinite(scores).all()
    assert scores.max() > 0
