"""What is learned from, and what is held out to test on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.errors import InvalidInput
from features.interactions import IntArray, Interactions


@dataclass(frozen=True, slots=True)
class Target:
    """What there was to be found, for each user of whom there was anything.

    Attributes:
        users: User indices, ascending; shape (n,).
        relevant: Shape (n, items); 1 where the user bought the item in the held-out period.
    """

    users: IntArray
    relevant: sparse.csr_matrix


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A temporal split: learn from what happened before ``start``, test on the purchases from then on.

    Attributes:
        start: The first moment of the held-out period; a ranking is asked for as of then.
        all: Everything bought.
        new: What was bought for the first time; the users who bought nothing for the first time are left out.
    """

    start: datetime
    all: Target
    new: Target


def start_of_last_days(last_event_at: datetime, days: int) -> datetime:
    """Return the midnight (UTC) that lies ``days`` days before the midnight of the day of ``last_event_at``."""
    midnight = datetime.combine(last_event_at.astimezone(UTC).date(), time(), UTC)
    return midnight - timedelta(days=days)


def held_out(interactions: Interactions, n_items: int, start: datetime, purchase: int) -> HeldOut:
    """Return the purchases from ``start`` on of all users who had bought something before it.

    A purchase has a quantity above 0: what was returned was bought, and its return buys nothing.

    Args:
        interactions: Those of the whole log, before and after ``start``.
        n_items: How many items there are.
        start: The first moment that is held out.
        purchase: Code of the event type ``purchase``.

    Raises:
        InvalidInput: nobody bought something before ``start`` and again after it.
    """
    rows = interactions.all
    bought = (rows.event_type == purchase) & (rows.quantity > 0)
    # (user, item) pairs as one number each, so that sets of pairs are sets of numbers.
    pairs = interactions.users().astype(np.int64) * n_items + rows.item
    later = rows.timestamp_s >= start.timestamp()
    before, after = np.unique(pairs[bought & ~later]), np.unique(pairs[bought & later])
    after = after[np.isin(after // n_items, before // n_items)]
    if not len(after):
        raise InvalidInput(
            f"Nobody who bought something before {start:%Y-%m-%d %H:%M} UTC bought anything after it, so there is "
            "nothing to test on. Hold out another number of days (--holdout-days), or import more purchases."
        )
    return HeldOut(start, _target(after, n_items), _target(np.setdiff1d(after, before, assume_unique=True), n_items))


def _target(pairs: NDArray[np.int64], n_items: int) -> Target:
    users, counts = np.unique(pairs // n_items, return_counts=True)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    relevant = sparse.csr_matrix((np.ones(len(pairs), np.int8), pairs % n_items, indptr), shape=(len(users), n_items))
    return Target(users.astype(np.int32), relevant)
