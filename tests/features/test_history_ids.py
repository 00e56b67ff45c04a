"""Which ids the history has, from files of sorted hashes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features import history_ids
from features.history_ids import HistoryIds, SortedHashes, cover, hash_of, hashes_of


def history_file(path: Path, *event_ids: str) -> Path:
    pq.write_table(pa.table({"event_id": pa.array(event_ids, pa.string())}), path)
    return path


def test_a_hash_is_the_same_live_and_from_a_file(tmp_path: Path):
    ids = ["a", "Zoë", "x" * 100]
    assert hashes_of([history_file(tmp_path / "1.parquet", *ids)]).tolist() == sorted(map(hash_of, ids))


@pytest.mark.parametrize("n", [0, 1, 511, 512, 513, 5_000])
def test_a_file_has_what_was_written_and_nothing_else(tmp_path: Path, n: int):
    rng = np.random.default_rng(n)
    hashes = np.unique(rng.integers(0, 2**64, n, np.uint64, endpoint=False))
    parts = [np.sort(hashes[::2]), SortedHashes.write(tmp_path / "odd", [hashes[1::2]])]
    file = SortedHashes.write(tmp_path / "all", parts)
    assert len(file) == len(hashes)
    assert file.between(0, n).tolist() == hashes.tolist()
    assert all(one in file for one in hashes[:300].tolist())
    assert not any(one in file for one in (hashes[:300] + np.uint64(1)).tolist())


def test_files_cover_the_history_as_it_grows_and_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(history_ids, "MOST_FILES", 2)
    folder, files = tmp_path / "ids", {}
    ids = HistoryIds(folder)
    for number in range(1, 8):
        files[number] = history_file(tmp_path / f"{number}.parquet", f"e{number}", f"f{number}")
        if number != 4:  # then a job was killed before its end
            cover(folder, files)
        ids.refresh()
        if ids.until < number:
            ids.add([files[number]], number)
        assert ids.likely(["e1", f"f{number}", f"e{number + 1}"]) == ["e1", f"f{number}"]
        assert ids.until == number
        assert len(list(folder.iterdir())) <= 2
    assert HistoryIds(folder).likely(["e1"]) == []
