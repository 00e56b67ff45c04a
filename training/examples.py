"""Training rows, made by asking the scorers what they would have known, and looking at what was bought then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from features.interactions import History, Interactions
from models.blend import columns_of, proposed
from models.scorer import PURCHASE, Features, Scorer


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows to learn a ranking from.

    Attributes:
        columns: What was known of an item for somebody; shape (rows, columns).
        bought: Whether they bought it within the period that followed; shape (rows,).
    """

    columns: Features
    bought: NDArray[np.bool_]


def replay(
    parts: Mapping[str, Scorer],
    counts: Mapping[str, int],
    interactions: Interactions,
    start: datetime,
    negatives: float,
    short_histories: float,
    rng: Generator,
) -> Examples:
    """Return the candidates of everybody as of ``start``, and which of them they bought from then on.

    Args:
        parts: Scorers that know nothing of what happened from ``start`` on.
        counts: How many candidates each of them proposes; as when answering.
        interactions: Those of the whole period; they end where the period ends.
        start: When the answers are asked for.
        negatives: Share of the candidates that were not bought that is kept.
        short_histories: Share of people who are replayed a second time as if they had only just come, so that the
            answers to new visitors are learned too.
        rng: Draws these shares.
    """
    columns, bought = [], []
    for user in range(interactions.n_users):
        history = interactions.of(user)
        before = history.before(int(start.timestamp()))
        after = history[len(before) :]
        sold = after.item[(after.event_type == PURCHASE) & (after.quantity > 0)]
        if not len(before) or not len(sold):
            continue
        for known in _histories(before, short_histories, rng):
            items = proposed(parts, counts, known, start)
            chosen = np.isin(items, sold)
            kept = chosen | (rng.random(len(items)) < negatives)
            columns.append(columns_of(parts, known, items[kept], start))
            bought.append(chosen[kept])
    if not columns:
        return Examples(np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=np.bool_))
    return Examples(np.concatenate(columns), np.concatenate(bought))


def _histories(history: History, short: float, rng: Generator) -> list[History]:
    if rng.random() >= short:
        return [history]
    length = int(len(history) ** rng.random())  # from 1 to all, each order of magnitude equally often
    return [history, history[len(history) - length + int(rng.random() < 0.2) * length :]]
