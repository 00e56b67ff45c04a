"""What somebody bought most, and lately: the plain baseline for everything that learns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import PositiveFloat

from features.compiled import INTS
from features.events import PURCHASE
from features.interactions import DAY_S, History, IntArray
from features.settings import Settings
from features.snapshot import Snapshot
from models.scorer import Features, Reason, Scorer, Scores, best_first


class OwnFrequencySettings(Settings):
    """How purchases are counted."""

    half_life_days: PositiveFloat = 90.0
    """Age at which a purchase counts half."""


@dataclass(frozen=True)
class OwnFrequency(Scorer):
    """Scores an item by the decayed number of its purchases in the history; it learns nothing from anybody else."""

    name: ClassVar[str] = "own-frequency"
    feature_names: ClassVar[tuple[str, ...]] = (
        "score",
        "times",
        "steps_since_last",
        "steps_since_first",
        "times_after_latest",
        "times_before_latest",
        "returns",
        "share_of_returns",
        "steps_of_last_return",
        "steps_since_last_return",
    )

    config: OwnFrequencySettings

    @classmethod
    def fit(cls, snapshot: Snapshot, config: OwnFrequencySettings, rng: Generator) -> Self:
        """Return the scorer; there is nothing to fit."""
        return cls(config)

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        """Return the decayed number of purchases of each of ``items``."""
        bought, counts = self.tied(history, now)
        if not len(bought):
            return np.zeros(len(items), np.float32)
        place = np.minimum(np.searchsorted(bought, items), len(bought) - 1)
        return np.where(bought[place] == items, counts[place], 0).astype(np.float32)

    def features(self, history: History, items: IntArray, now: datetime) -> Features:
        """Return what the history says of each item, and how its person comes back to what they had.

        Of the item: the score, how often it was bought, how many purchases ago last and first, 0 for the latest of all,
        and how often directly after what is the latest, and before it. Then the same for all items: how many purchases
        were of something bought before, their share of all, and of the last of these after how many purchases it came
        and how many ago. NaN where there is none.
        """
        bought = history.item[_bought(history)]
        columns = np.empty((len(items), len(self.feature_names)), np.float32)
        columns[:, 0] = self.scores(history, items, now)
        columns[:, 1:6] = _places(items, bought)
        columns[:, 6:] = _returns(bought)
        return columns

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return the ``n`` items bought most."""
        return best_first(*self.tied(history, now), n)

    def tied(self, history: History, now: datetime) -> tuple[IntArray, Scores]:
        """Return the items that score above 0, ascending, and their scores."""
        bought = _bought(history)
        items, place = np.unique(history.item[bought], return_inverse=True)
        age_days = (now.timestamp() - history.timestamp_s[bought]) / DAY_S
        counts = np.bincount(place, 0.5 ** (age_days / self.config.half_life_days), minlength=len(items))
        return items, counts.astype(np.float32)

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return that the item was bought before, where it was."""
        if self.scores(history, np.array([item], np.int32), now)[0] <= 0:
            return None
        return Reason("buy_again", "Bought before.", (item,))


def _bought(history: History) -> NDArray[np.bool_]:
    return (history.event_type == PURCHASE) & (history.quantity > 0)


@njit((INTS, INTS), cache=True)
def _places(items, bought):  # type: ignore[no-untyped-def]
    """Return how often each of ``items`` is in ``bought``, how far from its end, and how often beside what ends it."""
    found, n = np.zeros((len(items), 5), np.float32), len(bought)
    for row in range(len(items)):
        found[row, 1:3] = np.nan
        for at in range(n):
            if bought[at] != items[row]:
                continue
            if found[row, 0] == 0:
                found[row, 2] = n - 1 - at
            found[row, 0] += 1
            found[row, 1] = n - 1 - at
            found[row, 3] += at > 0 and bought[at - 1] == bought[n - 1]
            found[row, 4] += at + 1 < n and bought[at + 1] == bought[n - 1]
    return found


def _returns(bought: IntArray) -> tuple[float, float, float, float]:
    """Return how many of ``bought`` were before, as a share too, and how far back the last one went, and lies."""
    order = np.argsort(bought, kind="stable")
    by_item = bought[order]
    again = np.flatnonzero(by_item[1:] == by_item[:-1])
    if not len(again):
        return 0.0, 0.0 if len(bought) else np.nan, np.nan, np.nan
    last = again[order[again + 1].argmax()]
    at, before = int(order[last + 1]), int(order[last])
    return len(again), len(again) / len(bought), at - before, len(bought) - 1 - at
