"""Training rows, made by asking the scorers what they would have known, and looking at what was bought then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from features.interactions import History, IntArray, Interactions
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

    @classmethod
    def together(cls, examples: Sequence[Examples]) -> Self:
        """Return all ``examples``, one behind another; those without a row are left out."""
        some = [one for one in examples if len(one.bought)]
        if not some:
            return cls(np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=np.bool_))
        return cls(np.concatenate([one.columns for one in some]), np.concatenate([one.bought for one in some]))


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
) -> Examples:
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
    examples = []
    for user in people.tolist():
        history = interactions.of(user).before(int(end.timestamp()))
        before = history.before(int(start.timestamp()))
        after = history[len(before) :]
        sold = after.item[(after.event_type == PURCHASE) & (after.quantity > 0)]
        if not len(before) or not len(sold):
            continue
        for known in _histories(before, short_histories, rng):
            items = proposed(parts, counts, known, start)
            chosen = np.isin(items, sold)
            kept = chosen | (rng.random(len(items)) < negatives)
            examples.append(Examples(columns_of(parts, known, items[kept], start), chosen[kept]))
    return Examples.together(examples)


def _histories(history: History, short: float, rng: Generator) -> list[History]:
    if rng.random() >= short:
        return [history]
    length = int(len(history) ** rng.random())  # from 1 to all, each order of magnitude equally often
    return [history, history[len(history) - length + int(rng.random() < 0.2) * length :]]
