"""What tends to come next, by vectors of items that are learned for nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import ClassVar, Final, Self

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from scipy import sparse

from features.compiled import DOUBLE, FLOAT_ROWS, FLOATS, INTS
from features.interactions import DAY_S, History, IntArray
from features.snapshot import Snapshot
from models.content import ContentSettings, content_vectors
from models.neighbours import divided, kept, latest_first, likenesses
from models.sampled_softmax import Examples, SampledSoftmaxSettings, learned
from models.scorer import (
    Features,
    Reason,
    Scorer,
    Scores,
    best_first,
    best_of_all,
    event_weights,
    interaction_weights,
    of_latest,
)
from models.successors import SuccessionSettings, succession, sums

FloatArray = NDArray[np.float32]
REASONS: Final = ("Tends to follow what you chose lately.", "Tends to follow {0}.", "Tends to follow {0} and {1}.")
"""Said where no item of the history alone speaks for the item, where one does, and where two do."""


class EmbeddingsSettings(SampledSoftmaxSettings):
    """How vectors are learned, and from what."""

    half_life_days: PositiveFloat = 3650.0
    """Age at which what somebody chose is half as much worth learning from."""
    examples: PositiveInt = 1_000_000
    """From so many interactions it is learned, at most, the latest."""
    repeats: bool = True
    """Whether it is learned that an item comes again."""
    together: NonNegativeInt = 5
    """Of how many items that it is chosen together with the vector of an item is made, besides its own."""
    together_weight: PositiveFloat = 1.0
    """What these count, all of them, beside an item's own vector, that counts 1."""
    alike: NonNegativeInt = 3
    """Of how many items that the catalog describes alike the vector of an item is made, besides."""
    alike_weight: PositiveFloat = 2.0
    """What these count, all of them."""
    content: ContentSettings = ContentSettings()
    """What is called alike."""


@dataclass(frozen=True)
class Embeddings(Scorer):
    """Scores an item by how near its vector is to that of the history, as it is learned by ``sampled_softmax``.

    The score is ``exp((cosine - 1) / temperature)``: 1 for the best there could be, and proportional to how likely the
    item is to come next. The vector of an item is made of its own, of those of the items that it is chosen together
    with (as the global graph in Wang et al., GCE-GNN, 2020), and of those that the catalog describes alike: what is
    hardly ever chosen, or not yet, is known by these.

    Attributes:
        event_weights: float32, shape (event types,).
        vectors: float32, shape (items, factors); 0 where an item is not known.
        steps: float32, shape (recent_interactions, factors); what the interactions count, the last one first.
        turn: float32, shape (factors, factors); what the sum over the interactions is multiplied with.
    """

    name: ClassVar[str] = "embeddings"
    feature_names: ClassVar[tuple[str, ...]] = ("score", "last", "previous")

    config: EmbeddingsSettings
    event_weights: FloatArray
    vectors: FloatArray
    steps: FloatArray
    turn: FloatArray

    @classmethod
    def fit(cls, snapshot: Snapshot, config: EmbeddingsSettings, rng: Generator) -> Self:
        """Return the vectors with which the histories in ``snapshot`` tell best what came next in them."""
        weights = event_weights(snapshot)
        examples = _examples(snapshot, weights, config)
        return cls(config, weights, *learned(examples, _made_of(snapshot, config), config, rng))

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        """Return how likely each of ``items`` is to come next, as a share; 0 for what is not known."""
        return self._columns(self._of(history, now)[:1], items)[:, 0]

    def features(self, history: History, items: IntArray, now: datetime) -> Features:
        """Return the score, and the cosines with the last item of the history and with the one before it."""
        return self._columns(self._of(history, now), items)

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return the ``n`` items that are the likeliest to come next."""
        return best_of_all(self, len(self.vectors), history, n, now)

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return the one or two items of the history whose vectors, as they count, point most to that of ``item``."""
        if self.scores(history, np.array([item], np.int32), now)[0] <= 0:
            return None
        mine, weight = self._recent(history, now)
        pull = (weight[:, np.newaxis] * self.steps[: len(mine)] * self.vectors[mine]) @ (self.turn @ self.vectors[item])
        items, at = np.unique(mine, return_inverse=True)
        because = tuple(best_first(items, np.bincount(at, pull, len(items)).astype(np.float32), 2).tolist())
        return Reason("next", REASONS[len(because)], because)

    def _recent(self, history: History, now: datetime) -> tuple[IntArray, FloatArray]:
        """Return the items of the interactions that count, the last one first, and what each weighs."""
        weight = interaction_weights(history, self.event_weights, np.inf, now)
        items, weight = latest_first(np.ascontiguousarray(history.item), weight, 1.0)
        return items[: len(self.steps)], weight[: len(self.steps)]

    def _of(self, history: History, now: datetime) -> FloatArray:
        """Return the vector of the history, and those of its last item and of the one before it."""
        return of_latest(self, history, now, lambda: self._told(history, now))

    def _told(self, history: History, now: datetime) -> FloatArray:
        told: FloatArray = _told(*self._recent(history, now), self.steps, self.vectors, self.turn)
        return told

    def _columns(self, told: FloatArray, items: IntArray) -> Features:
        columns: Features = _columns(told, self.vectors, self._lengths, items, self.config.temperature)
        return columns

    @cached_property
    def _lengths(self) -> FloatArray:
        found: FloatArray = np.sqrt(np.einsum("ij,ij->i", self.vectors, self.vectors))
        return found


@njit((INTS, FLOATS, FLOAT_ROWS, FLOAT_ROWS, FLOAT_ROWS), cache=True, fastmath=True)
def _told(items, weight, steps, vectors, turn):  # type: ignore[no-untyped-def]
    """Return what ``Embeddings._of`` does, of the ``items`` of a history, the last one first; 3 rows at most."""
    factors = np.uintp(vectors.shape[1])  # without signs, see ``inner_products``
    total, told = np.zeros(factors, np.float32), np.zeros((1 + min(2, len(items)), factors), np.float32)
    for k in range(np.uintp(0), np.uintp(len(items))):
        row = np.uintp(items[k])
        for f in range(np.uintp(0), factors):
            total[f] += weight[k] * steps[k, f] * vectors[row, f]
    for g in range(np.uintp(0), factors):
        for f in range(np.uintp(0), factors):
            told[0, f] += total[g] * turn[g, f]
    for k in range(1, len(told)):
        told[k] = vectors[items[k - 1]]
    return told


@njit((FLOAT_ROWS, FLOAT_ROWS, FLOATS, INTS, DOUBLE), cache=True, fastmath={"contract", "reassoc"})
def _columns(told, vectors, lengths, items, temperature):  # type: ignore[no-untyped-def]
    """Return how likely each of ``items`` is, by its cosine with the first that is ``told``, and those with the others.

    Cosines are 0 where a vector is. What is not told is NaN.
    """
    columns = np.full((len(items), 3), np.nan, np.float32)
    told_lengths = np.sqrt((told * told).sum(axis=1))
    for k in range(len(items)):
        row = np.uintp(items[k])
        for one in range(np.uintp(0), np.uintp(len(told))):
            product, length = np.float32(0), told_lengths[one] * lengths[row]
            for f in range(np.uintp(0), np.uintp(told.shape[1])):
                product += told[one, f] * vectors[row, f]
            columns[k, one] = product / length if length > 0 else np.float32(0)
        likely = columns[k, 0]
        columns[k, 0] = np.exp((likely - np.float32(1)) / np.float32(temperature)) if likely != 0 else np.float32(0)
    return columns


def _made_of(snapshot: Snapshot, config: EmbeddingsSettings) -> sparse.csr_matrix:
    """Return what the vectors of the items of ``snapshot`` are made of; see ``learned``."""
    made_of = sparse.identity(len(snapshot.items), np.float32, "csr")
    if config.together:
        made_of = made_of + config.together_weight * _evened(kept(_together(snapshot, config), config.together))
    if config.alike:
        alike = likenesses(content_vectors(snapshot, config.content), config.alike)
        made_of = made_of + config.alike_weight * _evened(alike)
    return made_of.tocsr()


def _together(snapshot: Snapshot, config: EmbeddingsSettings) -> sparse.csr_matrix:
    """Return how much each two items of ``snapshot`` are chosen by the same people, one soon after the other."""
    counting = SuccessionSettings(
        distance=config.recent_interactions,
        distance_decay=0.8,
        length_exponent=0,
        pair_half_life_days=config.half_life_days,
        gap_half_life_days=36_500,
    )
    after = succession(snapshot, counting)
    ties = (after + after.T).tocsr()
    # One pair alone is no sign of anything.
    length = np.sqrt(np.asarray(ties.sum(axis=1)).ravel() + 1)
    return divided(ties, length, length)


def _evened(ties: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return ``ties`` with rows that add up to 1, or 0."""
    return divided(ties, sums(ties)[0], np.ones(ties.shape[1]))


def _examples(snapshot: Snapshot, weights: FloatArray, config: EmbeddingsSettings) -> Examples:
    """Return what the histories of ``snapshot`` teach: each interaction with an item but the first of its history."""
    manifest, interactions = snapshot.manifest, snapshot.interactions
    weight = interaction_weights(interactions.all, weights, np.inf, manifest.as_of)
    counts = weight > 0
    user, rows, weight = interactions.users()[counts], interactions.all[counts], weight[counts]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(user, minlength=interactions.n_users))]).astype(np.int64)
    first = indptr[user]
    told = np.arange(len(user)) > first
    if not config.repeats:
        again = np.ones(len(user), np.bool_)
        again[np.unique(user.astype(np.int64) * len(snapshot.items) + rows.item, return_index=True)[1]] = False
        told &= ~again
    at = np.flatnonzero(told)
    at = np.sort(at[np.argsort(-rows.timestamp_s[at], kind="stable")[: config.examples]])
    age_days = (manifest.as_of.timestamp() - rows.timestamp_s[at]) / DAY_S
    worth = weight[at] * 0.5 ** (age_days / config.half_life_days)
    worth /= max(float(worth.mean()), np.finfo(np.float64).tiny) if len(worth) else 1.0
    return Examples(np.ascontiguousarray(rows.item), weight, at.astype(np.int64), first[at], worth.astype(np.float32))
