"""What everybody buys at the moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

import numpy as np
from numpy.random import Generator
from pydantic import PositiveFloat

from features.interactions import History, IntArray
from features.settings import Settings
from features.snapshot import Snapshot
from models.scorer import Arrays, Reason, Scorer, Scores, best_first, event_weights, interaction_weights


class PopularitySettings(Settings):
    """How popularity is counted."""

    half_life_days: PositiveFloat = 28.0
    """Age at which an interaction counts half."""


@dataclass(frozen=True)
class Popularity(Scorer):
    """Scores an item by the decayed weight of everybody's interactions with it.

    Attributes:
        strength: float32, shape (items,); the weight as of the snapshot.
        order: int32; the items of positive strength, the strongest first.
    """

    name: ClassVar[str] = "popularity"

    config: PopularitySettings
    strength: Scores
    order: IntArray

    @classmethod
    def fit(cls, snapshot: Snapshot, config: PopularitySettings, rng: Generator) -> Self:
        """Return the popularity of the items of ``snapshot``."""
        manifest = snapshot.manifest
        rows = snapshot.interactions.all
        weights = interaction_weights(
            rows,
            event_weights(manifest.event_types, manifest.settings.event_weights),
            config.half_life_days,
            manifest.as_of,
        )
        strength = np.bincount(rows.item, weights, minlength=len(snapshot.items)).astype(np.float32)
        return cls(config, strength, best_first(np.arange(len(strength), dtype=np.int32), strength, len(strength)))

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        """Return the strength of each of ``items``, the same for everybody."""
        return np.maximum(self.strength[items], 0)

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return the ``n`` most popular items."""
        return self.order[:n]

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return that the item is popular, where anybody chose it."""
        return Reason("popular", "Popular at the moment.") if self.strength[item] > 0 else None

    def arrays(self) -> Arrays:
        """Return ``strength`` and ``order``."""
        return {"strength": self.strength, "order": self.order}

    @classmethod
    def from_arrays(cls, config: Settings, arrays: Arrays, parts: Mapping[str, Scorer]) -> Self:
        """Return the scorer that ``arrays`` describe."""
        return cls(PopularitySettings.model_validate(config), arrays["strength"], arrays["order"])
