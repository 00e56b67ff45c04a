"""Which values of the dimensions each item has, as arrays."""

from __future__ import annotations

from functools import cached_property
from typing import Final, Self

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from features.compiled import INTS, LONG, LONGS
from features.interactions import IntArray

TOP: Final = 200
"""How many items of a value are kept in order of popularity."""


class ItemValues:
    """The values of the items of a bundle, numbered through its dimensions.

    Args:
        indptr: int64, shape (items + 1,); the values of item ``i`` are at ``indptr[i]:indptr[i + 1]``.
        values: int32; the numbers of the values.
        first_value: int32, shape (dimensions + 1,); the number of each dimension's first value.
        dimensions: Their names.
        strength: Popularity of each item; shape (items,).
        names: The text of each value, where it is needed.
    """

    def __init__(
        self,
        indptr: NDArray[np.int64],
        values: IntArray,
        first_value: IntArray,
        dimensions: tuple[str, ...],
        strength: NDArray[np.float32],
        names: tuple[str, ...] = (),
    ) -> None:
        self.indptr, self.values, self.first_value, self.dimensions = indptr, values, first_value, dimensions
        self._strength, self._names = strength, names

    @classmethod
    def of(
        cls, catalog: pl.DataFrame, dimensions: tuple[str, ...], strength: NDArray[np.float32] | None = None
    ) -> Self:
        """Return the values that ``catalog`` gives its items in ``dimensions``; see ``Snapshot.catalog``."""
        items, numbers, first_value, names = [], [], [0], []
        for dimension in dimensions:
            rows = (
                catalog.select(pl.int_range(pl.len(), dtype=pl.Int32).alias("item"), pl.col(dimension).alias("value"))
                .explode("value")
                .drop_nulls()
            )
            value = rows["value"].rank("dense") - 1
            items.append(rows["item"].to_numpy())
            numbers.append(value.to_numpy().astype(np.int32) + first_value[-1])
            names += rows["value"].unique().sort().to_list()
            first_value.append(len(names))
        item = np.concatenate([*items, np.zeros(0, np.int32)])
        order = np.argsort(item, kind="stable")
        indptr = np.concatenate([[0], np.cumsum(np.bincount(item, minlength=len(catalog)))]).astype(np.int64)
        return cls(
            indptr,
            np.concatenate([*numbers, np.zeros(0, np.int32)])[order].astype(np.int32),
            np.array(first_value, np.int32),
            dimensions,
            np.zeros(len(catalog), np.float32) if strength is None else strength,
            tuple(names),
        )

    def of_item(self, item: int) -> IntArray:
        """Return the values of ``item``, none where it came after the bundle."""
        if item >= len(self.indptr) - 1:
            return self.values[:0]
        return self.values[int(self.indptr[item]) : int(self.indptr[item + 1])]

    def of_items(self, items: IntArray) -> IntArray:
        """Return the values that any of ``items`` has, ascending, none twice."""
        found = [self.of_item(item) for item in items.tolist()]
        return np.unique(np.concatenate(found)) if found else self.values[:0]

    def have_any(self, items: IntArray, values: IntArray) -> NDArray[np.bool_]:
        """Return which of ``items`` have one of ``values``, which are ascending."""
        return _have_any(items, np.ascontiguousarray(values), self.indptr, self.values)

    def name(self, value: int) -> str:
        """Return the text of a value."""
        return self._names[value]

    def named(self) -> list[tuple[str, str]]:
        """Return dimension and text of each value, in order of their numbers."""
        sizes = np.diff(self.first_value).tolist()
        dimensions = [name for name, size in zip(self.dimensions, sizes, strict=True) for _ in range(size)]
        return list(zip(dimensions, self._names, strict=True))

    def top(self, values: IntArray, n: int) -> IntArray:
        """Return the ``n`` most popular items, at most ``TOP``, of each of ``values``, one value after another."""
        return _first_of_each(values, *self._top, n)

    @cached_property
    def _top(self) -> tuple[NDArray[np.int64], IntArray]:
        n_values = int(self.first_value[-1])
        by_popularity = np.argsort(-self._strength, kind="stable").astype(np.int32)
        return _top(by_popularity, self.indptr, self.values, n_values, TOP)


@njit((INTS, LONGS, INTS, LONG, LONG), cache=True)
def _top(order, indptr, values, n_values, n):  # type: ignore[no-untyped-def]
    """Return the first ``n`` items of each value in ``order``, as a ragged array."""
    size = np.zeros(n_values, np.int64)
    for at in range(len(values)):
        size[values[at]] += 1
    out = np.zeros(n_values + 1, np.int64)
    for value in range(n_values):
        out[value + 1] = out[value] + min(size[value], n)
    items = np.empty(out[n_values], np.int32)
    filled = np.zeros(n_values, np.int64)
    for item in order:
        for at in range(indptr[item], indptr[item + 1]):
            value = values[at]
            if filled[value] < n:
                items[out[value] + filled[value]] = item
                filled[value] += 1
    return out, items


@njit((INTS, INTS, LONGS, INTS), cache=True)
def _have_any(items, asked, indptr, values):  # type: ignore[no-untyped-def]
    found = np.zeros(len(items), np.bool_)
    for k in range(len(items)):
        if items[k] + 1 >= len(indptr):
            continue
        for at in range(indptr[items[k]], indptr[items[k] + 1]):
            place = np.searchsorted(asked, values[at])
            if place < len(asked) and asked[place] == values[at]:
                found[k] = True
    return found


@njit((INTS, LONGS, INTS, LONG), cache=True)
def _first_of_each(rows, indptr, items, n):  # type: ignore[no-untyped-def]
    total = 0
    for row in rows:
        total += min(n, indptr[row + 1] - indptr[row])
    out = np.empty(total, np.int32)
    at = 0
    for row in rows:
        for place in range(indptr[row], min(indptr[row] + n, indptr[row + 1])):
            out[at] = items[place]
            at += 1
    return out
