"""Tables of neighbours: what the items of a history say about others."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt
from scipy import sparse

from features.compiled import DOUBLE, FLOATS, INTS, LONG, LONGS
from features.hash_table import empty_slots, slot_of
from features.interactions import History, IntArray
from features.settings import Settings
from features.snapshot import Snapshot
from models.lookup import PLACES, Found, Lookup, best_rows
from models.scorer import Reason, best_first, event_weights, interaction_weights

BLOCK_ROWS: Final = 1024
BLOCK_ENTRIES: Final = 2**24
"""A product of dense matrices is held in blocks of so many entries, at most."""


class NeighbourSettings(Settings):
    """How many neighbours are kept, and how a history is read."""

    neighbours: PositiveInt = 200
    """Longest list of neighbours of one item."""
    step_decay: float = Field(default=0.7, gt=0, le=1)
    """What an interaction counts, as a share of the one that came after it."""
    half_life_days: PositiveFloat = 3650.0
    """Age at which an interaction of the history counts half, besides."""
    recent_interactions: PositiveInt = 50
    """How many interactions of a history count, the last ones."""


@dataclass(frozen=True)
class Neighbours(Lookup):
    """Scores an item by the strength of its ties with the items of the history.

    Attributes:
        event_weights: float32, shape (event types,).
        indptr: int64, shape (items + 1,); the neighbours of item ``i`` are at ``indptr[i]:indptr[i + 1]``.
        indices: int32; the neighbours, the strongest first.
        strength: float32, above 0.
    """

    reason_kind: ClassVar[str] = "together"
    reason_texts: ClassVar[tuple[str, str]] = ("Goes with {0}.", "Goes with {0} and {1}.")
    """Said where one item of the history speaks for the item, and where two do."""

    config: Settings
    event_weights: NDArray[np.float32]
    indptr: NDArray[np.int64]
    indices: IntArray
    strength: NDArray[np.float32]

    @abstractmethod
    def anchors(self, history: History, now: datetime) -> tuple[IntArray, NDArray[np.float32]]:
        """Return the items of the history that count, those that count most first, and what each weighs."""

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return the one or two items of the history that ``item`` is tied to most."""
        mine, weight = self.anchors(history, now)
        items, at = np.unique(mine, return_inverse=True)
        pull = np.array([self._between(int(one), item) for one in items], dtype=np.float32)
        pull *= np.bincount(at, weight, minlength=len(items)).astype(np.float32)
        because = tuple(best_first(items, pull, 2).tolist())
        return Reason(self.reason_kind, self.reason_texts[len(because) - 1], because) if because else None

    def _between(self, one: int, other: int) -> float:
        part = slice(int(self.indptr[one]), int(self.indptr[one + 1]))
        return float(self.strength[part][self.indices[part] == other].sum())


@dataclass(frozen=True)
class NeighbourScorer(Neighbours):
    """Scores an item by the strength of its ties with the items of the history, the recent ones above all.

    The score is the sum over the history of ``weight x strength``, where an interaction's weight is that of its event
    type, times ``step_decay`` for each interaction after it, halved every ``half_life_days``. Subclasses say what ties
    items, by ``fit``.
    """

    feature_names: ClassVar[tuple[str, ...]] = ("score", "last", "previous", "strongest", "share_of_best", "place")

    config: NeighbourSettings

    @classmethod
    def of_ties(cls, ties: sparse.csr_matrix, snapshot: Snapshot, config: NeighbourSettings) -> Self:
        """Return the scorer that keeps the strongest of ``ties``, a matrix of all items of ``snapshot`` by all."""
        return cls(config, event_weights(snapshot), **strongest(ties, config.neighbours))

    def find(self, history: History, now: datetime) -> Found:
        """Return the ties of each item with the last interaction, with the one before it, and the strongest."""
        found: Found = _pull(*self.anchors(history, now), self.indptr, self.indices, self.strength, PLACES)
        return found

    def anchors(self, history: History, now: datetime) -> tuple[IntArray, NDArray[np.float32]]:
        """Return the items of the interactions that count, the last one first, and what each weighs."""
        before = len(history) - self.config.recent_interactions
        recent = history[before:] if before > 0 else history
        weight = interaction_weights(recent, self.event_weights, self.config.half_life_days, now)
        return latest_first(np.ascontiguousarray(recent.item), weight, self.config.step_decay)


def strongest(ties: sparse.csr_matrix, n: int) -> dict[str, NDArray[Any]]:
    """Return the ``n`` largest entries above 0 of each row of ``ties``, as the arrays of a ``NeighbourScorer``."""
    indptr, indices, strength = _strongest(
        ties.indptr.astype(np.int64), ties.indices.astype(np.int32), ties.data.astype(np.float32), n
    )
    return {"indptr": indptr, "indices": indices, "strength": strength}


def strongest_products(
    left: sparse.csr_matrix | NDArray[np.float32], right: sparse.csr_matrix | NDArray[np.float32], n: int
) -> sparse.csr_matrix:
    """Return the ``n`` largest entries above 0 of each row of ``left @ right``, never holding more than a few rows."""
    rows = max(1, min(BLOCK_ROWS, BLOCK_ENTRIES // right.shape[1]))
    blocks = [
        _matrix(strongest(sparse.csr_matrix(left[start : start + rows] @ right), n), right.shape[1])
        for start in range(0, left.shape[0], rows)
    ]
    return sparse.vstack(blocks, "csr")


def kept(ties: sparse.csr_matrix, n: int) -> sparse.csr_matrix:
    """Return ``ties`` with only the ``n`` largest entries above 0 of each row."""
    return _matrix(strongest(ties, n), ties.shape[1])


def likenesses(vectors: sparse.csr_matrix, n: int) -> sparse.csr_matrix:
    """Return the inner products, above 0, of each row of ``vectors`` with the ``n`` others that it is most like."""
    # One more, since each is most like itself.
    return kept(without_diagonal(strongest_products(vectors, vectors.T.tocsr(), n + 1)), n)


def without_diagonal(ties: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return ``ties`` with no item tied to itself."""
    return (ties - sparse.diags(ties.diagonal())).tocsr()


def divided(ties: sparse.csr_matrix, own: NDArray[Any], other: NDArray[Any]) -> sparse.csr_matrix:
    """Return ``ties`` with each row divided by its entry of ``own``, and each column by its entry of ``other``."""
    return sparse.csr_matrix(sparse.diags(1 / own) @ ties @ sparse.diags(1 / other), dtype=np.float32)


def _matrix(table: Mapping[str, NDArray[Any]], n_columns: int) -> sparse.csr_matrix:
    shape = (len(table["indptr"]) - 1, n_columns)
    return sparse.csr_matrix((table["strength"], table["indices"], table["indptr"]), shape)


@njit(cache=True)
def _strongest(indptr, indices, data, n):  # type: ignore[no-untyped-def]
    n_rows = len(indptr) - 1
    out_indptr = np.zeros(n_rows + 1, np.int64)
    for row in range(n_rows):
        positive = 0
        for at in range(indptr[row], indptr[row + 1]):
            positive += data[at] > 0
        out_indptr[row + 1] = out_indptr[row] + min(positive, n)
    out_indices = np.empty(out_indptr[n_rows], np.int32)
    out_data = np.empty(out_indptr[n_rows], np.float32)
    for row in range(n_rows):
        values = data[indptr[row] : indptr[row + 1]]
        floor = np.partition(values, len(values) - n)[len(values) - n] if len(values) > n else np.float32(0)
        best = np.flatnonzero((values >= floor) & (values > 0))
        best = best[np.argsort(-values[best], kind="mergesort")][:n]
        start = out_indptr[row]
        out_indices[start : start + len(best)] = indices[indptr[row] + best]
        out_data[start : start + len(best)] = values[best]
    return out_indptr, out_indices, out_data


@njit((INTS, FLOATS, DOUBLE), cache=True)
def latest_first(item, weight, step_decay):  # type: ignore[no-untyped-def]
    """Return the items that weigh something, the last one first, and what they weigh with each step back."""
    items, weights = np.empty(len(item), np.int32), np.empty(len(item), np.float32)
    n, share = 0, 1.0
    for row in range(len(item) - 1, -1, -1):
        if weight[row] > 0:
            items[n], weights[n] = item[row], weight[row] * share
            n += 1
            share *= step_decay
    return items[:n].copy(), weights[:n].copy()


@njit((INTS, LONGS), cache=True)
def room_for(mine, indptr):  # type: ignore[no-untyped-def]
    """Return an empty hash table of rows, and room for the items and the scores of all that ``mine`` are tied with."""
    longest = 0
    for one in mine:
        longest += indptr[one + 1] - indptr[one]
    longest = min(longest, len(indptr) - 1)
    return empty_slots(longest), np.empty(longest, np.int32), np.empty(longest, np.float32)


@njit((INTS, FLOATS, LONGS, INTS, FLOATS, LONG), cache=True)
def _pull(mine, weight, indptr, indices, strength, places):  # type: ignore[no-untyped-def]
    """Return what is tied with ``mine``, ordered from the last interaction on, in a time that no catalog lengthens.

    That is a hash table of the rows, their items, the scores, of each the tie with the last interaction, with the one
    before it and the strongest, and the ``places`` best rows in order.
    """
    slots, items, scores = room_for(mine, indptr)
    ties = np.empty((len(items), 3), np.float32)
    n = 0
    for k in range(len(mine)):
        for at in range(indptr[mine[k]], indptr[mine[k] + 1]):
            more = weight[k] * strength[at]
            if more > 0:
                slot = slot_of(slots, items, indices[at])
                if slots[slot] == 0:
                    items[n], scores[n] = indices[at], 0
                    ties[n, 0], ties[n, 1], ties[n, 2] = 0, 0, 0
                    n += 1
                    slots[slot] = n
                row = np.uintp(slots[slot] - 1)
                scores[row] += more
                if k < 2:
                    ties[row, k] = strength[at]
                ties[row, 2] = max(ties[row, 2], strength[at])
    items, scores = items[:n], scores[:n]
    return slots, items, scores, ties[:n], best_rows(items, scores, places)
