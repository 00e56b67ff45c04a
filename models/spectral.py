"""What the strongest patterns of who chose what say of an item: the broad ones alone, and with more and finer ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import ClassVar, Final, Self

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import PositiveInt
from scipy import sparse
from scipy.sparse.linalg import svds
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from features.compiled import FLOATS, INTS, LONGS, SHORT_ROWS
from features.interactions import History, IntArray
from features.settings import Settings
from features.snapshot import Snapshot
from models.inner_products import compared_products, inner_products, quantized
from models.neighbours import divided
from models.scorer import (
    Features,
    Reason,
    Scorer,
    Scores,
    best_of_all,
    event_weights,
    interaction_weights,
    of_latest,
    of_similar_people,
)

FloatArray = NDArray[np.float32]
SCALES: Final = (16, 32, 64, 128, 256)
"""It is told what so many patterns say, the strongest ones."""
LEAST_STRENGTH: Final = 1e-3
"""A pattern that is weaker than this is none, where that of all together is 1."""
LEAST_USUAL: Final = 1e-6
FEW: Final = 1024
"""Of so few people or items all patterns are found at once."""


class SpectralSettings(Settings):
    """How many patterns are looked for."""

    factors: PositiveInt = 256
    """How many patterns are kept, the strongest ones."""


@dataclass(frozen=True)
class Spectral(Scorer):
    """Scores an item by how it lies in the patterns that the history lies in.

    The patterns are the right singular vectors of the matrix of who chose what, each entry divided by the root of the
    length of the history and of the number of people who chose the item; the history is projected onto the strongest
    (the ideal low-pass filter of Shen et al., How Powerful is Graph Convolution for Recommendation?, 2021). Each of the
    ``SCALES`` is a column of its own, for trees know best how fine a pattern is to be trusted with a history.

    Attributes:
        event_weights: float32, shape (event types,).
        codes: int16, shape (items, patterns); what an item has of each pattern, as ``quantized``, of the strongest
            first; 0 for what nobody chose.
        unit: float32, shape (items,); what a code of 1 is worth.
        item_weight: float32, shape (items,); what an item of the history counts.
    """

    name: ClassVar[str] = "spectral"
    feature_names: ClassVar[tuple[str, ...]] = (
        *(f"score_{scale}" for scale in SCALES),
        *(f"score_per_known_{scale}" for scale in SCALES),
    )

    config: SpectralSettings
    event_weights: FloatArray
    codes: NDArray[np.int16]
    unit: FloatArray
    item_weight: FloatArray

    @classmethod
    def fit(cls, snapshot: Snapshot, config: SpectralSettings, rng: Generator) -> Self:
        """Return the patterns of who chose what in ``snapshot``."""
        chose = snapshot.matrix("combined").astype(np.float32, copy=True)
        chose.data[:] = 1
        length = np.maximum(np.diff(chose.indptr), 1)
        people = np.maximum(np.bincount(chose.indices, minlength=chose.shape[1]), 1)
        with threadpool_limits(1, "blas"):
            vectors = patterns(divided(chose, np.sqrt(length), np.sqrt(people)), config.factors, rng)
        return cls(config, event_weights(snapshot), *quantized(vectors), (people**-0.5).astype(np.float32))

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        """Return the inner products over all patterns."""
        projected = self._projected(history, now)[0]
        found: Scores = inner_products(self.codes, self.unit, items, projected, np.array([len(projected)]))[:, 0]
        return found

    def features(self, history: History, items: IntArray, now: datetime) -> Features:
        """Return the score at each of ``SCALES``, and how each compares with the mean score of the history's items."""
        projected, usual = self._projected(history, now)
        columns: Features = compared_products(self.codes, self.unit, items, projected, self._ends, usual)
        return columns

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return the ``n`` items with the largest inner products."""
        return best_of_all(self, len(self.codes), history, n, now)

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return that people with a similar history chose the item."""
        return of_similar_people(self, history, item, now)

    def _projected(self, history: History, now: datetime) -> tuple[FloatArray, FloatArray]:
        """Return the history in terms of the patterns, and the mean score of its items at each of ``SCALES``.

        No mean is below ``LEAST_USUAL``.
        """
        return of_latest(self, history, now, lambda: self._looked_at(history, now))

    def _looked_at(self, history: History, now: datetime) -> tuple[FloatArray, FloatArray]:
        weight = interaction_weights(history, self.event_weights, np.inf, now)
        item = np.ascontiguousarray(history.item)
        found: tuple[FloatArray, FloatArray]
        found = _projection(item, weight, self.codes, self.unit, self.item_weight, self._ends)
        return found

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.minimum(SCALES, self.codes.shape[1])


@njit((INTS, FLOATS, SHORT_ROWS, FLOATS, FLOATS, LONGS), cache=True, fastmath=True)
def _projection(item, weight, codes, unit, item_weight, ends):  # type: ignore[no-untyped-def]
    """Return what ``Spectral._projected`` does: of the items that weigh anything, each once."""
    projected, everything = np.zeros(codes.shape[1], np.float32), np.zeros(codes.shape[1], np.float32)
    mine = np.unique(item[weight > 0])
    for one in mine:
        row, worth, counts = np.uintp(one), unit[one], item_weight[one]
        for f in range(np.uintp(0), np.uintp(len(projected))):  # without signs, see ``inner_products``
            number = worth * np.float32(codes[row, f])
            projected[f] += counts * number
            everything[f] += number
    usual, product, start = np.zeros(len(ends), np.float32), np.float32(0), 0
    for scale in range(len(ends)):
        for f in range(start, ends[scale]):
            product += everything[f] * projected[f]
        usual[scale], start = max(product / max(len(mine), 1), np.float32(LEAST_USUAL)), ends[scale]
    return projected, usual


def patterns(matrix: sparse.csr_matrix, n: int, rng: Generator) -> FloatArray:
    """Return the right singular vectors of the ``n`` largest singular values, at most; shape (columns, vectors)."""
    rows, columns = matrix.shape
    if min(rows, columns) > max(FEW, n):
        _, strength, across = svds(matrix, n, v0=rng.random(min(rows, columns)), return_singular_vectors="vh")
        vectors = across.T
    else:
        square = matrix.T @ matrix if columns <= rows else matrix @ matrix.T
        squared, own = np.linalg.eigh(square.toarray().astype(np.float64))
        strength = np.sqrt(np.maximum(squared, 0))
        vectors = own if columns <= rows else (matrix.T @ own) / np.maximum(strength, LEAST_STRENGTH)
    strongest = np.argsort(-strength, kind="stable")[:n]
    return np.ascontiguousarray(vectors[:, strongest[strength[strongest] > LEAST_STRENGTH]], np.float32)
