"""Files of rows of different lengths, written piece by piece: sparse matrices and histories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray


class _GrowingArray:
    """A ``.npy`` file of one dimension whose length is known only at the end."""

    def __init__(self, path: Path, dtype: DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._length = 0
        self._file = path.open("wb")
        self._write_header()

    def append(self, part: NDArray[np.generic]) -> None:
        self._length += len(part)
        self._file.write(np.ascontiguousarray(part, self._dtype).data)

    def close(self) -> None:
        self._file.seek(0)  # numpy pads the header for any length, so the second one takes the place of the first
        self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._length,)}
        np.lib.format.write_array_header_1_0(self._file, header)


class RaggedArrays:
    """Writes ``indptr.npy`` and one ``.npy`` file for each column into a folder.

    The entries of row ``r`` are ``indptr[r]:indptr[r + 1]`` of every column. Use it as a context manager.
    """

    def __init__(self, folder: Path, n_rows: int, columns: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._lengths = np.zeros(n_rows, dtype=np.int64)
        self._columns = {name: _GrowingArray(folder / f"{name}.npy", dtype) for name, dtype in columns.items()}

    def append(self, rows: NDArray[np.integer], columns: Mapping[str, NDArray[np.generic]]) -> None:
        """Add entries; ``rows`` holds the row of each and never falls, neither here nor from one call to the next."""
        if not len(rows):
            return
        first = int(rows[0])
        lengths = np.bincount(rows - first)
        self._lengths[first : first + len(lengths)] += lengths
        for name, file in self._columns.items():
            file.append(columns[name])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._columns.values():
            file.close()
        indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(self._lengths)])
        np.save(self._folder / "indptr.npy", indptr, allow_pickle=False)
