"""Which event ids the history has: tells the repeated from the new without memory for each event.

Beside the history lie files of sorted 64-bit hashes, each of the ids in some successive history files. They are made of
the history, and may be deleted: whatever no file covers is kept in memory. Of a file only every 512th hash is; where an
id would be, 4 KiB are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from hashlib import md5
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

PER_FENCE: Final = 512
MOST_FILES: Final = 8
"""When there are more, they become one."""
_HASH: Final = np.dtype(np.uint64)


def hashes_of(paths: Iterable[Path]) -> Hashes:
    """Return the hashes of the event ids in Parquet files, sorted."""
    files = [str(path) for path in paths]
    if not files:
        return np.zeros(0, np.uint64)
    import duckdb  # here: a service that starts needs none of it

    query = "SELECT md5_number_lower(event_id) AS hash FROM read_parquet(?, hive_partitioning = false)"
    with closing(duckdb.connect()) as engine:
        found = np.asarray(engine.execute(query, [files]).fetchnumpy()["hash"], np.uint64)
    return np.sort(found)


def hash_of(event_id: str) -> int:
    """Return the hash of one event id, the same as DuckDB's ``md5_number_lower``."""
    return int.from_bytes(md5(event_id.encode(), usedforsecurity=False).digest()[8:], "little")


class SortedHashes:
    """A file of sorted hashes: how many there are, every 512th of them, and then all."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        (self._n,) = np.frombuffer(os.read(self._file, 8), np.int64).tolist()
        n_fences = -(-self._n // PER_FENCE)
        self._fences = np.frombuffer(os.read(self._file, 8 * n_fences), _HASH)
        self._begin = 8 + 8 * n_fences

    def __del__(self) -> None:
        os.close(self._file)

    def __contains__(self, hash_: int) -> bool:
        block = int(np.searchsorted(self._fences, np.uint64(hash_), side="right")) - 1
        return block >= 0 and bool((self.between(block * PER_FENCE, (block + 1) * PER_FENCE) == hash_).any())

    def __len__(self) -> int:
        return self._n

    def between(self, start: int, end: int) -> Hashes:
        """Return the hashes from place ``start`` to before place ``end``."""
        count = max(0, min(end, self._n) - start)
        return np.frombuffer(os.pread(self._file, 8 * count, self._begin + 8 * start), _HASH)

    @classmethod
    def write(cls, path: Path, parts: Sequence[Hashes | SortedHashes]) -> Self:
        """Write all of ``parts``, each sorted, to ``path``, and return it; memory is bounded by a 256th of them."""
        n = sum(map(len, parts))
        fences = np.empty(-(-n // PER_FENCE), _HASH)
        temporary = path.with_suffix(".tmp")
        done = 0
        with temporary.open("wb") as file:
            file.write(np.int64(n).tobytes() + fences.tobytes())
            for low in range(256):
                some = np.concatenate([_range(part, low << 56, (low + 1) << 56) for part in parts])
                some.sort()
                first = -done % PER_FENCE
                at = np.arange(first, len(some), PER_FENCE)
                fences[(done + at) // PER_FENCE] = some[at]
                file.write(some.tobytes())
                done += len(some)
            file.seek(8)
            file.write(fences.tobytes())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        return cls(path)


def _range(part: Hashes | SortedHashes, low: int, high: int) -> Hashes:
    """Return the hashes of ``part`` from ``low`` to before ``high``."""
    start, end = _place(part, low), _place(part, high)
    return part.between(start, end) if isinstance(part, SortedHashes) else part[start:end]


def _place(part: Hashes | SortedHashes, hash_: int) -> int:
    if hash_ >= 1 << 64:
        return len(part)
    if not isinstance(part, SortedHashes):
        return int(np.searchsorted(part, np.uint64(hash_)))
    block = max(0, int(np.searchsorted(part._fences, np.uint64(hash_))) - 1)
    return block * PER_FENCE + int(
        np.searchsorted(part.between(block * PER_FENCE, (block + 1) * PER_FENCE), np.uint64(hash_))
    )


class HistoryIds:
    """The ids of the history in ``folder``, as the history files of higher and higher numbers are made known."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, SortedHashes] = {}
        self._in_memory: list[Hashes] = []
        self.until = 0
        """The number of the last history file that is known."""

    def refresh(self) -> None:
        """Take in what the files of hashes cover; what was read into memory is let go."""
        covering, until = _covering(self._folder)
        if covering != list(self._files):
            try:
                self._files = {name: self._files.get(name) or SortedHashes(self._folder / name) for name in covering}
            except FileNotFoundError:  # several have just become one
                return self.refresh()
            self._in_memory = []
            self.until = until
        return None

    def add(self, paths: Sequence[Path], until: int) -> None:
        """Take in the ids of history files that no file of hashes covers, the last of number ``until``."""
        self._in_memory.append(hashes_of(paths))
        self.until = until

    def likely(self, event_ids: Sequence[str]) -> list[str]:
        """Return those of ``event_ids`` that the history has, and by chance one in 10**11 that it has not."""
        if not self._files and not self._in_memory:
            return []
        return [event_id for event_id in event_ids if self._has(hash_of(event_id))]

    def _has(self, hash_: int) -> bool:
        if any(hash_ in file for file in self._files.values()):
            return True
        for hashes in self._in_memory:
            place = int(np.searchsorted(hashes, np.uint64(hash_)))
            if place < len(hashes) and hashes[place] == hash_:
                return True
        return False


def cover(folder: Path, history_files: Mapping[int, Path]) -> None:
    """Write the hashes of those of ``history_files``, by number, that no file of hashes covers yet.

    Only one process at a time may do so.
    """
    folder.mkdir(exist_ok=True)
    covering, covered = _covering(folder)
    until = max(history_files, default=0)
    if until > covered:
        name = f"{covered + 1:08d}-{until:08d}.hashes"
        SortedHashes.write(
            folder / name, [hashes_of(path for number, path in history_files.items() if number > covered)]
        )
        covering.append(name)
    if len(covering) > MOST_FILES:
        name = f"{1:08d}-{until:08d}.hashes"
        SortedHashes.write(folder / name, [SortedHashes(folder / one) for one in covering])
        covering = [name]
    for path in folder.iterdir():
        if path.name not in covering:
            path.unlink()


def _covering(folder: Path) -> tuple[list[str], int]:
    """Return the files of hashes to use, and the number that they cover up to."""
    spans = sorted(
        ((int(path.stem[:8]), -int(path.stem[9:]), path.name) for path in folder.glob("*.hashes")),
    )
    names, until = [], 0
    for first, negative_last, name in spans:
        if first == until + 1:
            names.append(name)
            until = -negative_last
    return names, until
