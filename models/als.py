"""What people with similar histories chose: matrix factorization."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from scipy import sparse
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from features.interactions import History, IntArray
from features.settings import Settings
from features.snapshot import Snapshot
from models.inner_products import inner_products
from models.scorer import (
    Features,
    Reason,
    Scorer,
    Scores,
    best_first,
    event_weights,
    interaction_weights,
    of_latest,
    of_similar_people,
)

FloatArray = NDArray[np.float32]
LEAST_USUAL: Final = 0.01
"""A history of items without vectors has no usual score; it is taken to be this one."""


class ALSSettings(Settings):
    """How the matrix is factorized."""

    factors: PositiveInt = 64
    """Length of the vector of an item."""
    regularization: NonNegativeFloat = 20.0
    """How strongly vectors are drawn towards 0."""
    alpha: PositiveFloat = 2.0
    """How much one more unit of weight adds to the confidence that somebody likes an item."""
    iterations: PositiveInt = 12
    """How often users and items are solved for in turn."""
    half_life_days: PositiveFloat = 120.0
    """Age at which an interaction counts half."""
    least_users: PositiveInt = 3
    """Items that fewer people chose get no vector."""


@dataclass(frozen=True)
class ALS(Scorer):
    """Scores an item by the inner product of its vector and the vector that explains the history best.

    Hu, Koren and Volinsky, Collaborative Filtering for Implicit Feedback Datasets (2008): the vector of the history
    is solved for at every request, as in equation 4, so nobody has to wait for the next training.

    Attributes:
        event_weights: float32, shape (event types,).
        items: int32; the items that have a vector, ascending.
        vectors: float32, shape (len(items), factors).
        place: int32, shape (all items,); the row of each item in ``vectors``, -1 where it has none.
        gram: float32, shape (factors, factors); the product of ``vectors`` transposed and ``vectors``.
    """

    name: ClassVar[str] = "als"
    feature_names: ClassVar[tuple[str, ...]] = ("score", "score_per_known")

    config: ALSSettings
    event_weights: FloatArray
    items: IntArray
    vectors: FloatArray
    place: IntArray
    gram: FloatArray

    @classmethod
    def fit(cls, snapshot: Snapshot, config: ALSSettings, rng: Generator) -> Self:
        """Return the factorization of the weights in ``snapshot``."""
        weights = event_weights(snapshot)
        rows = snapshot.interactions.all
        weight = interaction_weights(rows, weights, config.half_life_days, snapshot.manifest.as_of)
        matrix = sparse.csr_matrix(
            (weight, (snapshot.interactions.users(), rows.item)),
            shape=(snapshot.interactions.n_users, len(snapshot.items)),
        )
        matrix.data = _confidence(matrix.data, config.alpha)
        matrix.eliminate_zeros()
        items = np.flatnonzero(matrix.getnnz(axis=0) >= config.least_users).astype(np.int32)
        place = np.full(len(snapshot.items), -1, dtype=np.int32)
        place[items] = np.arange(len(items))
        if not len(items):
            none = np.zeros((0, config.factors), dtype=np.float32)
            return cls(config, weights, items, none, place, none.T @ none)
        from implicit.cpu.als import AlternatingLeastSquares  # here: what answers needs none of it, and it is large

        model = AlternatingLeastSquares(
            factors=config.factors,
            regularization=config.regularization,
            alpha=1.0,
            iterations=config.iterations,
            random_state=int(rng.integers(2**31)),
        )
        with threadpool_limits(1, "blas"):
            model.fit(matrix[:, items], show_progress=False)
        vectors = np.asarray(model.item_factors, dtype=np.float32)
        return cls(config, weights, items, vectors, place, vectors.T @ vectors)

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        """Return the inner products; 0 for an item without a vector."""
        user = self._user(history, now)
        found: Scores = inner_products(self.vectors, self.place[items], user, np.array([len(user)]))[:, 0]
        return found

    def features(self, history: History, items: IntArray, now: datetime) -> Features:
        """Return the score, and how it compares with the mean score of the items of the history."""
        scores, known = self.scores(history, items, now), self.scores(history, history.item, now)
        usual = max(float(known.mean()) if len(known) else 0.0, LEAST_USUAL)
        return np.column_stack([scores, scores / np.float32(usual)])

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return the ``n`` items with the largest inner products."""
        return best_first(self.items, self.vectors @ self._user(history, now), n)

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return that people with a similar history chose the item."""
        return of_similar_people(self, history, item, now)

    def _user(self, history: History, now: datetime) -> FloatArray:
        return of_latest(self, history, now, lambda: self._solved(history, now))

    def _solved(self, history: History, now: datetime) -> FloatArray:
        weight = interaction_weights(history, self.event_weights, self.config.half_life_days, now)
        chosen, at = np.unique(self.place[history.item], return_inverse=True)
        confidence = _confidence(np.bincount(at, weight, minlength=len(chosen)), self.config.alpha)
        known = (chosen >= 0) & (confidence > 0)
        vectors, confidence = self.vectors[chosen[known]], confidence[known]
        if len(vectors) < len(self.gram):
            return self._solved_by_items(vectors, confidence)
        left = self._regularized + (vectors.T * (confidence - 1)) @ vectors
        return np.linalg.solve(left, vectors.T @ confidence).astype(np.float32)

    def _solved_by_items(self, vectors: FloatArray, confidence: FloatArray) -> FloatArray:
        """Return the solution by the Woodbury identity: with as many unknowns as there are items, not factors."""
        spread = vectors @ self._inverse
        left = np.eye(len(vectors)) + (confidence - 1)[:, np.newaxis] * (spread @ vectors.T)
        return (np.linalg.solve(left, confidence) @ spread).astype(np.float32)

    @cached_property
    def _regularized(self) -> NDArray[np.float64]:
        return self.gram + self.config.regularization * np.eye(len(self.gram))

    @cached_property
    def _inverse(self) -> FloatArray:
        return np.linalg.inv(self._regularized).astype(np.float32)


def _confidence(weight: NDArray[Any], alpha: float) -> FloatArray:
    positive = np.maximum(weight, 0)
    return np.where(positive > 0, 1 + alpha * np.log1p(positive), 0).astype(np.float32)
