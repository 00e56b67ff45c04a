from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.errors import Corrupt
from features.interactions import COLUMNS, History, Interactions


def interactions(times_of_users: list[list[int]]) -> Interactions:
    """Return interactions at the given seconds; the item of each is its row."""
    times = np.array([time for times in times_of_users for time in times], np.int64)
    columns = {name: np.zeros(len(times), dtype) for name, dtype in COLUMNS.items()}
    columns |= {"timestamp_s": times, "item": np.arange(len(times), dtype=np.int32)}
    return Interactions(np.cumsum([0, *map(len, times_of_users)]), History(**columns))


def test_each_user_has_their_own_rows() -> None:
    made = interactions([[1, 5], [], [2, 3, 4]])
    assert made.n_users == 3
    assert [made.of(user).item.tolist() for user in range(3)] == [[0, 1], [], [2, 3, 4]]
    assert made.users().tolist() == [0, 0, 2, 2, 2]


def test_what_happened_at_a_moment_did_not_happen_before_it() -> None:
    made = interactions([[1, 5], [], [2, 3, 4]])
    assert made.of(2).before(3).item.tolist() == [2]
    past = made.before(3)
    assert past.indptr.tolist() == [0, 1, 1, 2]
    assert [past.of(user).timestamp_s.tolist() for user in range(3)] == [[1], [], [2]]


def test_a_history_before_any_moment_agrees_with_all_interactions_before_it() -> None:
    made = interactions([[1, 5, 5], [], [2, 3, 4], [9]])
    for moment in range(11):
        for user in range(4):
            assert made.before(moment).of(user).item.tolist() == made.of(user).before(moment).item.tolist()


def test_nothing_is_known_of_an_empty_history() -> None:
    assert len(History.empty()) == 0
    assert len(History.empty().before(1)) == 0


def test_interactions_come_back_from_their_files(tmp_path: Path) -> None:
    interactions([[1, 5], [2]]).save(tmp_path)
    loaded = Interactions.load(tmp_path)
    assert loaded.of(0).timestamp_s.tolist() == [1, 5]
    assert {name: getattr(loaded.all, name).dtype for name in COLUMNS} == COLUMNS


def test_files_that_are_missing_or_do_not_fit_are_corrupt(tmp_path: Path) -> None:
    interactions([[1, 5], [2]]).save(tmp_path)
    np.save(tmp_path / "item.npy", np.zeros(2, np.int32))
    with pytest.raises(Corrupt, match="different lengths"):
        Interactions.load(tmp_path)
    (tmp_path / "item.npy").unlink()
    with pytest.raises(Corrupt, match=r"item\.npy"):
        Interactions.load(tmp_path)
