from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from features.ragged_arrays import RaggedArrays


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 12), max_size=4))
def test_rows_come_back_whatever_the_pieces_in_which_they_were_written(
    tmp_path_factory, lengths: list[int], cuts: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("ragged") / "rows"
    rows = np.repeat(np.arange(len(lengths)), lengths)
    values = np.arange(len(rows), dtype=np.float64) / 2
    with RaggedArrays(folder, len(lengths), {"data": np.float32}) as files:
        for part in np.split(np.arange(len(rows)), sorted(min(cut, len(rows)) for cut in cuts)):
            files.append(rows[part], {"data": values[part]})
    assert np.diff(np.load(folder / "indptr.npy")).tolist() == lengths
    data = np.load(folder / "data.npy", mmap_mode="r")
    assert data.dtype == np.float32
    assert data.tolist() == values.tolist()


def test_a_sparse_matrix_can_be_written_row_by_row(tmp_path: Path) -> None:
    matrix = sparse.csr_matrix([[0, 2], [0, 0], [1, 3]])
    with RaggedArrays(tmp_path / "matrix", 3, {"indices": np.int32, "data": np.float32}) as files:
        for row in range(3):
            part = slice(matrix.indptr[row], matrix.indptr[row + 1])
            n = part.stop - part.start
            files.append(np.full(n, row), {"indices": matrix.indices[part], "data": matrix.data[part]})
    data, indices, indptr = (np.load(tmp_path / "matrix" / f"{name}.npy") for name in ("data", "indices", "indptr"))
    assert (sparse.csr_matrix((data, indices, indptr), (3, 2)) != matrix).nnz == 0
