"""What goes with what was bought: neighbours of the items of a history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy import sparse

from features.compiled import FLOATS, INTS, LONG, LONGS
from features.hash_table import slot_of
from features.interactions import History, IntArray
from features.settings import Settings
from features.snapshot import Snapshot
from models.lookup import PLACES, Found, best_rows, scores_of
from models.neighbours import Neighbours, room_for
from models.scorer import event_weights, interaction_weights

FloatArray = NDArray[np.float32]


class ItemToItemSettings(Settings):
    """How neighbours are found, and how many are kept."""

    neighbours: PositiveInt = 100
    """Longest list of neighbours of one item."""
    half_life_days: PositiveFloat = 60.0
    """Age at which an interaction counts half, both for what goes together and in a history."""
    own_exponent: float = Field(default=0.7, ge=0, le=1)
    """How much an item's frequent company lowers the strength of each of its neighbours."""
    neighbour_exponent: float = Field(default=0.3, ge=0, le=1)
    """How much the popularity of a neighbour lowers its strength."""
    length_exponent: NonNegativeFloat = 0.0
    """With ``n`` items of one person, each pair of them counts ``n ** -length_exponent``."""
    heaviest_items: PositiveInt = 150
    """How many of the items of one person count when neighbours are looked for, the heaviest first."""
    recent_items: PositiveInt = 200
    """How many of the items of a history count when it is answered, the heaviest first."""
    latest: PositiveInt = 40
    """How many interactions at the end of a history are looked at apart from the others."""
    rare_value: PositiveInt = 2000
    """Values of more items than this say nothing about what resembles an item that nobody chose."""


@dataclass(frozen=True)
class ItemToItem(Neighbours):
    """Scores an item by how strongly it goes with the items of the history, the heaviest above all.

    Two items go together where the same person chose both; the strength is the decayed weight of those people,
    divided by powers of the weight of either item (cosine at .5 and .5). An item that nobody chose has for
    neighbours those that share its rare attribute values.
    """

    name: ClassVar[str] = "item-to-item"
    feature_names: ClassVar[tuple[str, ...]] = ("score", "score_of_latest", "share_of_best", "place")

    config: ItemToItemSettings

    @classmethod
    def fit(cls, snapshot: Snapshot, config: ItemToItemSettings, rng: Generator) -> Self:
        """Return the neighbours of the items of ``snapshot``."""
        weights = event_weights(snapshot)
        rows = snapshot.interactions.all
        weight = interaction_weights(rows, weights, config.half_life_days, snapshot.manifest.as_of)
        people = sparse.csr_matrix(
            (weight, (snapshot.interactions.users(), rows.item)),
            shape=(snapshot.interactions.n_users, len(snapshot.items)),
        )
        people.data = np.maximum(people.data, 0)
        people.eliminate_zeros()
        people.data = np.sqrt(_heaviest(people, config.heaviest_items))
        people.eliminate_zeros()
        n_chosen = np.diff(people.indptr)
        people.data *= np.repeat(np.maximum(n_chosen, 1) ** (-config.length_exponent / 2), n_chosen).astype(np.float32)
        together = _nearest(people, config.neighbours, config.own_exponent, config.neighbour_exponent)
        return cls(config, weights, *_filled(together, _alike(snapshot, together[0], config)))

    def find(self, history: History, now: datetime) -> Found:
        """Return of each item what its score would be for the latest interactions alone."""
        slots, items, scores = self._summed(history, now)
        lately = scores
        if len(history) > self.config.latest:
            lately = scores_of(items, *self._summed(history[len(history) - self.config.latest :], now))
        return slots, items, scores, lately[:, np.newaxis], best_rows(items, scores, PLACES)

    def _summed(self, history: History, now: datetime) -> tuple[IntArray, IntArray, FloatArray]:
        found: tuple[IntArray, IntArray, FloatArray]
        found = _together(*self.anchors(history, now), self.indptr, self.indices, self.strength)
        return found

    def anchors(self, history: History, now: datetime) -> tuple[IntArray, FloatArray]:
        """Return the items of the history that count, the heaviest first, and what each weighs."""
        weight = interaction_weights(history, self.event_weights, self.config.half_life_days, now)
        return _heaviest_items(np.ascontiguousarray(history.item), weight, self.config.recent_items)


def _heaviest(people: sparse.csr_matrix, n: int) -> FloatArray:
    """Return the data of ``people`` with all but the ``n`` largest entries of each row set to 0."""
    data = people.data.copy()
    for start, end in pairwise(people.indptr.tolist()):
        if end - start > n:
            data[start + np.argpartition(data[start:end], end - start - n)[: end - start - n]] = 0
    return data


def _nearest(
    people: sparse.csr_matrix, n: int, own_exponent: float, neighbour_exponent: float
) -> tuple[NDArray[np.int64], IntArray, FloatArray]:
    columns = people.tocsc()
    degree = np.maximum(np.asarray(people.power(2).sum(axis=0)).ravel(), 1e-9).astype(np.float32)
    return _top_products(
        columns.indptr.astype(np.int64),
        columns.indices,
        columns.data.astype(np.float32),
        people.indptr.astype(np.int64),
        people.indices,
        people.data.astype(np.float32),
        (degree**-own_exponent).astype(np.float32),
        (degree**-neighbour_exponent).astype(np.float32),
        n,
    )


def _alike(
    snapshot: Snapshot, indptr: NDArray[np.int64], config: ItemToItemSettings
) -> tuple[NDArray[np.int64], IntArray, FloatArray]:
    """Return the attribute neighbours of the items that have no others."""
    n_items = len(snapshot.items)
    tables = [snapshot.item_values(dimension) for dimension in snapshot.manifest.dimensions]
    values = sparse.hstack(tables, "csr", np.float32) if tables else sparse.csr_matrix((n_items, 0), dtype=np.float32)
    count = np.asarray(values.sum(axis=0)).ravel()
    values = values[:, (count > 1) & (count <= config.rare_value)]
    count = count[(count > 1) & (count <= config.rare_value)]
    values = values @ sparse.diags(np.log(n_items / count))
    norm = np.sqrt(np.maximum(np.asarray(values.power(2).sum(axis=1)).ravel(), 1e-9))
    values = sparse.csr_matrix(sparse.diags(1 / norm) @ values, dtype=np.float32)
    ask = values.copy()
    ask.data[np.repeat(np.diff(indptr) > 0, np.diff(values.indptr))] = 0
    ask.eliminate_zeros()
    by_value = values.tocsc()
    ones = np.ones(n_items, dtype=np.float32)
    return _top_products(
        ask.indptr.astype(np.int64),
        ask.indices,
        ask.data,
        by_value.indptr.astype(np.int64),
        by_value.indices,
        by_value.data,
        ones,
        ones,
        config.neighbours,
    )


def _filled(
    first: tuple[NDArray[np.int64], Any, Any], second: tuple[NDArray[np.int64], Any, Any]
) -> tuple[NDArray[np.int64], IntArray, FloatArray]:
    """Return the rows of ``first``, and those of ``second`` where it has none; never do both have one."""
    counts = [np.diff(table[0]) for table in (first, second)]
    owner = np.concatenate([np.repeat(np.arange(len(count)), count) for count in counts])
    order = np.argsort(owner, kind="stable")
    return (
        np.concatenate([[0], np.cumsum(counts[0] + counts[1])]).astype(np.int64),
        np.concatenate([first[1], second[1]])[order],
        np.concatenate([first[2], second[2]])[order],
    )


@njit((LONGS, INTS, FLOATS, LONGS, INTS, FLOATS, FLOATS, FLOATS, LONG), cache=True)
def _top_products(  # type: ignore[no-untyped-def]
    left_indptr, left_indices, left_data, right_indptr, right_indices, right_data, left_scale, right_scale, n
):
    """Return the ``n`` largest entries off the diagonal of each row of ``left @ right``, scaled by row and column."""
    n_rows, n_columns = len(left_indptr) - 1, len(right_scale)
    total = np.zeros(n_columns, np.float32)
    touched = np.empty(n_columns, np.int32)
    indptr = np.zeros(n_rows + 1, np.int64)
    indices = np.empty(n_rows * n, np.int32)
    data = np.empty(n_rows * n, np.float32)
    for row in range(n_rows):
        count = 0
        for a in range(left_indptr[row], left_indptr[row + 1]):
            middle = left_indices[a]
            for b in range(right_indptr[middle], right_indptr[middle + 1]):
                column = right_indices[b]
                if total[column] == 0:
                    touched[count] = column
                    count += 1
                total[column] += left_data[a] * right_data[b]
        found = touched[:count]
        strength = np.empty(count, np.float32)
        for k in range(count):
            column = found[k]
            strength[k] = total[column] * left_scale[row] * right_scale[column] if column != row else 0
            total[column] = 0
        floor = np.partition(strength, count - n)[count - n] if count > n else np.float32(0)
        kept = np.flatnonzero((strength >= floor) & (strength > 0))
        kept = kept[np.argsort(-strength[kept], kind="mergesort")][:n]
        start = indptr[row]
        indptr[row + 1] = start + len(kept)
        indices[start : start + len(kept)] = found[kept]
        data[start : start + len(kept)] = strength[kept]
    return indptr, indices[: indptr[n_rows]].copy(), data[: indptr[n_rows]].copy()


@njit((INTS, FLOATS, LONGS, INTS, FLOATS), cache=True)
def _together(mine, weight, indptr, indices, strength):  # type: ignore[no-untyped-def]
    """Return what goes with ``mine``: a hash table of the rows, their items, and the scores."""
    slots, items, scores = room_for(mine, indptr)
    n = 0
    for k in range(len(mine)):
        for at in range(indptr[mine[k]], indptr[mine[k] + 1]):
            slot = slot_of(slots, items, indices[at])
            if slots[slot] == 0:
                items[n], scores[n] = indices[at], 0
                n += 1
                slots[slot] = n
            scores[np.uintp(slots[slot] - 1)] += weight[k] * strength[at]
    return slots, items[:n], scores[:n]


@njit((INTS, FLOATS, LONG), cache=True)
def _heaviest_items(item, weight, n):  # type: ignore[no-untyped-def]
    """Return the ``n`` items of the largest sum of ``weight`` above 0, the heaviest first, and the root of the sum."""
    order = np.argsort(item, kind="mergesort")
    items, total = np.empty(len(item), np.int32), np.zeros(len(item), np.float32)
    count = 0
    for row in order:
        if count == 0 or items[count - 1] != item[row]:
            items[count] = item[row]
            count += 1
        total[count - 1] += weight[row]
    heaviest = np.argsort(-total[:count], kind="mergesort")[: min(n, count)]
    heaviest = heaviest[total[heaviest] > 0]
    return items[heaviest], np.sqrt(total[heaviest])
