"""Items that nobody chose yet: found by what the catalog says of them, from the minute that they are in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat
from scipy import sparse

from features.snapshot import Snapshot
from models.neighbours import NeighbourScorer, NeighbourSettings, divided, kept, strongest, strongest_products
from models.scorer import event_weights
from models.successors import SuccessorsSettings, succession, sums
from models.titles import TitlesSettings, title_vectors
from models.values import ValuesSettings, value_vectors

SUCCESSORS: Final = 100
"""Of each item, so many of its successors are kept, the most usual ones."""


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
    and known. Items that are added to the catalog later have no index here; ``extended`` returns a scorer in which they
    do.

    Attributes:
        known: bool, shape (items,); which items anybody had to do with.
        step_indptr: int64, shape (items + 1,); the successors of item ``i`` are at ``step_indptr[i:i + 2]``.
        step_indices: int32; the successors.
        step_share: float32; the part each has in all that came after the item.
    """

    name: ClassVar[str] = "newcomers"
    reason_kind: ClassVar[str] = "new"
    reason_texts: ClassVar[tuple[str, str]] = ("New, and suits {0}.", "New, and suits {0} and {1}.")

    config: NewcomersSettings
    known: NDArray[np.bool_]
    step_indptr: NDArray[np.int64]
    step_indices: NDArray[np.int32]
    step_share: NDArray[np.float32]

    @classmethod
    def fit(cls, snapshot: Snapshot, config: NewcomersSettings, rng: Generator) -> Self:
        """Return the ties with the items in the catalog of ``snapshot`` that nobody had to do with."""
        manifest, n_items = snapshot.manifest, len(snapshot.items)
        weights = event_weights(manifest.event_types, manifest.settings.event_weights)
        after = succession(snapshot, config.successors)
        step = kept(divided(after, sums(after)[0], np.ones(n_items)), SUCCESSORS)
        known = np.bincount(snapshot.interactions.all.item, minlength=n_items) > 0
        ties = _ties(snapshot.catalog, manifest.dimensions, known, step, config)
        return cls(config, weights, **ties, known=known, **_arrays(step))

    def extended(self, catalog: pl.DataFrame, dimensions: Sequence[str]) -> Self:
        """Return the scorer with the items that were added to the catalog since.

        Args:
            catalog: As it is now: one row for each item of this scorer, in order of its index, then the added ones.
            dimensions: The columns of ``catalog`` that are dimensions.
        """
        n_items, more = len(catalog), len(catalog) - len(self.known)
        known = np.concatenate([self.known, np.zeros(more, np.bool_)])
        indptr = np.concatenate([self.step_indptr, np.full(more, self.step_indptr[-1])])
        step = sparse.csr_matrix((self.step_share, self.step_indices, indptr), (n_items, n_items))
        ties = _ties(catalog, dimensions, known, step, self.config)
        return type(self)(self.config, self.event_weights, **ties, known=known, **_arrays(step))


def _ties(
    catalog: pl.DataFrame,
    dimensions: Sequence[str],
    known: NDArray[np.bool_],
    step: sparse.csr_matrix,
    config: NewcomersSettings,
) -> dict[str, NDArray[Any]]:
    """Return the table of neighbours that are in the catalog and not ``known``."""
    n_items, share = len(catalog), config.values_weight
    new = np.flatnonzero(~known & catalog["in_catalog"].fill_null(False).to_numpy())
    parts = [
        title_vectors(catalog["title"], config.titles) * (1 - share) ** 0.5,
        value_vectors(catalog, dimensions, config.values.largest_share) * share**0.5,
    ]
    vectors = sparse.hstack(parts, "csr")
    if not len(new):
        return strongest(sparse.csr_matrix((n_items, n_items), dtype=np.float32), config.neighbours)
    alike = strongest_products(vectors, vectors[new].T.tocsr(), config.neighbours)
    if config.following_weight:
        alike = alike + config.following_weight * strongest_products(step, alike, config.neighbours)
    ties = sparse.csr_matrix((alike.data, new[alike.indices], alike.indptr), (n_items, n_items))
    return strongest((ties - sparse.diags(ties.diagonal())).tocsr(), config.neighbours)


def _arrays(step: sparse.csr_matrix) -> dict[str, NDArray[Any]]:
    return {
        "step_indptr": step.indptr.astype(np.int64),
        "step_indices": step.indices.astype(np.int32),
        "step_share": step.data.astype(np.float32),
    }
