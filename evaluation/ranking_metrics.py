"""How good rankings are, for each user and all together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.errors import InvalidInput
from features.interactions import IntArray

NO_ITEM = -1
"""Fills the places of a ranking that is shorter than others; it is never a hit."""

PerUser = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """Rankings held against what turned out to be relevant; every metric is a function of it.

    Attributes:
        hit: Whether the item at each place is relevant; bool, shape (users, places), best place first.
        relevant: How many items are relevant to each user, ranked or not; int64, shape (users,), at least 1.
    """

    hit: NDArray[np.bool_]
    relevant: NDArray[np.int64]


def judged(rankings: IntArray, relevant: sparse.csr_matrix) -> Judged:
    """Return which places of ``rankings`` hold a relevant item.

    Args:
        rankings: Item indices, best first, filled up with ``NO_ITEM``; shape (users, places).
        relevant: Shape (users, items); whatever is stored in row ``u`` is relevant to user ``u``.

    Raises:
        InvalidInput: a ranking holds an item twice, or nothing is relevant to some user.
    """
    counts = np.diff(relevant.indptr).astype(np.int64)
    if not counts.all():
        raise InvalidInput(f"Nothing is relevant to {np.sum(counts == 0)} of {len(counts)} users; leave them out.")
    in_order = np.sort(rankings, axis=1)
    if np.any((in_order[:, 1:] == in_order[:, :-1]) & (in_order[:, 1:] != NO_ITEM)):
        raise InvalidInput("A ranking holds an item twice.")
    # One sorted list of (user, item) pairs, so that membership of all places is a single binary search.
    n_items = np.int64(relevant.shape[1])
    known = np.sort(np.repeat(np.arange(len(counts)), counts) * n_items + relevant.indices)
    asked = np.arange(len(counts))[:, None] * n_items + rankings
    found = known[np.minimum(np.searchsorted(known, asked), len(known) - 1)] == asked
    return Judged(hit=found & (rankings != NO_ITEM), relevant=counts)


def recall(judged: Judged, k: int) -> PerUser:
    """Return the share of all relevant items that are among the first ``k``; shape (users,), 0 to 1.

    With more than ``k`` relevant items, 1 is out of reach.
    """
    return judged.hit[:, :k].sum(axis=1) / judged.relevant


def precision(judged: Judged, k: int) -> PerUser:
    """Return the share of the first ``k`` places that hold a relevant item, an empty one does not; shape (users,)."""
    return judged.hit[:, :k].sum(axis=1) / k


def hit_rate(judged: Judged, k: int) -> PerUser:
    """Return 1 where any relevant item is among the first ``k``, else 0; shape (users,)."""
    return np.asarray(judged.hit[:, :k].any(axis=1), dtype=np.float64)


def reciprocal_rank(judged: Judged, k: int) -> PerUser:
    """Return 1 / the place of the first relevant item, 0 where none is among the first ``k``; shape (users,).

    Its mean over users is MRR@k.
    """
    hit = judged.hit[:, :k]
    return np.where(hit.any(axis=1), 1 / (hit.argmax(axis=1) + 1), 0.0)


def ndcg(judged: Judged, k: int) -> PerUser:
    """Return the discounted cumulative gain of the first ``k``, divided by the best possible; shape (users,), 0 to 1.

    Gains are binary, place ``i`` (from 1) counts ``1 / log2(i + 1)``, and the best possible ranking has its first
    ``min(k, relevant)`` places relevant (Järvelin and Kekäläinen, 2002).
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.minimum(judged.relevant, k) - 1]
    hit = judged.hit[:, :k]
    return hit @ discounts[: hit.shape[1]] / ideal


def average_precision(judged: Judged, k: int) -> PerUser:
    """Return the mean over all relevant items of the precision at their place, 0 beyond ``k``; shape (users,).

    Divides by all relevant items, as recall does (the ``map_cut`` of trec_eval), not by ``min(k, relevant)``.
    Its mean over users is MAP@k.
    """
    hit = judged.hit[:, :k]
    precision_at = np.cumsum(hit, axis=1) / np.arange(1, hit.shape[1] + 1)
    return (precision_at * hit).sum(axis=1) / judged.relevant


def novelty(rankings: IntArray, buyers: NDArray[np.int64], n_users: int, k: int) -> PerUser:
    """Return the mean self-information of the first ``k`` items in bits, 0 for an empty ranking; shape (users,).

    An item that ``b`` of ``n_users`` have bought carries ``log2(n_users / b)``, one that nobody has carries as much as
    with one buyer (Zhou et al., 2010).

    Args:
        rankings: Item indices, filled up with ``NO_ITEM``; shape (users, places).
        buyers: How many users have bought each item; shape (items,).
        n_users: How many users there are.
        k: How many places count.
    """
    top = rankings[:, :k]
    ranked = top != NO_ITEM
    information = np.where(ranked, np.log2(n_users / np.maximum(buyers, 1))[top], 0.0)
    return information.sum(axis=1) / np.maximum(ranked.sum(axis=1), 1)


def shown(rankings: IntArray, n_items: int, k: int) -> NDArray[np.int64]:
    """Return how many users see each item among their first ``k``; shape (n_items,)."""
    top = rankings[:, :k]
    return np.bincount(top[top != NO_ITEM], minlength=n_items)


def coverage(shown: NDArray[np.int64]) -> float:
    """Return the share of items that anybody sees, 0 to 1."""
    return float(np.mean(shown > 0))


def gini(shown: NDArray[np.int64]) -> float:
    """Return how unequally items are shown: 0 where all are shown equally often, near 1 where one is all."""
    total = shown.sum()
    if not total:
        return 0.0
    n = len(shown)
    return float((2 * np.arange(1, n + 1) - n - 1) @ np.sort(shown) / (n * total))


def distinct_lists(rankings: IntArray, k: int) -> float:
    """Return the number of different lists of ``k``, order included, as a share of the users, above 0 to 1."""
    return len(np.unique(rankings[:, :k], axis=0)) / len(rankings)
