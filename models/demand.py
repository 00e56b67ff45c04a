"""How much everybody chose an item lately, as of any moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import PositiveFloat

from features.compiled import DOUBLE, INTS, LONG, LONGS
from features.interactions import DAY_S, History, IntArray
from features.settings import Settings
from features.snapshot import Snapshot
from models.scorer import Features, Reason, Scorer, Scores, best_first


class DemandSettings(Settings):
    """What counts as lately."""

    window_days: PositiveFloat = 30.0
    """How far back from the moment that is asked for."""


@dataclass(frozen=True)
class Demand(Scorer):
    """Scores an item by the number of interactions with it in the window that ends at the moment that is asked for.

    ``Popularity`` knows the present alone; this one knows what was in demand when somebody was last here.

    Attributes:
        indptr: int64, shape (items + 1,); the interactions with item ``i`` are at ``indptr[i]:indptr[i + 1]``.
        timestamp_s: int64; when each was, ascending for each item.
    """

    name: ClassVar[str] = "demand"
    feature_names: ClassVar[tuple[str, ...]] = (
        "window",
        "three_windows",
        "twelve_windows",
        "ever",
        "days_since_first",
        "days_since_last",
    )

    config: DemandSettings
    indptr: NDArray[np.int64]
    timestamp_s: NDArray[np.int64]

    @classmethod
    def fit(cls, snapshot: Snapshot, config: DemandSettings, rng: Generator) -> Self:
        """Return when the items of ``snapshot`` were in demand; a return is no demand."""
        rows = snapshot.interactions.all
        item, timestamp_s = rows.item[rows.quantity >= 0], rows.timestamp_s[rows.quantity >= 0]
        count = np.bincount(item, minlength=len(snapshot.items))
        indptr = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
        return cls(config, indptr, timestamp_s[np.lexsort((timestamp_s, item))].astype(np.int64))

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        """Return how often each of ``items`` was chosen in the window."""
        return self.features(history, items, now)[:, 0]

    def features(self, history: History, items: IntArray, now: datetime) -> Features:
        """Return six columns: interactions in one window, in three, in twelve and ever before; and days.

        ``days_since_first`` and ``days_since_last`` are counted from the first and from the last interaction that is
        known at all; NaN where there is none, negative where it came after ``now``.
        """
        return _columns(self.indptr, self.timestamp_s, items, int(now.timestamp()), self.config.window_days * DAY_S)

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return the ``n`` items chosen most in the window."""
        return best_first(self._items, self.scores(history, self._items, now), n)

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return that the item is popular, where anybody chose it in the window."""
        if self.scores(history, np.array([item], np.int32), now)[0] <= 0:
            return None
        return Reason("popular", "Popular at the moment.")

    @cached_property
    def _items(self) -> IntArray:
        return np.arange(len(self.indptr) - 1, dtype=np.int32)


@njit((LONGS, LONGS, INTS, LONG, DOUBLE), cache=True)
def _columns(indptr, timestamp_s, items, now_s, window_s):  # type: ignore[no-untyped-def]
    columns = np.empty((len(items), 6), np.float32)
    for row in range(len(items)):
        times = timestamp_s[indptr[items[row]] : indptr[items[row] + 1]]
        before = np.searchsorted(times, now_s)
        for column, windows in enumerate((1, 3, 12)):
            columns[row, column] = before - np.searchsorted(times[:before], now_s - windows * window_s)
        columns[row, 3] = before
        columns[row, 4] = (now_s - times[0]) / DAY_S if len(times) else np.nan
        columns[row, 5] = (now_s - times[-1]) / DAY_S if len(times) else np.nan
    return columns
