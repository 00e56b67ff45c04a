"""Items that nobody chose yet: found by what the catalog says of them, from the minute that they are in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat
from scipy import sparse

from features.snapshot import Snapshot
from models.neighbours import NeighbourScorer, NeighbourSettings, divided, strongest, strongest_products
from models.scorer import event_weights
from models.successors import SuccessorsSettings, succession, sums
from models.titles import TitlesSettings, title_vectors
from models.values import ValuesSettings, value_vectors


class NewcomersSettings(NeighbourSettings):
    """What is alike, and what tells where new items belong."""

    titles: TitlesSettings = TitlesSettings()
    """How titles are read."""
    values: ValuesSettings = ValuesSettings()
    """Which values tell anything."""
    values_weight: float = Field(default=0.3, ge=0, le=1)
    """Share of the values in the likeness; the rest is that of the titles."""
    following_weight: NonNegativeFloat = 1.0
    """What the likeness with an item's usual successors counts, beside that with the item itself."""
    successors: SuccessorsSettings = SuccessorsSettings()
    """How successors are counted."""


@dataclass(frozen=True)
class Newcomers(NeighbourScorer):
    """Scores an item that nobody chose by its likeness with the items of the history, and with what follows these.

    Its tables hold such items alone: among all neighbours of an item, they would come after all those that are alike
    and known.
    """

    name: ClassVar[str] = "newcomers"
    reason_kind: ClassVar[str] = "new"
    reason_texts: ClassVar[tuple[str, str]] = ("New, and similar to {0}.", "New, and similar to {0} and {1}.")

    config: NewcomersSettings

    @classmethod
    def fit(cls, snapshot: Snapshot, config: NewcomersSettings, rng: Generator) -> Self:
        """Return the ties with the items in the catalog of ``snapshot`` that nobody had to do with."""
        weights = event_weights(snapshot.manifest.event_types, snapshot.manifest.settings.event_weights)
        after = succession(snapshot, config.successors)
        return cls.of(snapshot.catalog, snapshot.manifest.dimensions, after, weights, config)

    @classmethod
    def of(
        cls,
        catalog: pl.DataFrame,
        dimensions: Sequence[str],
        after: sparse.csr_matrix,
        weights: NDArray[np.float32],
        config: NewcomersSettings,
    ) -> Self:
        """Return the ties with the items of ``catalog`` that never came before or after another.

        Args:
            catalog: One row for each item, in order of its index; items added since the rest was learned come last.
            dimensions: Columns of ``catalog`` with the values of each dimension.
            after: How often each item came after each other one, shape (items, items), as ``succession`` counts it;
                it may have fewer rows and columns than there are items.
            weights: Of each event type; see ``NeighbourScorer``.
            config: How it is done.
        """
        n = len(catalog)
        after = sparse.csr_matrix((after.data, after.indices, _longer(after.indptr, n)), (n, n))
        chosen = (np.asarray(after.sum(axis=0)).ravel() + np.asarray(after.sum(axis=1)).ravel()) > 0
        new = np.flatnonzero(~chosen & catalog["in_catalog"].fill_null(False).to_numpy())
        share = config.values_weight
        vectors = sparse.hstack(
            [
                np.sqrt(1 - share) * title_vectors(catalog["title"], config.titles),
                np.sqrt(share) * value_vectors(catalog, dimensions, config.values.largest_share),
            ],
            "csr",
        )
        alike = strongest_products(vectors, vectors[new].T.tocsr(), config.neighbours)
        if config.following_weight:
            step = divided(after, sums(after)[0], np.ones(n))
            alike = alike + config.following_weight * strongest_products(step, alike, config.neighbours)
        ties = sparse.csr_matrix((alike.data, new[alike.indices], alike.indptr), (n, n))
        ties = (ties - sparse.diags(ties.diagonal())).tocsr()
        return cls(config, weights, **strongest(ties, config.neighbours))


def _longer(indptr: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    return np.concatenate([indptr, np.full(n + 1 - len(indptr), indptr[-1])])
