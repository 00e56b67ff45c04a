"""What everybody buys at the moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

import numpy as np
from numba import njit
from numpy.random import Generator
from pydantic import PositiveFloat

from features.compiled import FLOATS, INTS
from features.interactions import DAY_S, History, IntArray
from features.settings import Settings
from features.snapshot import Snapshot
from models.scorer import (
    Features,
    Reason,
    Scorer,
    Scores,
    best_first,
    event_weights,
    interaction_weights,
)


class PopularitySettings(Settings):
    """How popularity is counted."""

    half_life_days: PositiveFloat = 14.0
    """Age at which an interaction counts half."""


@dataclass(frozen=True)
class Popularity(Scorer):
    """Scores an item by the decayed weight of everybody's interactions with it.

    Attributes:
        strength: float32, shape (items,); the weight as of the snapshot.
        columns: float32, shape (items, len(feature_names)); see ``feature_names``.
        order: int32; the items of positive strength, the strongest first.
    """

    name: ClassVar[str] = "popularity"
    feature_names: ClassVar[tuple[str, ...]] = (
        "strength",
        "strength_slow",
        "strength_slower",
        "trend",
        "people",
        "first_choices",
        "days_since_first",
        "days_since_last",
        "price",
    )

    config: PopularitySettings
    strength: Scores
    columns: Features
    order: IntArray

    @classmethod
    def fit(cls, snapshot: Snapshot, config: PopularitySettings, rng: Generator) -> Self:
        """Return the popularity of the items of ``snapshot``."""
        manifest, n_items = snapshot.manifest, len(snapshot.items)
        rows = snapshot.interactions.all
        weights = event_weights(snapshot)
        fast, slow, slower = (
            np.bincount(
                rows.item,
                interaction_weights(rows, weights, config.half_life_days * times, manifest.as_of),
                minlength=n_items,
            )
            for times in (1, 4, 16)
        )
        pair = snapshot.interactions.users().astype(np.int64) * n_items + rows.item
        _, first = np.unique(pair, return_index=True)  # rows are in order of time for each user
        first = first[rows.quantity[first] >= 0]
        of_first = rows.item[first]
        age_days = (manifest.as_of.timestamp() - rows.timestamp_s[first]) / DAY_S
        end_s = manifest.as_of.timestamp()
        first_s, last_s = np.full(n_items, np.nan), np.full(n_items, np.nan)
        np.fmin.at(first_s, rows.item, rows.timestamp_s.astype(np.float64))
        np.fmax.at(last_s, rows.item, rows.timestamp_s.astype(np.float64))
        paid = rows.quantity > 0
        pieces = np.bincount(rows.item, rows.quantity * paid, minlength=n_items)
        money = np.bincount(rows.item, rows.value * paid, minlength=n_items)
        columns = np.column_stack(
            [
                fast,
                slow,
                slower,
                fast / np.maximum(slower, 1e-3),
                np.bincount(of_first, minlength=n_items),
                np.bincount(of_first, 0.5 ** (age_days / config.half_life_days), minlength=n_items),
                (end_s - first_s) / DAY_S,
                (end_s - last_s) / DAY_S,
                np.where(pieces > 0, money / np.maximum(pieces, 1), np.nan),
            ]
        ).astype(np.float32)
        strength = fast.astype(np.float32)
        order = best_first(np.arange(n_items, dtype=np.int32), strength, n_items)
        return cls(config, strength, columns, order)

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        """Return the strength of each of ``items``, the same for everybody."""
        return _above_0(self.strength, np.ascontiguousarray(items, np.int32))

    def features(self, history: History, items: IntArray, now: datetime) -> Features:
        """Return the columns ``feature_names``."""
        return self.columns.take(items, axis=0)

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return the ``n`` most popular items."""
        return self.order[:n]

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return that the item is popular, where anybody chose it."""
        return Reason("popular", "Popular at the moment.") if self.strength[item] > 0 else None


@njit((FLOATS, INTS), cache=True)
def _above_0(strength, items):  # type: ignore[no-untyped-def]
    found = np.empty(len(items), np.float32)
    for k in range(len(items)):
        found[k] = max(strength[items[k]], np.float32(0))
    return found
