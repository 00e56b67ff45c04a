"""Lessons made by replay: what the scorers would have known of somebody, and what was bought then."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from features.events import PURCHASE
from features.interactions import History, IntArray, Interactions
from models.blend import column_names, columns_of, proposed
from models.scorer import Features, Scorer
from training.lessons import Lessons


def replay(
    parts: Mapping[str, Scorer],
    counts: Mapping[str, int],
    interactions: Interactions,
    people: IntArray,
    start: datetime,
    end: datetime,
    negatives: float,
    short_histories: float,
    rng: Generator,
) -> Lessons:
    """Return the candidates of ``people`` as of ``start``, and which of them they bought from then to before ``end``.

    Args:
        parts: Scorers that know nothing of what happened from ``start`` on.
        counts: How many candidates each of them proposes; as when answering.
        interactions: Those of everybody, before ``start`` and after it.
        people: User indices.
        start: When the answers are asked for.
        end: What was bought from then on does not count.
        negatives: Share of the candidates that were not bought that is kept.
        short_histories: Share of people who are replayed a second time as if they had only just come, so that the
            answers to new visitors are learned too.
        rng: Draws these shares.
    """
    columns: list[Features] = []
    right: list[NDArray[np.bool_]] = []
    relevant: list[int] = []
    for user in people.tolist():
        history = interactions.of(user).before(int(end.timestamp()))
        before = history.before(int(start.timestamp()))
        after = history[len(before) :]
        sold = np.unique(after.item[(after.event_type == PURCHASE) & (after.quantity > 0)])
        if not len(before) or not len(sold):
            continue
        for known in _histories(before, short_histories, rng):
            items = proposed(parts, counts, known, start)
            bought = np.isin(items, sold)
            kept = bought | (rng.random(len(items)) < negatives)
            columns.append(columns_of(parts, known, items[kept], start))
            right.append(bought[kept])
            relevant.append(len(sold))
    return Lessons.of_lists(columns, right, relevant, len(column_names(parts)))


def _histories(history: History, short: float, rng: Generator) -> list[History]:
    if rng.random() >= short:
        return [history]
    length = int(len(history) ** rng.random())  # from 1 to all, each order of magnitude equally often
    return [history, history[len(history) - length + int(rng.random() < 0.2) * length :]]
