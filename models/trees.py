"""Sums of regression trees, evaluated without the library that grew them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.compiled import BOOLS, DOUBLE_ROWS, FLOAT_ROWS, FLOATS, LONG, LONGS, UNSIGNED

MOST_LEAVES: Final = 32
"""A tree has at most so many leaves: one for each bit of a number."""
DEFAULT_LEFT: Final = 2
"""Bit of a decision: what is missing goes left."""
NAN_IS_MISSING: Final = 8
"""Bit of a decision: NaN is missing; otherwise it counts as 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Trees that split by numbers, added up in their order in double precision, as LightGBM does.

    No row goes down a tree. All rows are held against every split, and each loses the leaves on the left of those where
    it would go right; it ends in the leftmost leaf that it keeps. So nothing waits for what was read before, and many
    rows are compared at once (Lucchese et al., QuickScorer, 2015; Lucchese et al., Exploiting CPU SIMD Extensions to
    Speed-up Document Scoring with Tree Ensembles, 2016).

    Attributes:
        feature: uint32, shape (splits,); the column that is looked at.
        threshold: float32, shape (splits,); up to this value a row goes left.
        missing_left: bool, shape (splits,); whether what is missing does.
        kept: uint32, shape (splits,); the leaves that a row keeps which goes right, a bit for each, from the left.
        first: int64, shape (trees + 1,); the first split of each tree, and how many splits there are.
        value: float64, shape (trees, MOST_LEAVES); what a row gets that ends in a leaf, at the ``_place`` of its bit.
        least: The sum of the least leaf of each tree.
    """

    feature: NDArray[np.uint32]
    threshold: NDArray[np.float32]
    missing_left: NDArray[np.bool_]
    kept: NDArray[np.uint32]
    first: NDArray[np.int64]
    value: NDArray[np.float64]
    least: float

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the trees that LightGBM's ``text`` of a model describes.

        Raises:
            ValueError: a tree has more than ``MOST_LEAVES``.
        """
        columns: dict[str, list[NDArray[Any]]] = {name: [] for name in _COLUMNS}
        kept, first, values, least = [], [0], [], 0.0
        for part in text.split("\nTree=")[1:]:
            lines = dict(line.split("=", 1) for line in part.split("\n\n", 1)[0].splitlines() if "=" in line)
            leaf = np.array(lines["leaf_value"].split(), np.float64)
            if len(leaf) > MOST_LEAVES:
                raise ValueError(f"a tree has {len(leaf)} leaves; at most {MOST_LEAVES} can be told apart")
            for name, dtype in _COLUMNS.items():
                columns[name].append(np.array(lines.get(name, "").split(), dtype))
            left, right = (np.array(lines.get(name, "").split(), np.int64).tolist() for name in _CHILDREN)
            order = _leaves(0 if left else -1, left, right)
            bits = {number: 1 << at for at, number in enumerate(order)}
            kept += [_ALL - sum(bits[number] for number in _leaves(child, left, right)) for child in left]
            value = np.zeros(MOST_LEAVES)
            value[_place(np.array([bits[number] for number in range(len(leaf))], np.uint32))] = leaf
            values.append(value)
            first.append(len(kept))
            least += float(leaf.min())
        feature, threshold, decision = (np.concatenate(one) for one in columns.values())
        missing_left = np.where(decision & NAN_IS_MISSING, decision & DEFAULT_LEFT != 0, threshold >= 0)
        return cls(
            feature.astype(np.uint32),
            _below(threshold),
            missing_left,
            np.array(kept, np.uint32),
            np.array(first, np.int64),
            np.array(values),
            least,
        )

    def __len__(self) -> int:
        """Return how many trees there are."""
        return len(self.value)

    def sums(self, columns: NDArray[np.float32], start: int = 0, end: int | None = None) -> NDArray[np.float64]:
        """Return what the trees from ``start`` to before ``end`` give each row of ``columns``, added up."""
        return _sums(
            np.ascontiguousarray(columns, np.float32),
            *(self.feature, self.threshold, self.missing_left, self.kept, self.first, self.value),
            *(start, len(self) if end is None else end),
        )


_COLUMNS: Final[dict[str, Any]] = {"split_feature": np.int64, "threshold": np.float64, "decision_type": np.uint8}
"""What LightGBM calls the columns of splits, in the order of ``Trees.of``."""
_CHILDREN: Final = ("left_child", "right_child")
"""What LightGBM calls the nodes below splits: a split by its number, and a leaf by -1 less its own."""
_ALL: Final = 2**MOST_LEAVES - 1
_ROWS: Final = 64
"""So many rows are held against a split at once; a compiler that knows how many compares eight in one step."""


def _leaves(node: int, left: list[int], right: list[int]) -> list[int]:
    """Return the numbers of the leaves below ``node``, from the left."""
    return [-1 - node] if node < 0 else [*_leaves(left[node], left, right), *_leaves(right[node], left, right)]


def _below(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 up to each ``threshold``: a float32 is up to the one where it is up to the other."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)


def _place(bit: Any) -> Any:
    """Return a number below 32 for each ``bit`` of a uint32, none twice (a de Bruijn sequence: Leiserson et al., 1998).

    It stands in for the number of zeros below the bit, which a compiler has no word for here.
    """
    return np.uint32(bit * np.uint32(0x077CB531)) >> np.uint32(27)


_place_of = njit(inline="always")(_place)


@njit((FLOAT_ROWS, UNSIGNED, FLOATS, BOOLS, UNSIGNED, LONGS, DOUBLE_ROWS, LONG, LONG), cache=True)
def _sums(columns, feature, threshold, missing_left, kept, first, value, start, end):  # type: ignore[no-untyped-def]
    # Places without a sign, for one that has one might count from the end, and is looked at each time.
    n = len(columns)
    total = np.zeros(n)
    block = np.zeros((columns.shape[1], _ROWS), np.float32)
    left = np.empty(_ROWS, np.uint32)
    everything = np.uint32(_ALL)
    for begin in range(0, n, _ROWS):
        rows = min(_ROWS, n - begin)
        for row in range(rows):
            for column in range(columns.shape[1]):
                block[column, row] = columns[begin + row, column]
        for tree in range(start, end):
            left[:] = everything
            for number in range(first[tree], first[tree + 1]):
                split = np.uintp(number)
                looked_at, most, others = np.uintp(feature[split]), threshold[split], kept[split]
                if missing_left[split]:
                    for row in range(_ROWS):
                        left[np.uintp(row)] &= others if block[looked_at, np.uintp(row)] > most else everything
                else:
                    for row in range(_ROWS):
                        left[np.uintp(row)] &= everything if block[looked_at, np.uintp(row)] <= most else others
            for row in range(rows):
                leaves = left[row]
                total[begin + row] += value[tree, _place_of(leaves & (~leaves + np.uint32(1)))]
    return total
