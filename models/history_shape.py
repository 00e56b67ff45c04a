"""What a history tells as a whole, whatever the item: how much there is to go by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray

from features.compiled import FLOATS, INTS, LONG, LONGS
from features.interactions import DAY_S, History, IntArray
from features.settings import Settings
from features.snapshot import Snapshot
from models.scorer import Features, Reason, Scorer, Scores


class HistoryShapeSettings(Settings):
    """Nothing can be set."""


@dataclass(frozen=True)
class HistoryShape(Scorer):
    """Scores nothing: its columns let trees judge what the others say by how long, how old and how usual a history is.

    Attributes:
        interactions: float32, shape (items,); how often anybody chose each item.
    """

    name: ClassVar[str] = "history"
    feature_names: ClassVar[tuple[str, ...]] = (
        "length",
        "span_days",
        "gap_days",
        "at_last_moment",
        "last_popularity",
        "mean_popularity",
    )

    config: HistoryShapeSettings
    interactions: NDArray[np.float32]

    @classmethod
    def fit(cls, snapshot: Snapshot, config: HistoryShapeSettings, rng: Generator) -> Self:
        """Return how often the items of ``snapshot`` were chosen."""
        counts = np.bincount(snapshot.interactions.all.item, minlength=len(snapshot.items))
        return cls(config, counts.astype(np.float32))

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        """Return 0 for each of ``items``."""
        return np.zeros(len(items), np.float32)

    def features(self, history: History, items: IntArray, now: datetime) -> Features:
        """Return the same six columns for each of ``items``, NaN where the history is too short to tell.

        They are the number of interactions, the days from the first to the last and from the one before the last to
        the last, how many are of the session of the last, and how often anybody chose the last item and, in the mean,
        each of the history's.
        """
        columns: Features = _shape(
            np.ascontiguousarray(history.item),
            np.ascontiguousarray(history.timestamp_s),
            np.ascontiguousarray(history.session),
            self.interactions,
            len(items),
        )
        return columns

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return nothing."""
        return np.zeros(0, np.int32)

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return nothing."""
        return None


@njit((INTS, LONGS, INTS, FLOATS, LONG), cache=True)
def _shape(item, timestamp_s, session, interactions, rows):  # type: ignore[no-untyped-def]
    n, found = len(item), np.full(6, np.nan, np.float32)
    found[0] = n
    if n:
        of_last, popularity = 0, 0.0
        for row in range(n):
            of_last += session[row] == session[n - 1]
            popularity += interactions[item[row]]
        found[1] = (timestamp_s[n - 1] - timestamp_s[0]) / DAY_S
        found[3] = of_last if session[n - 1] >= 0 else 1
        found[4] = interactions[item[n - 1]]
        found[5] = popularity / n
    if n > 1:
        found[2] = (timestamp_s[n - 1] - timestamp_s[n - 2]) / DAY_S
    columns = np.empty((rows, 6), np.float32)
    columns[:] = found
    return columns
