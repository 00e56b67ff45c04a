"""Ids and the indices that stand for them in arrays."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.errors import Corrupt, NotFound
from features.saved import load_array


class Vocabulary:
    """A sorted set of ids; the index of an id is its place in that order.

    Ids are kept as fixed-width UTF-8 bytes, so that a vocabulary of millions is one memory-mapped array
    that worker processes share, and a look-up is a binary search.
    """

    def __init__(self, ids: NDArray[np.bytes_]) -> None:
        self._ids = ids

    @classmethod
    def of(cls, ids: Iterable[str]) -> Vocabulary:
        """Return the vocabulary of ``ids``: sorted by their UTF-8 bytes, each once."""
        encoded = sorted({name.encode() for name in ids})
        width = max((len(name) for name in encoded), default=1)
        return cls(np.array(encoded, dtype=f"S{width}"))

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Return the vocabulary saved at ``path``, memory-mapped.

        Raises:
            Corrupt: the file is missing or damaged.
        """
        ids = load_array(path)
        if ids.dtype.kind != "S" or ids.ndim != 1:
            raise Corrupt(f"The vocabulary {path} holds {ids.dtype} of shape {ids.shape}, not a list of ids.")
        return cls(ids)

    def save(self, path: Path) -> None:
        """Write the vocabulary to ``path`` (``.npy``)."""
        np.save(path, self._ids, allow_pickle=False)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, name: str) -> bool:
        return self.find(name) is not None

    def find(self, name: str) -> int | None:
        """Return the index of ``name``, or None where it is unknown."""
        encoded = name.encode()
        if len(encoded) > self._ids.dtype.itemsize:
            return None  # numpy would cut it to the array's width and find another id
        index = int(np.searchsorted(self._ids, np.bytes_(encoded)))
        return index if index < len(self._ids) and self._ids[index] == encoded else None

    def index(self, name: str) -> int:
        """Return the index of ``name``.

        Raises:
            NotFound: it is unknown.
        """
        index = self.find(name)
        if index is None:
            raise NotFound(f"Unknown id {name!r}.")
        return index

    def indices(self, names: Iterable[str]) -> NDArray[np.int32]:
        """Return the index of each of ``names``, -1 where it is unknown; shape (n,)."""
        encoded = [name.encode() for name in names]
        if not encoded or not len(self._ids):
            return np.full(len(encoded), -1, np.int32)
        width = self._ids.dtype.itemsize
        wanted = np.array([name if len(name) <= width else b"" for name in encoded], self._ids.dtype)
        places = np.minimum(np.searchsorted(self._ids, wanted), len(self._ids) - 1)
        return np.where((self._ids[places] == wanted) & (wanted != b""), places, -1).astype(np.int32)

    def starting_with(self, prefix: str) -> range:
        """Return the indices of the ids that begin with ``prefix``; they lie side by side."""
        first = int(np.searchsorted(self._ids, np.bytes_(prefix.encode())))
        behind = np.bytes_(prefix.encode() + b"\xff")  # no UTF-8 text holds this byte
        return range(first, int(np.searchsorted(self._ids, behind)) if prefix else len(self))

    def id(self, index: int) -> str:
        """Return the id that ``index`` stands for."""
        return bytes(self._ids[index]).decode()

    def ids(self) -> list[str]:
        """Return all ids, in order of their index."""
        return [name.decode() for name in self._ids.tolist()]
