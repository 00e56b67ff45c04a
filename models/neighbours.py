"""Tables of neighbours: what the items of a history say about others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt
from scipy import sparse

from features.interactions import History, IntArray
from features.settings import Settings
from models.scorer import Arrays, Features, Reason, Scorer, Scores, best_first, interaction_weights

PLACES: Final = 200
"""Places counted from the best; all items beyond them share this one."""

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
class NeighbourScorer(Scorer):
    """Scores an item by the strength of its ties with the items of the history, the recent ones above all.

    The score is the sum over the history of ``weight x strength``, where an interaction's weight is that of its event
    type, times ``step_decay`` for each interaction after it, halved every ``half_life_days``. Subclasses say what ties
    items, by ``fit``.

    Attributes:
        event_weights: float32, shape (event types,).
        indptr: int64, shape (items + 1,); the neighbours of item ``i`` are at ``indptr[i]:indptr[i + 1]``.
        indices: int32; the neighbours, the strongest first.
        strength: float32, above 0.
    """

    feature_names: ClassVar[tuple[str, ...]] = ("score", "last", "previous", "strongest", "share_of_best", "place")
    reason_kind: ClassVar[str] = "together"
    reason_texts: ClassVar[tuple[str, str]] = ("Goes with {0}.", "Goes with {0} and {1}.")
    """Said where one item of the history speaks for the item, and where two do."""

    config: NeighbourSettings
    event_weights: NDArray[np.float32]
    indptr: NDArray[np.int64]
    indices: IntArray
    strength: NDArray[np.float32]

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        """Return the strength of the ties between each of ``items`` and the history."""
        return self._all(history, now)[items]

    def features(self, history: History, items: IntArray, now: datetime) -> Features:
        """Return six columns: the score, and what the score alone does not tell.

        ``last`` and ``previous`` are the strength of the tie with the last interaction's item and with that of the one
        before it; ``strongest`` that of the strongest tie; ``share_of_best`` the score by the best score of any item;
        ``place`` how many items score higher, at most ``PLACES``.
        """
        mine, weight = self.anchors(history, now)
        return _columns(mine, weight, self.indptr, self.indices, self.strength, items, PLACES)

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return the ``n`` items that have the strongest ties with the history."""
        strength = self._all(history, now)
        items = np.flatnonzero(strength > 0).astype(np.int32)
        return best_first(items, strength[items], n)

    def tied(self, history: History, now: datetime) -> tuple[IntArray, Scores]:
        """Return the items that score above 0, none twice, in any order, and their scores.

        It takes no longer in a larger catalog.
        """
        mine, weight = self.anchors(history, now)
        return _tied(mine, weight, self.indptr, self.indices, self.strength)

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return the one or two items of the history that ``item`` is tied to most."""
        mine, weight = self.anchors(history, now)
        items, at = np.unique(mine, return_inverse=True)
        pull = np.array([self._between(int(one), item) for one in items], dtype=np.float32)
        pull *= np.bincount(at, weight, minlength=len(items)).astype(np.float32)
        because = tuple(best_first(items, pull, 2).tolist())
        return Reason(self.reason_kind, self.reason_texts[len(because) - 1], because) if because else None

    def arrays(self) -> Arrays:
        """Return the table of neighbours, and what events weigh."""
        return {
            "event_weights": self.event_weights,
            "indptr": self.indptr,
            "indices": self.indices,
            "strength": self.strength,
        }

    @classmethod
    def from_arrays(cls, config: Settings, arrays: Arrays, parts: Mapping[str, Scorer]) -> Self:
        """Return the scorer that ``arrays`` describe."""
        return cls(config, **arrays)  # type: ignore[arg-type]

    def _all(self, history: History, now: datetime) -> Scores:
        mine, weight = self.anchors(history, now)
        return _total(mine, weight, self.indptr, self.indices, self.strength)

    def anchors(self, history: History, now: datetime) -> tuple[IntArray, NDArray[np.float32]]:
        """Return the items of the interactions that count, the last one first, and what each weighs."""
        recent = history[max(0, len(history) - self.config.recent_interactions) :]
        weight = interaction_weights(recent, self.event_weights, self.config.half_life_days, now)[::-1]
        counts = weight > 0
        weight = weight[counts] * np.float32(self.config.step_decay) ** np.arange(np.count_nonzero(counts))
        return recent.item[::-1][counts], weight.astype(np.float32)

    def _between(self, one: int, other: int) -> float:
        part = slice(int(self.indptr[one]), int(self.indptr[one + 1]))
        return float(self.strength[part][self.indices[part] == other].sum())


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


@njit(cache=True)
def _total(mine, weight, indptr, indices, strength):  # type: ignore[no-untyped-def]
    total = np.zeros(len(indptr) - 1, np.float32)
    for k in range(len(mine)):
        for at in range(indptr[mine[k]], indptr[mine[k] + 1]):
            total[indices[at]] += weight[k] * strength[at]
    return total


@njit(cache=True)
def _tied(mine, weight, indptr, indices, strength):  # type: ignore[no-untyped-def]
    longest = 0
    for k in range(len(mine)):
        longest += indptr[mine[k] + 1] - indptr[mine[k]]
    total = np.zeros(len(indptr) - 1, np.float32)
    items = np.empty(min(longest, len(total)), np.int32)
    n = 0
    for k in range(len(mine)):
        for at in range(indptr[mine[k]], indptr[mine[k] + 1]):
            more = weight[k] * strength[at]
            if more > 0:
                if total[indices[at]] == 0:
                    items[n] = indices[at]
                    n += 1
                total[indices[at]] += more
    return items[:n], total[items[:n]]


@njit(cache=True)
def _columns(mine, weight, indptr, indices, strength, items, places):  # type: ignore[no-untyped-def]
    """Return the columns of ``NeighbourScorer.features``; ``mine`` is ordered from the last interaction on."""
    total = _total(mine, weight, indptr, indices, strength)
    asked = np.full(len(total), -1, np.int32)
    columns = np.zeros((len(items), 6), np.float32)
    for k in range(len(items)):
        asked[items[k]] = k
    for k in range(len(mine)):
        for at in range(indptr[mine[k]], indptr[mine[k] + 1]):
            row = asked[indices[at]]
            if row >= 0:
                if k < 2:
                    columns[row, 1 + k] = strength[at]
                columns[row, 3] = max(columns[row, 3], strength[at])
    best = total[total > 0]
    if len(best) > places:
        best = np.partition(best, len(best) - places)[len(best) - places :]
    best.sort()
    for k in range(len(items)):
        row = asked[items[k]]  # the one row of this item that was filled, should it be asked for twice
        score = total[items[k]]
        columns[k, 0] = score
        columns[k, 1:4] = columns[row, 1:4]
        columns[k, 4] = score / best[-1] if score > 0 else 0
        columns[k, 5] = len(best) - np.searchsorted(best, score, side="right") if score > 0 else places
    return columns
