"""Sums of regression trees, evaluated without the library that grew them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.compiled import BOOLS, DOUBLES, FLOAT_ROWS, FLOATS, LONG, UNSIGNED

ONE, TWO, THREE = np.uintp(1), np.uintp(2), np.uintp(3)
DEFAULT_LEFT: Final = 2
"""Bit of a decision: what is missing goes left."""
NAN_IS_MISSING: Final = 8
"""Bit of a decision: NaN is missing; otherwise it counts as 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Trees that split by numbers, added up in their order in double precision, as LightGBM does.

    Places are those of splits, and behind these all leaves. A leaf is a place that leads to itself, so that rows can go
    down a tree beside each other until the last of them has arrived.

    Attributes:
        feature: uint32, shape (places,); the column that is looked at.
        threshold: float32, shape (places,); up to this value a row goes left.
        missing_left: bool, shape (places,); whether what is missing does.
        child: uint32, shape (2 x places,); where a row goes right, and where it goes left, of each place.
        value: float64, shape (places,); what a row gets that ends here.
        root: uint32, shape (trees,); where each tree starts.
        n_splits: How many places are splits.
        least: The sum of the least leaf of each tree.
    """

    feature: NDArray[np.uint32]
    threshold: NDArray[np.float32]
    missing_left: NDArray[np.bool_]
    child: NDArray[np.uint32]
    value: NDArray[np.float64]
    root: NDArray[np.uint32]
    n_splits: int
    least: float

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the trees that LightGBM's ``text`` of a model describes."""
        found: dict[str, list[NDArray[Any]]] = {name: [] for name in (*_COLUMNS, "leaf_value")}
        root, n_splits, n_leaves = [], 0, 0
        for part in text.split("\nTree=")[1:]:
            lines = dict(line.split("=", 1) for line in part.split("\n\n", 1)[0].splitlines() if "=" in line)
            columns = {name: np.array(lines.get(name, "").split(), dtype) for name, dtype in _COLUMNS.items()}
            for name in ("left_child", "right_child"):
                child = columns[name]
                columns[name] = np.where(child < 0, child - n_leaves, child + n_splits)
            leaf = np.array(lines["leaf_value"].split(), np.float64)
            root.append(n_splits if len(columns["threshold"]) else -1 - n_leaves)
            n_splits, n_leaves = n_splits + len(columns["threshold"]), n_leaves + len(leaf)
            for name, column in {**columns, "leaf_value": leaf}.items():
                found[name].append(column)
        feature, threshold, decision, left, right, leaf = (np.concatenate(one) for one in found.values())
        leaves = np.arange(n_splits, n_splits + n_leaves)
        missing_left = np.where(decision & NAN_IS_MISSING, decision & DEFAULT_LEFT != 0, threshold >= 0)
        down = [np.concatenate([_places(one, n_splits), leaves]) for one in (right, left)]
        return cls(
            np.concatenate([feature, np.zeros(n_leaves)]).astype(np.uint32),
            np.concatenate([_below(threshold), np.zeros(n_leaves, np.float32)]),
            np.concatenate([missing_left, np.zeros(n_leaves, np.bool_)]),
            np.column_stack(down).astype(np.uint32).ravel(),
            np.concatenate([np.zeros(n_splits), leaf]),
            _places(np.array(root, np.int64), n_splits).astype(np.uint32),
            n_splits,
            float(sum(one.min() for one in found["leaf_value"])),
        )

    def __len__(self) -> int:
        """Return how many trees there are."""
        return len(self.root)

    def sums(self, columns: NDArray[np.float32], start: int = 0, end: int | None = None) -> NDArray[np.float64]:
        """Return what the trees from ``start`` to before ``end`` give each row of ``columns``, added up."""
        return _sums(
            np.ascontiguousarray(columns, np.float32),
            *(self.feature, self.threshold, self.missing_left, self.child, self.value, self.root, self.n_splits),
            *(start, len(self) if end is None else end),
        )


_COLUMNS: Final[dict[str, Any]] = {
    "split_feature": np.int64,
    "threshold": np.float64,
    "decision_type": np.uint8,
    "left_child": np.int64,
    "right_child": np.int64,
}
"""What LightGBM calls the columns of splits, in the order of ``Trees.of``."""


def _places(node: NDArray[np.int64], n_splits: int) -> NDArray[np.int64]:
    """Return the place of each ``node``: a split is where it is, and the leaf ``-1 - node`` behind all of them."""
    return np.where(node < 0, n_splits - 1 - node, node)


def _below(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 up to each ``threshold``: a float32 is up to the one where it is up to the other."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)


@njit(inline="always")
def _next(columns, row, place, feature, threshold, missing_left, child):  # type: ignore[no-untyped-def]
    """Return where ``row`` goes from ``place``."""
    value = columns[row, np.uintp(feature[place])]
    left = (value <= threshold[place]) | ((value != value) & missing_left[place])
    return np.uintp(child[TWO * place + np.uintp(left)])


@njit((FLOAT_ROWS, UNSIGNED, FLOATS, BOOLS, UNSIGNED, DOUBLES, UNSIGNED, LONG, LONG, LONG), cache=True)
def _sums(columns, feature, threshold, missing_left, child, value, root, n_splits, start, end):  # type: ignore[no-untyped-def]
    # Four rows at once, for a processor waits for none of them then; places without a sign, for one that has one might
    # count from the end, and is looked at each time.
    total, last = np.zeros(len(columns)), np.uintp(len(columns) - 1)
    for tree in range(start, end):
        for four in range(0, len(columns), 4):
            first = np.uintp(four)
            second, third, fourth = min(first + ONE, last), min(first + TWO, last), min(first + THREE, last)
            a = b = c = d = np.uintp(root[tree])
            while min(min(a, b), min(c, d)) < n_splits:
                a = _next(columns, first, a, feature, threshold, missing_left, child)
                b = _next(columns, second, b, feature, threshold, missing_left, child)
                c = _next(columns, third, c, feature, threshold, missing_left, child)
                d = _next(columns, fourth, d, feature, threshold, missing_left, child)
            total[first] += value[a]
            if first + ONE <= last:
                total[second] += value[b]
            if first + TWO <= last:
                total[third] += value[c]
            if first + THREE <= last:
                total[fourth] += value[d]
    return total
