"""What people with similar histories chose: matrix factorization."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import ClassVar, Final, Self

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from scipy import sparse
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from features.compiled import DOUBLE, FLOATS, INTS, SHORT_ROWS
from features.interactions import History, IntArray
from features.settings import Settings
from features.snapshot import Snapshot
from models.inner_products import compared_products, inner_products, quantized
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
LEAST_STRENGTH: Final = 1e-12
"""What is not regularized and told by nobody is taken to be this strong."""


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

    Vectors are kept turned and stretched, which changes no score: what is the same for everybody in that equation,
    ``Y'Y`` and the regularization, is the unit matrix for them, so that what is left to solve is no larger than the
    history is long.

    Attributes:
        event_weights: float32, shape (event types,).
        items: int32; the items that have a vector, ascending.
        codes: int16, shape (len(items), factors); the vectors, as ``quantized``.
        unit: float32, shape (len(items),); what a code of 1 is worth.
        place: int32, shape (all items,); the row of each item in ``codes``, -1 where it has none.
    """

    name: ClassVar[str] = "als"
    feature_names: ClassVar[tuple[str, ...]] = ("score", "score_per_known")

    config: ALSSettings
    event_weights: FloatArray
    items: IntArray
    codes: NDArray[np.int16]
    unit: FloatArray
    place: IntArray

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
            return cls(config, weights, items, *quantized(np.zeros((0, config.factors))), place)
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
        return cls(config, weights, items, *quantized(_turned(model.item_factors, config.regularization)), place)

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        """Return the inner products; 0 for an item without a vector."""
        return self._products(self.place[items], history, now)

    def features(self, history: History, items: IntArray, now: datetime) -> Features:
        """Return the score, and how it compares with the mean score of the items of the history."""
        user, usual = self._user(history, now)
        columns: Features = compared_products(self.codes, self.unit, self.place[items], user, self._ends, usual)
        return columns

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return the ``n`` items with the largest inner products."""
        return best_first(self.items, self._products(np.arange(len(self.items), dtype=np.int32), history, now), n)

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return that people with a similar history chose the item."""
        return of_similar_people(self, history, item, now)

    def _products(self, rows: IntArray, history: History, now: datetime) -> Scores:
        user = self._user(history, now)[0]
        found: Scores = inner_products(self.codes, self.unit, rows, user, self._ends)[:, 0]
        return found

    def _user(self, history: History, now: datetime) -> tuple[FloatArray, FloatArray]:
        """Return the vector of the history, and the mean score of its items, ``LEAST_USUAL`` at least; shape (1,)."""
        return of_latest(self, history, now, lambda: self._solved(history, now))

    def _solved(self, history: History, now: datetime) -> tuple[FloatArray, FloatArray]:
        weight = interaction_weights(history, self.event_weights, self.config.half_life_days, now)
        place, alpha = self.place[history.item], self.config.alpha
        found: tuple[FloatArray, FloatArray] = _explained(self.codes, self.unit, place, weight, alpha)
        return found

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.array([self.codes.shape[1]])


def _confidence(weight: FloatArray, alpha: float) -> FloatArray:
    return np.where(weight > 0, 1 + _excess(np.maximum(weight, 0), alpha), 0).astype(np.float32)


@njit(cache=True)
def _excess(weight, alpha):  # type: ignore[no-untyped-def]
    """Return how much more than 1 the confidence is of what weighs anything."""
    return alpha * np.log1p(weight)


def _turned(vectors: FloatArray, regularization: float) -> NDArray[np.float64]:
    """Return ``Y M`` of the ``vectors`` ``Y``, where ``M M'`` is the inverse of ``Y'Y`` and the regularization."""
    exact = vectors.astype(np.float64)
    strength, own = np.linalg.eigh(exact.T @ exact + regularization * np.eye(exact.shape[1]))
    return np.asarray(exact @ (own / np.sqrt(np.maximum(strength, LEAST_STRENGTH))))


@njit(fastmath={"contract", "reassoc"})
def _solved(left, right):  # type: ignore[no-untyped-def]
    """Return ``x`` of ``left x = right``, by Cholesky's decomposition, which takes the places of both.

    Of ``left``, which is symmetric and has no eigenvalue below 1, only the lower half is looked at. Histories are
    short, and LAPACK is made for systems that are not.
    """
    n = np.uintp(len(right))
    for column in range(np.uintp(0), n):
        for row in range(column, n):
            rest = left[row, column]
            for k in range(np.uintp(0), column):
                rest -= left[row, k] * left[column, k]
            left[row, column] = np.sqrt(rest) if row == column else rest / left[column, column]
        rest = right[column]
        for k in range(np.uintp(0), column):
            rest -= left[column, k] * right[k]
        right[column] = rest / left[column, column]
    for step in range(np.uintp(1), n + np.uintp(1)):
        last = n - step
        right[last] /= left[last, last]
        for k in range(np.uintp(0), last):
            right[k] -= left[last, k] * right[last]
    return right


@njit((SHORT_ROWS, FLOATS, INTS, FLOATS, DOUBLE), cache=True, fastmath={"contract", "reassoc"})
def _explained(codes, unit, rows, weight, alpha):  # type: ignore[no-untyped-def]
    """Return ``(I + U'(C - I) U)^-1 U'c`` and the mean of its inner products with what ``rows`` say, -1 for 0.

    That is what ``ALS._user`` returns. ``U`` are the vectors of those ``rows`` that weigh anything, each once, with the
    confidences ``c``.
    """
    factors = np.uintp(codes.shape[1])  # without signs, see ``inner_products``
    told, everything = np.zeros(factors, np.float32), np.zeros(factors, np.float32)
    order = np.argsort(rows, kind="mergesort")
    chosen, excess = np.empty(len(rows), np.uintp), np.empty(len(rows))
    n, k = 0, 0
    while k < len(order):
        row, total = rows[order[k]], np.float32(0)
        while k < len(order) and rows[order[k]] == row:
            total += weight[order[k]]
            if row >= 0:
                at, worth = np.uintp(row), unit[row]
                for f in range(np.uintp(0), factors):
                    everything[f] += worth * np.float32(codes[at, f])
            k += 1
        if row >= 0 and total > 0:
            chosen[n], excess[n] = row, _excess(total, alpha)
            n += 1
    usual = np.full(1, LEAST_USUAL, np.float32)
    if n == 0:
        return told, usual
    mine, excess = np.empty((n, factors), np.float32), excess[:n]
    for k in range(np.uintp(0), np.uintp(n)):
        worth = unit[chosen[k]]
        for f in range(np.uintp(0), factors):
            mine[k, f] = worth * np.float32(codes[chosen[k], f])
    if n < factors:
        # By the Woodbury identity, with as many unknowns as there are items.
        root, left = np.sqrt(excess), np.empty((n, n))
        for k in range(np.uintp(0), np.uintp(n)):
            for other in range(np.uintp(0), k + np.uintp(1)):
                product = np.float32(0)
                for f in range(np.uintp(0), factors):
                    product += mine[k, f] * mine[other, f]
                left[k, other] = root[k] * root[other] * product
            left[k, k] += 1
        share = root * _solved(left, (1 + excess) / root)
        for k in range(np.uintp(0), np.uintp(n)):
            its = np.float32(share[k])
            for f in range(np.uintp(0), factors):
                told[f] += its * mine[k, f]
    else:
        exact = mine.astype(np.float64)
        left = exact.T @ (excess.reshape(-1, 1) * exact) + np.eye(codes.shape[1])
        told[:] = _solved(left, exact.T @ (1 + excess))
    usual[0] = max(usual[0], (told * everything).sum() / len(rows))
    return told, usual
