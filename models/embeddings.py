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

from features.compiled import FLOAT_ROWS, FLOATS, INTS
from features.interactions import DAY_S, History, IntArray
from features.snapshot import Snapshot
from models.content import ContentSettings, content_vectors
from models.neighbours import divided, kept, likenesses
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
        return self._likely(self._cosines(self._of(history, now)[np.newaxis], items)[:, 0])

    def features(self, history: History, items: IntArray, now: datetime) -> Features:
        """Return the score, and the cosines with the last item of the history and with the one before it."""
        latest = self._recent(history, now)[0][:2]
        columns = np.full((len(items), len(self.feature_names)), np.nan, np.float32)
        columns[:, : 1 + len(latest)] = self._cosines(np.vstack([self._of(history, now), self.vectors[latest]]), items)
        columns[:, 0] = self._likely(columns[:, 0])
        return columns

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
        counts = np.flatnonzero(weight > 0)[::-1][: len(self.steps)]
        return history.item[counts], weight[counts]

    def _of(self, history: History, now: datetime) -> FloatArray:
        return of_latest(self, history, now, lambda: self._told(history, now))

    def _told(self, history: History, now: datetime) -> FloatArray:
        items, weight = self._recent(history, now)
        told: FloatArray = np.einsum("k,kf,kf->f", weight, self.steps[: len(items)], self.vectors[items])
        return told @ self.turn

    def _cosines(self, vectors: FloatArray, items: IntArray) -> FloatArray:
        """Return the cosine of each of ``items`` with each of ``vectors``, 0 where one is 0; one row for each item."""
        found: FloatArray = _cosines(vectors, self.vectors, self._lengths, items)
        return found

    def _likely(self, cosines: FloatArray) -> Scores:
        likely = np.exp((cosines - 1) / np.float32(self.config.temperature))
        return np.where(cosines != 0, likely, np.float32(0))

    @cached_property
    def _lengths(self) -> FloatArray:
        found: FloatArray = np.sqrt(np.einsum("ij,ij->i", self.vectors, self.vectors))
        return found


@njit((FLOAT_ROWS, FLOAT_ROWS, FLOATS, INTS), cache=True, fastmath=True)
def _cosines(told, vectors, lengths, items):  # type: ignore[no-untyped-def]
    found = np.zeros((len(items), len(told)), np.float32)
    told_lengths = np.empty(len(told), np.float32)
    for k in range(len(told)):
        told_lengths[k] = np.sqrt((told[k] * told[k]).sum())
    for row in range(len(items)):
        for k in range(len(told)):
            if lengths[items[row]] > 0 and told_lengths[k] > 0:
                product = np.float32(0)
                for f in range(told.shape[1]):
                    product += told[k, f] * vectors[items[row], f]
                found[row, k] = product / (lengths[items[row]] * told_lengths[k])
    return found


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
