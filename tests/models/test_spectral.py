from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from features.interactions import History
from models.spectral import FEW, SCALES, Spectral, SpectralSettings, patterns
from tests.models.test_als import checkerboard
from tests.worlds import NOW

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (FEW + 200, FEW + 100)])
def test_patterns_are_the_strongest_right_singular_vectors(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    matrix = sparse.random(*shape, density=0.02, random_state=rng, dtype=np.float32, format="csr")
    found = patterns(matrix, 8, rng)
    expected = np.linalg.svd(matrix.toarray())[2][:8].T
    np.testing.assert_allclose(np.abs((found * expected).sum(axis=0)), 1, atol=1e-3)


def test_a_pattern_that_is_none_is_left_out() -> None:
    assert patterns(sparse.csr_matrix(np.ones((5, 7), np.float32) / 6), 4, RNG).shape == (7, 1)
    assert patterns(sparse.csr_matrix((5, 7), dtype=np.float32), 4, RNG).shape == (7, 0)


def test_on_a_checkerboard_the_one_missing_item_is_found(tmp_path: Path) -> None:
    world = checkerboard(tmp_path / "s")
    spectral = Spectral.fit(world, SpectralSettings(factors=2), RNG)
    for user in range(20):
        history = world.interactions.of(user)
        best = [one for one in spectral.candidates(history, 20, NOW).tolist() if one not in history.item]
        assert world.items.id(best[0]) == f"i{user:02}"


def test_columns_are_what_the_strongest_patterns_say_and_how_that_compares(tmp_path: Path) -> None:
    world = checkerboard(tmp_path / "s")
    spectral = Spectral.fit(world, SpectralSettings(), RNG)
    assert SCALES[0] < spectral.codes.shape[1] < SCALES[1]
    history, items = world.interactions.of(3), np.arange(len(world.items), dtype=np.int32)
    columns = spectral.features(history, items, NOW)
    mine = np.unique(history.item)
    for at, scale in enumerate(SCALES):
        few = (spectral.codes * spectral.unit[:, np.newaxis])[:, :scale]
        expected = few @ (spectral.item_weight[mine] @ few[mine])
        np.testing.assert_allclose(columns[:, at], expected, atol=1e-5)
        np.testing.assert_allclose(columns[:, len(SCALES) + at], expected / expected[mine].mean(), atol=1e-4)
    np.testing.assert_allclose(columns[:, len(SCALES) - 1], spectral.scores(history, items, NOW), atol=1e-5)


def test_without_history_or_patterns_nothing_is_said(tmp_path: Path) -> None:
    world = checkerboard(tmp_path / "s")
    spectral = Spectral.fit(world, SpectralSettings(), RNG)
    every = np.arange(len(world.items), dtype=np.int32)
    assert not spectral.features(History.empty(), every, NOW).any()
    none = replace(spectral, codes=np.zeros((len(every), 0), np.int16))
    assert not none.features(world.interactions.of(0), every, NOW).any()
    assert not len(none.candidates(world.interactions.of(0), 5, NOW))
