"""Items that nobody chose yet: found by what the catalog says of them, from the minute that they are in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

import numpy as np
from numpy.random import Generator
from pydantic import Field, NonNegativeFloat
from scipy import sparse

from features.snapshot import Snapshot
from models.content import ContentSettings, content_vectors
from models.neighbours import (
    NeighbourScorer,
    NeighbourSettings,
    divided,
    kept,
    strongest_products,
    without_diagonal,
)
from models.successors import SuccessorsSettings, succession, sums

SUCCESSORS: Final = 100
"""Of each item, so many of its successors are kept, the most usual ones."""


class NewcomersSettings(NeighbourSettings, ContentSettings):
    """What is alike, and what tells where new items belong."""

    values_weight: float = Field(default=0.3, ge=0, le=1)
    """Share of the values in what an item is like; the rest is that of the title."""
    following_weight: NonNegativeFloat = 1.0
    """What the likeness with an item's usual successors counts, beside that with the item itself."""
    successors: SuccessorsSettings = SuccessorsSettings()
    """How successors are counted."""


@dataclass(frozen=True)
class Newcomers(NeighbourScorer):
    """Scores an item that nobody chose by its likeness with the items of the history, and with what follows these.

    Its tables hold such items alone: among all neighbours of an item, they would come after all those that are alike
    and known. Items that are added to the catalog later have no index here.
    """

    name: ClassVar[str] = "newcomers"
    reason_kind: ClassVar[str] = "new"
    reason_texts: ClassVar[tuple[str, str]] = ("New, and suits {0}.", "New, and suits {0} and {1}.")

    config: NewcomersSettings

    @classmethod
    def fit(cls, snapshot: Snapshot, config: NewcomersSettings, rng: Generator) -> Self:
        """Return the ties with the items in the catalog of ``snapshot`` that nobody had to do with."""
        n_items = len(snapshot.items)
        known = np.bincount(snapshot.interactions.all.item, minlength=n_items) > 0
        new = np.flatnonzero(~known & snapshot.catalog["in_catalog"].to_numpy())
        if not len(new):
            return cls.of_ties(sparse.csr_matrix((n_items, n_items), dtype=np.float32), snapshot, config)
        vectors = content_vectors(snapshot, config)
        alike = strongest_products(vectors, vectors[new].T.tocsr(), config.neighbours)
        if config.following_weight:
            after = succession(snapshot, config.successors)
            step = kept(divided(after, sums(after)[0], np.ones(n_items)), SUCCESSORS)
            alike = alike + config.following_weight * strongest_products(step, alike, config.neighbours)
        ties = sparse.csr_matrix((alike.data, new[alike.indices], alike.indptr), (n_items, n_items))
        return cls.of_ties(without_diagonal(ties), snapshot, config)
