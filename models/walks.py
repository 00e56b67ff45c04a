"""What lies a few steps away in the graph of items that were chosen together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.random import Generator
from pydantic import Field, NonNegativeFloat, PositiveInt

from features.snapshot import Snapshot
from models.neighbours import NeighbourScorer, divided, kept, strongest_products
from models.successors import SuccessionSettings, succession, sums


class WalksSettings(SuccessionSettings):
    """How the graph is made, and how far it is walked."""

    distance_decay: float = Field(default=0.8, gt=0, le=1)
    """What a successor counts, as a share of one that came one interaction earlier."""
    length_exponent: NonNegativeFloat = 0.0
    """A pair counts 1 / log2(1 + length of the history) to this power."""
    backward: float = Field(default=0.8, ge=0, le=1)
    """What a step from an item to one that came before it counts, as a share of one to a successor."""
    steps: int = Field(default=3, ge=1, le=3)
    """Longest walk."""
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
    """

    name: ClassVar[str] = "walks"

    config: WalksSettings

    @classmethod
    def fit(cls, snapshot: Snapshot, config: WalksSettings, rng: Generator) -> Self:
        """Return where walks lead from the items of ``snapshot``."""
        after = succession(snapshot, config)
        graph = (after + config.backward * after.T).tocsr()
        # One more than what was counted: a step from an item seen once is less sure than one from an item seen often.
        graph = divided(graph, np.asarray(graph.sum(axis=1)).ravel() + 1, np.ones(graph.shape[1]))
        step = kept(graph, config.branches)
        arrivals = ends = step
        for _ in range(config.steps - 1):
            ends = strongest_products(ends, step, config.neighbours)
            arrivals = arrivals + ends
        popularity = sums(after)[1] + 1
        ties = divided(arrivals, np.ones(graph.shape[0]), popularity**config.popularity_exponent)
        if not config.repeats:
            ties.setdiag(0)
        return cls.of_ties(ties, snapshot, config)
