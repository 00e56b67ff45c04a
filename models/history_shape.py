"""What a history tells as a whole, whatever the item: how much there is to go by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

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
        n, times = len(history), history.timestamp_s
        row = np.full(len(self.feature_names), np.nan, np.float32)
        row[0] = n
        if n:
            of_last = history.session == history.session[-1]
            popularity = self.interactions[history.item]
            row[1] = (times[-1] - times[0]) / DAY_S
            row[3] = np.count_nonzero(of_last) if history.session[-1] >= 0 else 1
            row[4] = popularity[-1]
            row[5] = popularity.mean()
        if n > 1:
            row[2] = (times[-1] - times[-2]) / DAY_S
        return np.broadcast_to(row, (len(items), len(row)))

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return nothing."""
        return np.zeros(0, np.int32)

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return nothing."""
        return None
