"""Several tables of neighbours in one: most of what they say together, for the price of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Final, Self

import numpy as np
from pydantic import NonNegativeFloat
from scipy import sparse

from features.events import PURCHASE
from features.interactions import COLUMNS, History
from features.settings import Settings
from models.item_to_item import ItemToItem
from models.neighbours import NeighbourScorer, NeighbourSettings, kept, strongest
from models.scorer import Scorer
from models.similar_histories import SimilarHistories

MOMENT_S: Final = 4_000_000_000
"""A moment after all others, at which a history of one item is looked at: only shares of its best score count."""


class MergedSettings(NeighbourSettings):
    """What each table counts, and how a history is read."""

    weights: dict[str, NonNegativeFloat] = {}
    """What the best neighbour that a part gives an item counts; what is no table counts nothing."""
    step_decay: float = 0.6
    """What an interaction counts, as a share of the one that came after it."""


@dataclass(frozen=True)
class Merged(NeighbourScorer):
    """Scores an item by ties that are sums over several parts: of each, the share of an item's strongest tie.

    The neighbours that ``SimilarHistories`` gives an item are what it finds for a history of this item alone.
    """

    name: ClassVar[str] = "merged"

    config: MergedSettings

    @classmethod
    def of(cls, parts: Mapping[str, Scorer], config: Settings, n_items: int) -> Self:
        """Return the table of those of ``parts`` that are tables themselves."""
        config = MergedSettings.model_validate(config)
        total = sparse.csr_matrix((n_items, n_items), dtype=np.float32)
        weights = np.zeros(0, np.float32)
        for name, weight in config.weights.items():
            part = parts[name]
            if isinstance(part, NeighbourScorer | ItemToItem):
                ties = sparse.csr_matrix((part.strength, part.indices, part.indptr), (n_items, n_items))
            elif isinstance(part, SimilarHistories):
                ties = _told(part, n_items, config.neighbours)
            else:
                continue
            best = np.maximum(ties.max(axis=1).toarray().ravel(), np.finfo(np.float32).tiny)
            total = total + np.float32(weight) * sparse.csr_matrix(sparse.diags(1 / best) @ ties, dtype=np.float32)
            weights = part.event_weights
        return cls(config, weights, **strongest(total.tocsr(), config.neighbours))


def _told(part: SimilarHistories, n_items: int, n: int) -> sparse.csr_matrix:
    """Return the ``n`` items for which ``part`` speaks most, for each item alone; shape (items, items)."""
    event_type = PURCHASE if part.event_weights[PURCHASE] > 0 else int(part.event_weights.argmax())
    one = {name: np.ones(1, dtype) for name, dtype in COLUMNS.items()} | {
        "event_type": np.array([event_type], np.uint8)
    }
    now = datetime.fromtimestamp(MOMENT_S, UTC)
    indptr, items, scores = [0], [], []
    for item in range(n_items):
        found, score = part.tied(History(**one | {"item": np.array([item], np.int32)}), now)
        items.append(found)
        scores.append(score)
        indptr.append(indptr[-1] + len(found))
    joined = (np.concatenate(scores), np.concatenate(items), np.array(indptr))
    return kept(sparse.csr_matrix(joined, (n_items, n_items), dtype=np.float32), n)
