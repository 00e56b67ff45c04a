"""What profiles did with items, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from features.errors import Corrupt
from features.saved import load_array

IntArray = NDArray[np.int32]
DAY_S: Final = 86_400
"""Seconds of a day."""


@dataclass(frozen=True, slots=True)
class History:
    """The interactions of one profile, oldest first; six arrays of one length.

    Attributes:
        item: Index of the item, int32.
        event_type: Index in the snapshot's ``event_types``, uint8.
        timestamp_s: Seconds since 1970-01-01 UTC, int64.
        quantity: Pieces, float32; negative for a return, 0 where nothing changed hands.
        value: Money, float32; 0 where the source gives none.
        session: Number of the visit or basket, int32, equal for events of one; -1 where unknown.
    """

    item: IntArray
    event_type: NDArray[np.uint8]
    timestamp_s: NDArray[np.int64]
    quantity: NDArray[np.float32]
    value: NDArray[np.float32]
    session: IntArray

    def __len__(self) -> int:
        return len(self.item)

    @classmethod
    def empty(cls) -> Self:
        """Return the history of somebody of whom nothing is known."""
        return cls(**{name: np.zeros(0, dtype) for name, dtype in COLUMNS.items()})

    def before(self, timestamp_s: int) -> History:
        """Return the part that happened before ``timestamp_s``."""
        return self[: int(np.searchsorted(self.timestamp_s, timestamp_s, side="left"))]

    def __getitem__(self, part: slice | NDArray[np.bool_] | NDArray[np.int64]) -> History:
        return History(
            self.item[part],
            self.event_type[part],
            self.timestamp_s[part],
            self.quantity[part],
            self.value[part],
            self.session[part],
        )


COLUMNS: Final[dict[str, np.dtype[Any]]] = {
    "item": np.dtype(np.int32),
    "event_type": np.dtype(np.uint8),
    "timestamp_s": np.dtype(np.int64),
    "quantity": np.dtype(np.float32),
    "value": np.dtype(np.float32),
    "session": np.dtype(np.int32),
}


@dataclass(frozen=True, slots=True)
class Interactions:
    """The histories of all profiles, one behind another, ordered by user index and then by time.

    Attributes:
        indptr: int64, shape (users + 1,); the rows of user ``u`` are ``indptr[u]:indptr[u + 1]``.
        all: All rows; the other attributes of a ``History``.
    """

    indptr: NDArray[np.int64]
    all: History

    @property
    def n_users(self) -> int:
        """How many users there are, those without a row included."""
        return len(self.indptr) - 1

    def of(self, user: int) -> History:
        """Return the history of the user with index ``user``, a view."""
        return self.all[int(self.indptr[user]) : int(self.indptr[user + 1])]

    def users(self) -> IntArray:
        """Return the user index of every row; shape (n,)."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.indptr))

    def before(self, timestamp_s: int) -> Interactions:
        """Return the interactions of the same users that happened before ``timestamp_s``."""
        return self.where(self.all.timestamp_s < timestamp_s)

    def where(self, kept: NDArray[np.bool_]) -> Interactions:
        """Return the rows that are ``kept``, of the same users."""
        seen = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
        return Interactions(seen[self.indptr], self.all[kept])

    def save(self, folder: Path) -> None:
        """Write one ``.npy`` file for each array into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "indptr.npy", self.indptr, allow_pickle=False)
        for part in fields(History):
            np.save(folder / f"{part.name}.npy", getattr(self.all, part.name), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Interactions:
        """Return the interactions saved in ``folder``, memory-mapped.

        Raises:
            Corrupt: a file is missing or damaged, or the arrays do not fit together.
        """
        arrays = {name: load_array(folder / f"{name}.npy") for name in ("indptr", *COLUMNS)}
        indptr = arrays.pop("indptr")
        if len({len(array) for array in arrays.values()}) != 1 or indptr[-1:].tolist() != [len(arrays["item"])]:
            raise Corrupt(f"The interactions in {folder} are of different lengths.")
        return cls(indptr, History(**arrays))
