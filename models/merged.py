"""Several tables of neighbours in one: most of what they say together, for the price of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Final, Self

import numpy as np
from pydantic import NonNegativeFloat
from scipy import sparse

from features.events import PURCHASE
from features.interactions import COLUMNS, History
from features.settings import Settings
from models.embeddings import Embeddings
from models.neighbours import Neighbours, NeighbourScorer, NeighbourSettings, divided, kept, strongest
from models.scorer import Scorer
from models.similar_histories import SimilarHistories

MOMENT_S: Final = 4_000_000_000
"""A moment after all others, at which a history of one item is looked at: only shares of its best score count."""
LOOKED_AT: Final = 2
"""Of so many times as many ties as are kept it is looked at what embeddings add to them."""


class MergedSettings(NeighbourSettings):
    """What each table counts, and how a history is read."""

    weights: dict[str, NonNegativeFloat] = {}
    """What the best neighbour that a part gives an item counts; what is neither a table nor embeddings counts 0."""
    step_decay: float = 0.6
    """What an interaction counts, as a share of the one that came after it."""


@dataclass(frozen=True)
class Merged(NeighbourScorer):
    """Scores an item by ties that are sums over several parts: of each, the share of an item's strongest tie.

    The neighbours that ``SimilarHistories`` gives an item are what it finds for a history of this item alone. What
    ``Embeddings`` say for such a history is added to what others tie the item with.
    """

    name: ClassVar[str] = "merged"

    config: MergedSettings

    @classmethod
    def of(cls, parts: Mapping[str, Scorer], config: Settings, n_items: int) -> Self:
        """Return the table of those of ``parts`` that are tables themselves."""
        config = MergedSettings.model_validate(config)
        total = sparse.csr_matrix((n_items, n_items), dtype=np.float32)
        weights = np.zeros(0, np.float32)
        looking: list[tuple[float, Embeddings]] = []
        for name, weight in config.weights.items():
            part = parts[name]
            if isinstance(part, Neighbours):
                ties = sparse.csr_matrix((part.strength, part.indices, part.indptr), (n_items, n_items), copy=True)
            elif isinstance(part, SimilarHistories):
                ties = _told(part, n_items, config.neighbours)
            else:
                if isinstance(part, Embeddings):
                    looking.append((weight, part))
                continue
            total = total + weight * _shares(ties)
            weights = part.event_weights
        tied = kept(total.tocsr(), LOOKED_AT * config.neighbours)
        total = tied + sum(weight * _shares(_looked_at(part, tied)) for weight, part in looking)
        return cls(config, weights, **strongest(total.tocsr(), config.neighbours))


def _shares(ties: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return ``ties``, float32, as shares of the strongest in their row."""
    best = np.maximum(ties.max(axis=1).toarray().ravel(), np.finfo(np.float32).tiny)
    return divided(ties, best, np.ones(ties.shape[1]))


def _told(part: SimilarHistories, n_items: int, n: int) -> sparse.csr_matrix:
    """Return the ``n`` items for which ``part`` speaks most, for each item alone; shape (items, items)."""
    indptr, items, scores = [0], [], []
    for history, now in _alone(part, n_items):
        found, score = part.tied(history, now)
        items.append(found)
        scores.append(score)
        indptr.append(indptr[-1] + len(found))
    joined = (np.concatenate(scores), np.concatenate(items), np.array(indptr))
    return kept(sparse.csr_matrix(joined, (n_items, n_items), dtype=np.float32), n)


def _looked_at(part: Embeddings, tied: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return how much ``part`` speaks for the items that each is ``tied`` with, for this one alone."""
    rows = np.split(tied.indices, tied.indptr[1:-1])
    scores = [
        part.scores(history, items, now) for items, (history, now) in zip(rows, _alone(part, len(rows)), strict=True)
    ]
    # A copy, for scipy sorts in place what it is given.
    return sparse.csr_matrix((np.concatenate(scores), tied.indices, tied.indptr), tied.shape, copy=True)


def _alone(part: SimilarHistories | Embeddings, n_items: int) -> Iterator[tuple[History, datetime]]:
    """Yield for each item a history that has only this item, and when it is looked at."""
    event_type = PURCHASE if part.event_weights[PURCHASE] > 0 else int(part.event_weights.argmax())
    one = {name: np.ones(1, dtype) for name, dtype in COLUMNS.items()} | {
        "event_type": np.array([event_type], np.uint8)
    }
    now = datetime.fromtimestamp(MOMENT_S, UTC)
    for item in range(n_items):
        yield History(**one | {"item": np.array([item], np.int32)}), now
