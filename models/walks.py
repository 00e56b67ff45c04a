"""What lies a few steps away in the graph of items that were chosen together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, Self

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveInt
from scipy import sparse

from features.compiled import FLOATS, INTS, LONG, LONGS
from features.interactions import History
from features.snapshot import Snapshot
from models.lookup import Found
from models.neighbours import NeighbourScorer, divided, kept, pulled, strongest, strongest_products
from models.scorer import event_weights
from models.successors import SuccessionSettings, succession, sums

MOST_STEPS: Final = 3


class WalksSettings(SuccessionSettings):
    """How the graph is made, and how far it is walked."""

    distance_decay: float = Field(default=0.8, gt=0, le=1)
    """What a successor counts, as a share of one that came one interaction earlier."""
    length_exponent: NonNegativeFloat = 0.0
    """A pair counts 1 / log2(1 + length of the history) to this power."""
    backward: float = Field(default=0.8, ge=0, le=1)
    """What a step from an item to one that came before it counts, as a share of one to a successor."""
    steps: int = Field(default=3, ge=1, le=MOST_STEPS)
    """Longest walk."""
    continuation: float = Field(default=1.0, gt=0, le=1)
    """What an arrival counts, as a share of one a step earlier."""
    branches: PositiveInt = 60
    """How many ways lead on from an item, the most likely ones."""
    popularity_exponent: float = Field(default=0.3, ge=0, le=1)
    """How much the popularity of an item lowers the strength of the ties with it."""


@dataclass(frozen=True)
class Walks(NeighbourScorer):
    """Scores an item by the probability that a short walk from the items of the history ends there.

    A step leads from an item to one that came shortly after or before it, in proportion to how often; the strength is
    the sum of the probabilities to arrive after one step, two and three, divided by a power of the item's popularity.
    Two items that were never chosen together are tied by those that each was chosen with.

    Attributes:
        by_steps: uint8, shape (len(indices), MOST_STEPS); how much of each strength is that of walks of one step, two
            and three, in 255ths.
    """

    name: ClassVar[str] = "walks"
    feature_names: ClassVar[tuple[str, ...]] = (
        *NeighbourScorer.feature_names[:4],
        "by_one_step",
        "by_two_steps",
        "by_three_steps",
        *NeighbourScorer.feature_names[4:],
    )

    config: WalksSettings
    by_steps: NDArray[np.uint8]

    @classmethod
    def fit(cls, snapshot: Snapshot, config: WalksSettings, rng: Generator) -> Self:
        """Return where walks lead from the items of ``snapshot``."""
        after = succession(snapshot, config)
        graph = (after + config.backward * after.T).tocsr()
        # One more than what was counted: a step from an item seen once is less sure than one from an item seen often.
        graph = divided(graph, np.asarray(graph.sum(axis=1)).ravel() + 1, np.ones(graph.shape[1]))
        step = kept(graph, config.branches)
        arrivals = [step]
        for _ in range(config.steps - 1):
            further = strongest_products(arrivals[-1], step, config.neighbours)
            arrivals.append(further * np.float32(config.continuation))
        total = sum(arrivals[1:], start=step)
        popularity = sums(after)[1] + 1
        ties = divided(total, np.ones(graph.shape[0]), popularity**config.popularity_exponent)
        if not config.repeats:
            ties.setdiag(0)
        table = strongest(ties, config.neighbours)
        by_steps = np.zeros((len(table["indices"]), MOST_STEPS), np.uint8)
        for number, one in enumerate(arrivals):
            by_steps[:, number] = np.rint(255 * _values(table, one) / _values(table, total))
        return cls(config, event_weights(snapshot), **table, by_steps=by_steps)

    def find(self, history: History, now: datetime) -> Found:
        """Return what all tables of neighbours do, and how much each number of steps tells for an item.

        That is the part of the score that comes from walks of so many steps, by the largest such part of any item.
        """
        found = pulled(*self.anchors(history, now), self.indptr, self.indices, self.strength, self.by_steps)
        by_steps = found[3][:, -MOST_STEPS:]
        by_steps /= np.maximum(by_steps.max(axis=0, initial=0), np.finfo(np.float32).tiny)
        return found


def _values(table: Mapping[str, NDArray[Any]], ties: sparse.csr_matrix) -> NDArray[np.float32]:
    """Return the entries of ``ties`` at the places of ``table``."""
    values: NDArray[np.float32] = _entries(
        *(table["indptr"], table["indices"]),
        *(ties.indptr.astype(np.int64), ties.indices.astype(np.int32), ties.data.astype(np.float32), ties.shape[1]),
    )
    return values


@njit((LONGS, INTS, LONGS, INTS, FLOATS, LONG), cache=True)
def _entries(indptr, indices, of_indptr, of_indices, of_data, n_columns):  # type: ignore[no-untyped-def]
    row_values = np.zeros(n_columns, np.float32)
    values = np.empty(len(indices), np.float32)
    for row in range(len(indptr) - 1):
        mine, theirs = slice(indptr[row], indptr[row + 1]), slice(of_indptr[row], of_indptr[row + 1])
        row_values[of_indices[theirs]] = of_data[theirs]
        values[mine] = row_values[indices[mine]]
        row_values[of_indices[theirs]] = 0
    return values
