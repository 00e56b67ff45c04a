"""What people chose after an item: counts that know before from after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy import sparse

from features.interactions import DAY_S
from features.snapshot import Snapshot
from models.neighbours import NeighbourScorer, NeighbourSettings, divided
from models.scorer import event_weights, interaction_weights


class SuccessionSettings(NeighbourSettings):
    """How it is counted what came after what."""

    distance: PositiveInt = 20
    """How many interactions after an item its successors are looked for."""
    distance_decay: float = Field(default=0.7, gt=0, le=1)
    """What a successor counts, as a share of one that came one interaction earlier."""
    length_exponent: NonNegativeFloat = 1.0
    """A pair counts 1 / log2(1 + length of the history) to this power: who chooses a lot, tells less by each pair."""
    pair_half_life_days: PositiveFloat = 3650.0
    """Age, at the time of the snapshot, at which a pair counts half."""
    gap_half_life_days: PositiveFloat = 3650.0
    """Time between the two interactions of a pair with which it counts half."""
    repeats: bool = False
    """Whether an item may be its own successor."""


class SuccessorsSettings(SuccessionSettings):
    """How successors are counted and weighed."""

    own_exponent: float = Field(default=0.3, ge=0, le=1)
    """How much the number of an item's successors lowers the strength of each."""
    neighbour_exponent: float = Field(default=0.1, ge=0, le=1)
    """How much the number of items that it succeeds lowers a successor's strength."""


@dataclass(frozen=True)
class Successors(NeighbourScorer):
    """Scores an item by how often it came after the items of the history, soon after above all.

    A strength is the weight of the pair, divided by powers of the sums of its row and of its column.
    """

    name: ClassVar[str] = "successors"
    reason_kind: ClassVar[str] = "next"
    reason_texts: ClassVar[tuple[str, str]] = ("Often follows {0}.", "Often follows {0} and {1}.")

    config: SuccessorsSettings

    @classmethod
    def fit(cls, snapshot: Snapshot, config: SuccessorsSettings, rng: Generator) -> Self:
        """Return the successors of the items of ``snapshot``."""
        return cls.of_ties(weighed_succession(snapshot, config), snapshot, config)


def weighed_succession(snapshot: Snapshot, config: SuccessorsSettings) -> sparse.csr_matrix:
    """Return ``succession``, divided by powers of the sums of its rows and of its columns."""
    ties = succession(snapshot, config)
    own, neighbour = sums(ties)
    return divided(ties, own**config.own_exponent, neighbour**config.neighbour_exponent)


def succession(snapshot: Snapshot, config: SuccessionSettings) -> sparse.csr_matrix:
    """Return how often, and how soon, each item came after each other one; shape (items, items), float32.

    Row ``i``, column ``j`` is the sum over all pairs of an interaction with ``i`` and a later one of the same person
    with ``j``. With ``d`` interactions from the one to the other, a pair counts the weight of the later one, halved
    every ``pair_half_life_days`` of its age and every ``gap_half_life_days`` between the two, times
    ``distance_decay ** (d - 1) / log2(1 + length) ** length_exponent``.
    """
    rows, as_of = snapshot.interactions.all, snapshot.manifest.as_of
    weight = interaction_weights(rows, event_weights(snapshot), config.pair_half_life_days, as_of)
    indptr = snapshot.interactions.indptr
    n_pairs = int(np.minimum(_place(indptr), config.distance).sum())
    first, later, value = _pairs(
        indptr,
        np.ascontiguousarray(rows.item),
        np.maximum(weight, 0),
        np.ascontiguousarray(rows.timestamp_s),
        config.gap_half_life_days * DAY_S,
        config.distance,
        config.distance_decay,
        config.length_exponent,
        config.repeats,
        n_pairs,
    )
    n_items = len(snapshot.items)
    return sparse.csr_matrix((value, (first, later)), shape=(n_items, n_items))


def sums(ties: sparse.csr_matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum of each row and of each column of ``ties``, 1 where it is 0."""
    own, other = (np.asarray(ties.sum(axis=axis), dtype=np.float64).ravel() for axis in (1, 0))
    return np.where(own > 0, own, 1), np.where(other > 0, other, 1)


def _place(indptr: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many interactions of the same person come before each."""
    return np.arange(indptr[-1]) - np.repeat(indptr[:-1], np.diff(indptr))


@njit(cache=True)
def _pairs(indptr, item, weight, timestamp_s, gap_half_life_s, distance, decay, length_exponent, repeats, n_pairs):  # type: ignore[no-untyped-def]
    first, later = np.empty(n_pairs, np.int32), np.empty(n_pairs, np.int32)
    value = np.empty(n_pairs, np.float32)
    n = 0
    for user in range(len(indptr) - 1):
        start, end = indptr[user], indptr[user + 1]
        share = 1 / np.log2(1.0 + end - start) ** length_exponent if end > start else 0.0
        for at in range(start, end):
            for before in range(max(start, at - distance), at):
                if weight[before] > 0 and weight[at] > 0 and (repeats or item[before] != item[at]):
                    first[n], later[n] = item[before], item[at]
                    gap = (timestamp_s[at] - timestamp_s[before]) / gap_half_life_s
                    value[n] = share * weight[at] * decay ** (at - before - 1) * 0.5**gap
                    n += 1
    return first[:n], later[:n], value[:n]
