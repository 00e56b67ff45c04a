"""What somebody bought most, and lately: the plain baseline for everything that learns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import PositiveFloat

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
    feature_names: ClassVar[tuple[str, ...]] = ("score", "times", "steps_since_last", "steps_since_first")

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
        """Return four columns: the score, how often the item was bought, and how many purchases ago.

        ``steps_since_last`` and ``steps_since_first`` are 0 for what was bought last of all; NaN where it never was.
        """
        latest_first = history.item[_bought(history)][::-1]
        same = items[:, np.newaxis] == latest_first
        ever = same.any(axis=1)
        steps = [same.argmax(axis=1), len(latest_first) - 1 - same[:, ::-1].argmax(axis=1)] if ever.any() else [0, 0]
        return np.column_stack(
            [self.scores(history, items, now), same.sum(axis=1), *(np.where(ever, step, np.nan) for step in steps)]
        ).astype(np.float32)

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
