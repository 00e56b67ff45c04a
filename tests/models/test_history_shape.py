from pathlib import Path

import numpy as np
import pytest

from features.interactions import History
from features.snapshot import Snapshot
from models.history_shape import HistoryShape, HistoryShapeSettings
from tests.worlds import NOW, event, snapshot


def world(folder: Path) -> Snapshot:
    mine = [("tea", 9, "a"), ("cup", 4, "b"), ("pot", 4 - 1e-3, "b")]
    others = [event("you", "pot", day) for day in (3, 2)]
    return snapshot(folder, [event("me", name, day, session_id=one) for name, day, one in mine] + others, [])


def columns(folder: Path, n: int) -> list[float]:
    """Return what the first ``n`` of my interactions tell."""
    found = HistoryShape.fit(world(folder), HistoryShapeSettings(), np.random.default_rng(0))
    rows = found.features(world(folder / "again").interactions.of(0)[:n], np.arange(2, dtype=np.int32), NOW)
    assert rows[0].tolist() == pytest.approx(rows[1].tolist(), nan_ok=True)
    return rows[0].tolist()


def test_a_history_is_told_by_its_length_its_time_its_last_moment_and_how_usual_its_items_are(tmp_path: Path) -> None:
    # Tea and the cup were bought once, the pot three times.
    assert columns(tmp_path / "all", 3) == pytest.approx([3, 5, 0, 2, 3, 5 / 3], abs=1e-2)
    assert columns(tmp_path / "two", 2) == pytest.approx([2, 5, 5, 1, 1, 1], abs=1e-2)


def test_of_what_a_short_history_does_not_tell_nothing_is_said(tmp_path: Path) -> None:
    assert columns(tmp_path / "one", 1) == pytest.approx([1, 0, np.nan, 1, 1, 1], nan_ok=True)
    assert columns(tmp_path / "none", 0) == pytest.approx([0, *[np.nan] * 5], nan_ok=True)


def test_it_proposes_and_scores_nothing(tmp_path: Path) -> None:
    found = HistoryShape.fit(world(tmp_path), HistoryShapeSettings(), np.random.default_rng(0))

    assert not len(found.candidates(History.empty(), 5, NOW))
    assert found.scores(History.empty(), np.arange(3, dtype=np.int32), NOW).tolist() == [0, 0, 0]
