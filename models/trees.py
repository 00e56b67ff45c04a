"""Sums of regression trees, evaluated without the library that grew them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.compiled import BYTES, DOUBLES, FLOAT_ROWS, INTS, LONG

DEFAULT_LEFT: Final = 2
"""Bit of a decision: what is missing goes left."""
NAN_IS_MISSING: Final = 8
"""Bit of a decision: NaN is missing; otherwise it counts as 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Trees that split by numbers, added up in their order in double precision, as LightGBM does.

    All arrays but ``leaf`` and ``root`` have one value for each node. A child of 0 or more is a node, one below 0 the
    leaf ``-1 - child``; so is a root.

    Attributes:
        feature: int32; the column that is looked at.
        threshold: float64; up to this value a row goes left.
        decision: uint8; ``DEFAULT_LEFT`` and ``NAN_IS_MISSING``.
        left: int32.
        right: int32.
        leaf: float64; what a row gets that ends here.
        root: int32, shape (trees,); where each tree starts.
        least: The sum of the least leaf of each tree.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    decision: NDArray[np.uint8]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    leaf: NDArray[np.float64]
    root: NDArray[np.int32]
    least: float

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the trees that LightGBM's ``text`` of a model describes."""
        found: dict[str, list[NDArray[Any]]] = {name: [] for name in (*_COLUMNS, "leaf_value")}
        root, least, n_nodes, n_leaves = [], 0.0, 0, 0
        for part in text.split("\nTree=")[1:]:
            lines = dict(line.split("=", 1) for line in part.split("\n\n", 1)[0].splitlines() if "=" in line)
            columns = {name: np.array(lines.get(name, "").split(), dtype) for name, dtype in _COLUMNS.items()}
            for name in ("left_child", "right_child"):
                child = columns[name]
                columns[name] = np.where(child < 0, child - n_leaves, child + n_nodes).astype(np.int32)
            leaf = np.array(lines["leaf_value"].split(), np.float64)
            root.append(n_nodes if len(columns["threshold"]) else -1 - n_leaves)
            least += float(leaf.min())
            n_nodes, n_leaves = n_nodes + len(columns["threshold"]), n_leaves + len(leaf)
            for name, column in {**columns, "leaf_value": leaf}.items():
                found[name].append(column)
        joined = [np.concatenate(found[name]).astype(dtype) for name, dtype in _COLUMNS.items()]
        return cls(*joined, np.concatenate(found["leaf_value"]), np.array(root, np.int32), least)  # type: ignore[call-arg, arg-type]

    def __len__(self) -> int:
        """Return how many trees there are."""
        return len(self.root)

    def sums(self, columns: NDArray[np.float32], start: int = 0, end: int | None = None) -> NDArray[np.float64]:
        """Return what the trees from ``start`` to before ``end`` give each row of ``columns``, added up."""
        return _sums(
            np.ascontiguousarray(columns, np.float32),
            *(self.feature, self.threshold, self.decision, self.left, self.right, self.leaf, self.root),
            *(start, len(self) if end is None else end),
        )


_COLUMNS: Final[dict[str, Any]] = {
    "split_feature": np.int32,
    "threshold": np.float64,
    "decision_type": np.uint8,
    "left_child": np.int32,
    "right_child": np.int32,
}
"""What LightGBM calls the columns of nodes, in the order of ``Trees``."""


@njit((FLOAT_ROWS, INTS, DOUBLES, BYTES, INTS, INTS, DOUBLES, INTS, LONG, LONG), cache=True)
def _sums(columns, feature, threshold, decision, left, right, leaf, root, start, end):  # type: ignore[no-untyped-def]
    total = np.zeros(len(columns))
    for tree in range(start, end):
        for row in range(len(columns)):
            node = root[tree]
            while node >= 0:
                value = np.float64(columns[row, feature[node]])
                if np.isnan(value) and decision[node] & NAN_IS_MISSING:
                    goes_left = decision[node] & DEFAULT_LEFT != 0
                else:
                    goes_left = (0.0 if np.isnan(value) else value) <= threshold[node]
                node = left[node] if goes_left else right[node]
            total[row] += leaf[-1 - node]
    return total
