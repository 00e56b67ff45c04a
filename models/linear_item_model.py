"""Linear regression from the items of the past to those of the future."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

import numpy as np
from numba import njit
from numpy.random import Generator
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy import sparse

from features.snapshot import Snapshot
from models.neighbours import NeighbourScorer, NeighbourSettings, kept, strongest_products

LONGEST_ROW: Final = 1500
"""Of the company of an item so much counts, the most frequent: of a popular one it would be nearly all items."""


class LinearItemModelSettings(NeighbourSettings):
    """How the regression is set up."""

    ordered: bool = True
    """Whether the order of interactions tells anything; where not, all items of a person predict each other."""
    past_decay: float = Field(default=0.7, gt=0, le=1)
    """What an interaction counts in the past, as a share of the one that came after it."""
    future_decay: float = Field(default=0.5, gt=0, le=1)
    """What an interaction counts in the future, as a share of the one that came before it."""
    length_exponent: NonNegativeFloat = 0.0
    """A history of ``n`` interactions counts ``n ** -length_exponent``: who chooses a lot, tells less by each."""
    ridge: PositiveFloat = 50.0
    """How strongly coefficients are drawn towards 0."""
    predictors: PositiveInt = 120
    """How many items predict an item, at most: those that accompany it most."""
    history_interactions: PositiveInt = 30
    """How many interactions of a history are learned from, the last ones."""
    repeats: bool = False
    """Whether an item may predict itself."""


@dataclass(frozen=True)
class LinearItemModel(NeighbourScorer):
    """Scores an item by a ridge regression of the items of the future on those of the past.

    The strengths are the coefficients ``B`` that minimise ``|P B - F|^2 + ridge |B|^2``, where each way to cut a
    history into past and future is a row of ``P`` and ``F`` (SLIT: Choi et al., Session-aware Linear Item-Item Models
    for Session-based Recommendation, 2021). Where order tells nothing, ``P = F`` is the matrix of who chose what, with
    no item predicting itself (EASE: Steck, Embarrassingly Shallow Autoencoders for Sparse Data, 2019). Each column of
    ``B`` is solved for on the few items that matter to it, which needs no matrix of all items by all items (compare
    Ning and Karypis, SLIM: Sparse Linear Methods, 2011).
    """

    name: ClassVar[str] = "linear"

    config: LinearItemModelSettings

    @classmethod
    def fit(cls, snapshot: Snapshot, config: LinearItemModelSettings, rng: Generator) -> Self:
        """Return the coefficients for the items of ``snapshot``."""
        past_past, past_future = moments(snapshot, config)
        ties = coefficients(past_past, past_future, config.ridge, config.predictors, config.repeats)
        return cls.of_ties(ties, snapshot, config)


def coefficients(
    past_past: sparse.csr_matrix, past_future: sparse.csr_matrix, ridge: float, predictors: int, repeats: bool
) -> sparse.csr_matrix:
    """Return ``B`` that solves ``(past_past + ridge I) B = past_future``, each column on its strongest rows alone.

    The rows of column ``j`` are the ``predictors`` largest of ``past_future[:, j] / sqrt(diag(past_past))``.
    """
    by_target = past_future.T.tocsr()
    norm = np.sqrt(np.maximum(past_past.diagonal(), 1e-6))
    relevance = by_target.copy()
    relevance.data = relevance.data / norm[relevance.indices]
    if not repeats:
        target = np.repeat(np.arange(relevance.shape[0]), np.diff(relevance.indptr))
        relevance.data[relevance.indices == target] = 0
    chosen = kept(relevance, predictors)
    gram = past_past.tocsr()
    values = _solved(
        *(gram.indptr.astype(np.int64), gram.indices, gram.data),
        *(chosen.indptr.astype(np.int64), chosen.indices),
        *(by_target.indptr.astype(np.int64), by_target.indices, by_target.data),
        ridge,
    )
    return sparse.csr_matrix((values, chosen.indices, chosen.indptr), chosen.shape).T.tocsr()


def moments(snapshot: Snapshot, config: LinearItemModelSettings) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Return ``P'P`` and ``P'F``, each of shape (items, items); see ``LinearItemModel``."""
    n_items = len(snapshot.items)
    if not config.ordered:
        chose = snapshot.matrix("combined").astype(np.float32, copy=True)
        chose.data[:] = 1
        length = np.maximum(np.diff(chose.indptr), 1)
        weighed = (chose.T @ sparse.diags(length**-config.length_exponent, dtype=np.float32)).tocsr()
        together = strongest_products(weighed, chose, LONGEST_ROW)
        return together, together.T
    shape = (n_items, n_items)
    indptr, item = snapshot.interactions.indptr, np.ascontiguousarray(snapshot.interactions.all.item)
    length = np.minimum(np.diff(indptr), config.history_interactions)
    past, future = config.past_decay, config.future_decay
    share = np.maximum(length, 1.0) ** -config.length_exponent
    n_past = int(((length - 1).clip(0) ** 2).sum())
    n_future = int((length * (length - 1) // 2).sum())
    both = _past_pairs(indptr, item, share, past, config.history_interactions, n_past)
    across = _future_pairs(indptr, item, share, past, future, config.history_interactions, config.repeats, n_future)
    return (
        sparse.csr_matrix((both[2], both[:2]), shape),
        sparse.csr_matrix((across[2], across[:2]), shape),
    )


@njit(cache=True)
def _past_pairs(indptr, item, share, past, longest, n_pairs):  # type: ignore[no-untyped-def]
    one, other = np.empty(n_pairs, np.int32), np.empty(n_pairs, np.int32)
    value = np.empty(n_pairs, np.float32)
    n = 0
    for user in range(len(indptr) - 1):
        end = indptr[user + 1]
        start = max(indptr[user], end - longest)
        for a in range(start, end - 1):
            for b in range(start, end - 1):
                # Both lie in the past of each cut from after the later one to before the last interaction.
                cuts = end - 1 - max(a, b)
                series = (1 - past ** (2 * cuts)) / (1 - past**2) if past < 1 else float(cuts)
                one[n], other[n], value[n] = item[a], item[b], share[user] * past ** abs(a - b) * series
                n += 1
    return one, other, value


@njit(cache=True)
def _future_pairs(indptr, item, share, past, future, longest, repeats, n_pairs):  # type: ignore[no-untyped-def]
    one, other = np.empty(n_pairs, np.int32), np.empty(n_pairs, np.int32)
    value = np.empty(n_pairs, np.float32)
    n = 0
    for user in range(len(indptr) - 1):
        end = indptr[user + 1]
        start = max(indptr[user], end - longest)
        for a in range(start, end):
            for b in range(a + 1, end):
                if repeats or item[a] != item[b]:
                    one[n], other[n], value[n] = item[a], item[b], 0
                    for cut in range(a, b):
                        value[n] += share[user] * past ** (cut - a) * future ** (b - cut - 1)
                    n += 1
    return one[:n], other[:n], value[:n]


@njit(cache=True)
def _solved(  # type: ignore[no-untyped-def]
    gram_indptr, gram_indices, gram, chosen_indptr, chosen, target_indptr, target_indices, target, ridge
):
    """Return the coefficients of the ``chosen`` predictors of each item, in their order."""
    n_items = len(gram_indptr) - 1
    place = np.full(n_items, -1, np.int32)
    found = np.empty(len(chosen), np.float32)
    for item in range(n_items):
        start, end = chosen_indptr[item], chosen_indptr[item + 1]
        n = end - start
        if n == 0:
            continue
        for k in range(n):
            place[chosen[start + k]] = k
        left, right = np.zeros((n, n)), np.zeros(n)
        for k in range(n):
            row = chosen[start + k]
            for at in range(gram_indptr[row], gram_indptr[row + 1]):
                if place[gram_indices[at]] >= 0:
                    left[k, place[gram_indices[at]]] = gram[at]
            left[k, k] += ridge
        for at in range(target_indptr[item], target_indptr[item + 1]):
            if place[target_indices[at]] >= 0:
                right[place[target_indices[at]]] = target[at]
        found[start:end] = np.linalg.solve(left, right)
        for k in range(n):
            place[chosen[start + k]] = -1
    return found
