"""Vectors learned so that those of a history point to the item that came next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt
from scipy import sparse

from features.interactions import IntArray
from features.settings import Settings

FloatArray = NDArray[np.float32]
BATCH: Final = 512
"""So many examples make one step."""
DRAWN_EXPONENT: Final = 0.75
"""Popularity to this power is how often an item is drawn to compare with."""
FIRST_STEP_DECAY: Final = 0.7
"""What an interaction counts at first, as a share of the one that came after it."""
LAST_RATE: Final = 0.02
"""Share of the learning rate that is left in the last step; it falls evenly."""
TINY: Final = np.float32(1e-8)


class SampledSoftmaxSettings(Settings):
    """How vectors are learned."""

    factors: PositiveInt = 128
    """Length of a vector."""
    temperature: float = Field(default=0.09, ge=0.025)
    """The cosine by which one item must be nearer than another to be about three times as likely.

    Of a temperature below the least the score of what is farthest would be 0 in float32.
    """
    epochs: PositiveInt = 4
    """How often each example is learned from."""
    drawn: PositiveInt = 1024
    """With so many items drawn at random the one that came next is compared, besides those of other examples."""
    learning_rate: PositiveFloat = 0.005
    """How far a number moves in one of the first steps, at most."""
    recent_interactions: PositiveInt = Field(default=10, le=1000)
    """How many interactions before an item tell of it, the last ones."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Items, each with what came before it.

    Attributes:
        items: int32; the item of each interaction, one history behind another, each in its order.
        weight: float32; what each interaction counts in what it tells of later ones.
        at: int64; the interactions to learn from: each is told by those before it in its history, one at least.
        first: int64; where the history of each of these begins.
        worth: float32, mean 1; what learning from each of them counts.
    """

    items: IntArray
    weight: FloatArray
    at: NDArray[np.int64]
    first: NDArray[np.int64]
    worth: FloatArray


def learned(
    examples: Examples, made_of: sparse.csr_matrix, config: SampledSoftmaxSettings, rng: Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return a vector for each item, one for each step back from what came next, and a matrix.

    The vector of an item is a weighted sum of vectors that are learned, some of them for several items: what is hardly
    ever chosen takes part in what is learned of others. Row ``i`` of ``made_of``, shape (items, learned vectors), has
    the weights for item ``i``.

    The vector ``u`` of a history is the sum, over its interactions, of ``weight x item vector x step vector``, number
    by number, times the matrix: without it, what comes before and what comes after would be the same. An item is as
    likely to come next as ``exp(cos(u, its vector) / temperature)`` says, among all items; how likely it makes what did
    come next is maximised, by Adam (Kingma and Ba, 2015). Of all items only some are looked at in a step, and each
    counts as many times more as it is looked at less often (Bengio and Senecal, Adaptive Importance Sampling to
    Accelerate Training of a Neural Probabilistic Language Model, 2008). That the same vector tells what an item is as a
    cause and as an outcome is what Hou et al. found to help (CORE, 2022).

    Returns:
        The vectors, shape (items, factors), 0 for an item of which nothing is learned; the steps, shape
        (recent_interactions, factors): row ``k`` is of the interaction that has ``k`` others between itself and what
        came next; the matrix, shape (factors, factors).
    """
    n_items, n_learned = made_of.shape
    own = _Learned((rng.standard_normal((n_learned, config.factors)) / np.sqrt(config.factors)).astype(np.float32))
    decay = FIRST_STEP_DECAY ** np.arange(config.recent_interactions, dtype=np.float32)
    steps = _Learned(np.repeat(decay[:, np.newaxis], config.factors, axis=1))
    turn = _Learned(np.eye(config.factors, dtype=np.float32))
    every_step, every_number = np.arange(len(decay)), np.arange(config.factors)
    shares = made_of.indptr.astype(np.int64), made_of.indices.astype(np.int32), made_of.data.astype(np.float32)
    asked = np.bincount(examples.items[examples.at], minlength=n_items) / max(len(examples.at), 1)
    # Also what nobody came to, only from: it has to be told from the rest.
    drawn = np.bincount(examples.items, minlength=n_items) ** DRAWN_EXPONENT
    drawn /= max(drawn.sum(), 1)
    up_to = np.cumsum(drawn)
    # Of an item that is looked at in every other step, each look counts twice.
    looked_at = -np.expm1(-(config.drawn * drawn + BATCH * asked))
    missing = np.log(np.maximum(looked_at, np.finfo(np.float64).tiny)).astype(np.float32)
    n_moves, move = config.epochs * -(-len(examples.at) // BATCH), 0
    for _ in range(config.epochs):
        order = rng.permutation(len(examples.at))
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            right = examples.items[examples.at[some]]
            others = np.searchsorted(up_to, rng.random(config.drawn) * up_to[-1]).astype(np.int32)
            items, place = np.unique(np.concatenate([right, others]), return_inverse=True)
            before, weight = _before(
                examples.items, examples.weight, examples.at[some], examples.first[some], len(decay)
            )
            used, row = np.unique(np.concatenate([items, before.ravel()]), return_inverse=True)
            looked, before = row[: len(items)], row[len(items) :].reshape(before.shape)
            vectors = _sums(used, *shares, own.value)
            slope = np.zeros_like(vectors)
            told = _told(vectors, steps.value, before, weight)
            turned_slope, slope[looked] = _slopes(
                told @ turn.value, vectors[looked], place[: len(some)], missing[items], examples.worth[some], config
            )
            turn.slope += told.T @ turned_slope
            _spread(vectors, steps.value, before, weight, turned_slope @ turn.value.T, slope, steps.slope)
            changed = _handed_on(used, *shares, slope, own.slope)
            move += 1
            rate = config.learning_rate * max(1 - move / n_moves, LAST_RATE)
            own.move(changed, rate, move)
            steps.move(every_step, rate, move)
            turn.move(every_number, rate, move)
    every_item = np.arange(n_items)
    return _sums(every_item, *shares, own.moved_value()), steps.value, turn.value


class _Learned:
    """Numbers that are moved against their slopes."""

    def __init__(self, value: FloatArray) -> None:
        self.value = value
        self.slope, self._mean, self._square = (np.zeros_like(value) for _ in range(3))

    def move(self, rows: NDArray[Any], rate: float, number: int) -> None:
        """Move ``rows``, for the time ``number``, from 1, and forget their slopes."""
        _adam(self.value, self.slope, self._mean, self._square, rows, np.float32(rate), number)

    def moved_value(self) -> FloatArray:
        """Return the numbers, 0 in rows that were never moved."""
        return np.where(self._square.any(axis=1, keepdims=True), self.value, np.float32(0))


def _slopes(
    told: FloatArray,
    vectors: FloatArray,
    right: NDArray[np.int64],
    missing: FloatArray,
    worth: FloatArray,
    config: SampledSoftmaxSettings,
) -> tuple[FloatArray, FloatArray]:
    """Return the slopes of the loss by the vectors of histories, ``told``, and by those of the items, ``vectors``.

    The item that came after history ``k`` is in row ``right[k]``; ``missing`` is the logarithm of how often an item is
    looked at.
    """
    told_length, length = _lengths(told), _lengths(vectors)
    told, vectors = told / told_length, vectors / length
    odds = told @ vectors.T
    odds /= np.float32(config.temperature)
    every = np.arange(len(told))
    of_right = odds[every, right]
    odds -= missing
    odds[every, right] = of_right
    odds -= odds.max(axis=1, keepdims=True)
    np.exp(odds, out=odds)
    odds /= odds.sum(axis=1, keepdims=True)
    odds[every, right] -= 1
    odds *= (worth / np.float32(config.temperature))[:, np.newaxis]
    by_told, by_vectors = odds @ vectors, odds.T @ told
    return (
        (by_told - told * (told * by_told).sum(axis=1, keepdims=True)) / told_length,
        (by_vectors - vectors * (vectors * by_vectors).sum(axis=1, keepdims=True)) / length,
    )


def _lengths(vectors: FloatArray) -> FloatArray:
    found: FloatArray = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, np.newaxis] + TINY
    return found


@njit(cache=True)
def _before(items, weight, at, first, n):  # type: ignore[no-untyped-def]
    """Return what came before each of ``at``, up to ``n`` items, the last one first, and their weights, 0 beyond."""
    before, weights = np.zeros((len(at), n), np.int32), np.zeros((len(at), n), np.float32)
    for row in range(len(at)):
        for k in range(n):
            place = max(at[row] - 1 - k, first[row])
            before[row, k] = items[place]
            if at[row] - 1 - k >= first[row]:
                weights[row, k] = weight[place]
    return before, weights


@njit(cache=True)
def _sums(rows, indptr, indices, share, learned):  # type: ignore[no-untyped-def]
    """Return the vectors that ``rows`` of the matrix ``indptr, indices, share`` make of the ``learned`` ones."""
    found = np.zeros((len(rows), learned.shape[1]), np.float32)
    for k in range(len(rows)):
        for at in range(indptr[rows[k]], indptr[rows[k] + 1]):
            one = learned[indices[at]]
            for f in range(len(one)):
                found[k, f] += share[at] * one[f]
    return found


@njit(cache=True)
def _handed_on(rows, indptr, indices, share, slope, learned_slope):  # type: ignore[no-untyped-def]
    """Add to ``learned_slope`` what the ``slope`` by what ``_sums`` returns makes of it; return its changed rows."""
    changed = np.zeros(len(learned_slope), np.bool_)
    for k in range(len(rows)):
        for at in range(indptr[rows[k]], indptr[rows[k] + 1]):
            one = learned_slope[indices[at]]
            changed[indices[at]] = True
            for f in range(len(one)):
                one[f] += share[at] * slope[k, f]
    return np.flatnonzero(changed)


@njit(cache=True)
def _told(vectors, steps, before, weight):  # type: ignore[no-untyped-def]
    """Return the vector of each row of ``before``."""
    found = np.zeros((len(before), vectors.shape[1]), np.float32)
    for row in range(len(before)):
        for k in range(len(steps)):
            if weight[row, k] > 0:
                for f in range(vectors.shape[1]):
                    found[row, f] += weight[row, k] * steps[k, f] * vectors[before[row, k], f]
    return found


@njit(cache=True)
def _spread(vectors, steps, before, weight, slope, vectors_slope, steps_slope):  # type: ignore[no-untyped-def]
    """Add to the slopes by ``vectors`` and ``steps`` what the ``slope`` by what ``_told`` returns makes of them."""
    for row in range(len(before)):
        for k in range(len(steps)):
            if weight[row, k] > 0:
                for f in range(vectors.shape[1]):
                    one = weight[row, k] * slope[row, f]
                    vectors_slope[before[row, k], f] += one * steps[k, f]
                    steps_slope[k, f] += one * vectors[before[row, k], f]


@njit(cache=True, error_model="numpy")
def _adam(value, slope, mean, square, rows, rate, number):  # type: ignore[no-untyped-def]
    mean_share = np.float32(1 - 0.9**number)
    square_share = np.float32(1 - 0.999**number)
    for row in rows:
        for f in range(value.shape[1]):
            one = slope[row, f]
            mean[row, f] += np.float32(0.1) * (one - mean[row, f])
            square[row, f] += np.float32(0.001) * (one * one - square[row, f])
            value[row, f] -= rate * (mean[row, f] / mean_share) / (np.sqrt(square[row, f] / square_share) + TINY)
            slope[row, f] = 0
