"""Linear regression from what the items of the past are like to the items of the future."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt
from scipy import sparse

from features.snapshot import Snapshot
from models.content import ContentSettings, content_vectors
from models.linear_item_model import LinearItemModelSettings, moments
from models.neighbours import NeighbourScorer, strongest_products, without_diagonal

Vectors = NDArray[np.float32]
"""What items are like: shape (items, numbers), each row of length 1 or 0."""


class ContentRegressionSettings(LinearItemModelSettings, ContentSettings):
    """How an item is described, and how the regression is set up."""

    factors: PositiveInt = 200
    """How many numbers tell what an item is like, at most."""
    ridge: PositiveFloat = 60.0
    """How strongly coefficients are drawn towards 0."""


@dataclass(frozen=True)
class ContentRegression(NeighbourScorer):
    """Scores an item by what followed items whose titles and values are like those of the history.

    The vectors are those of latent semantic analysis (Deerwester et al., Indexing by Latent Semantic Analysis, 1990);
    for the regression see ``ties_between``. What is known of many items that are alike is known of one that was hardly
    ever chosen.
    """

    name: ClassVar[str] = "content"
    reason_kind: ClassVar[str] = "next"
    reason_texts: ClassVar[tuple[str, str]] = (
        "Often follows things like {0}.",
        "Often follows things like {0} and {1}.",
    )

    config: ContentRegressionSettings

    @classmethod
    def fit(cls, snapshot: Snapshot, config: ContentRegressionSettings, rng: Generator) -> Self:
        """Return what follows the items of ``snapshot``; nothing where the catalog describes none."""
        vectors = _described(content_vectors(snapshot, config), config.factors, rng)
        return cls.of_ties(ties_between(vectors, snapshot, config), snapshot, config)


def ties_between(vectors: Vectors, snapshot: Snapshot, config: ContentRegressionSettings) -> sparse.csr_matrix:
    """Return how strongly each item speaks for each that it speaks for most; shape (items, items).

    With the pasts ``P`` and the futures ``F`` of ``LinearItemModel``, and the vectors ``Z``, that is ``Z B`` for the
    ``B`` that minimises ``|P Z B - F|^2 + ridge |B|^2``.
    """
    past_past, past_future = moments(snapshot, config)
    gram = vectors.T @ (past_past @ vectors) + config.ridge * np.eye(vectors.shape[1])
    coefficients = np.linalg.solve(gram, (past_future.T @ vectors).T).astype(np.float32)
    # One more than is kept, for an item may speak for itself most.
    ties = strongest_products(vectors, coefficients, config.neighbours + 1)
    return ties if config.repeats else without_diagonal(ties)


def _described(vectors: sparse.csr_matrix, n: int, rng: Generator) -> Vectors:
    """Return at most ``n`` numbers for each row that tell most of it; a row of 0 stays 0."""
    n = min(n, *(size - 1 for size in vectors.shape))
    if n < 1:
        return np.zeros((vectors.shape[0], 1), np.float32)
    from sklearn.decomposition import TruncatedSVD  # here: what answers needs none of it, and it is large

    reduced = TruncatedSVD(n, n_iter=3, random_state=int(rng.integers(2**31))).fit_transform(vectors)
    length = np.linalg.norm(reduced, axis=1, keepdims=True)
    return (reduced / np.where(length > 0, length, 1)).astype(np.float32)
