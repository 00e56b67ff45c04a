"""What is added to the scores of some items."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol, cast

import numpy as np

from features.interactions import History, IntArray
from models.affinity import Affinity
from models.bundle import Bundle
from serving.filters import Expressions, Values, listed
from serving.pool import Doubles
from serving.recipes import BoosterSettings


class Booster(Protocol):
    """Adds to scores."""

    def __call__(self, items: IntArray, history: History, values: Values, now: datetime) -> Doubles:
        """Return what is added to the score of each of ``items``; shape (len(items),)."""


def booster_of(
    settings: BoosterSettings, bundle: Bundle, expressions: Expressions, index_of: Callable[[str], int | None]
) -> Booster | None:
    """Return the booster that ``settings`` describe, or None where the bundle has learned no such affinities."""
    weight = np.float64(settings.weight)
    if settings.where is not None:
        expression = settings.where
        expressions.prepare(expression)

        def where(items: IntArray, history: History, values: Values, now: datetime) -> Doubles:
            return expressions.keeps(expression, values)(items) * weight

        return where
    if settings.affinity is not None:
        scorer = cast("Affinity | None", bundle.scorers.get("affinity"))
        if scorer is None or settings.affinity not in scorer.dimensions.tolist():
            return None
        dimension = scorer.dimensions.tolist().index(settings.affinity)

        def by_affinity(items: IntArray, history: History, values: Values, now: datetime) -> Doubles:
            added, old = np.zeros(len(items)), items < len(bundle.items)
            lift = np.nan_to_num(scorer.lifts(scorer.taste(history, now), items[old], dimension).astype(np.float64))
            added[old] = weight * np.maximum(1 - np.exp(-lift), 0)
            return added

        return by_affinity

    def of_items(items: IntArray, history: History, values: Values, now: datetime) -> Doubles:
        chosen = np.array([i for i in map(index_of, settings.items) if i is not None], np.int32)
        return np.where(listed("", chosen).keeps(items), 0.0, weight)

    return of_items
