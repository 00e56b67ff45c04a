"""What follows the like, and the like of what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from numpy.random import Generator
from pydantic import Field, PositiveFloat, PositiveInt
from scipy import sparse

from features.snapshot import Snapshot
from models.neighbours import NeighbourScorer, kept, strongest, strongest_products
from models.scorer import event_weights
from models.successors import SuccessorsSettings, weighed_succession
from models.titles import TitlesSettings
from models.values import ValuesSettings
from models.vector_regression import content_vectors


class AnalogiesSettings(SuccessorsSettings):
    """How successors are counted, and what is alike."""

    titles: TitlesSettings = TitlesSettings()
    """How titles are read."""
    values: ValuesSettings = ValuesSettings()
    """Which values tell anything."""
    values_weight: float = Field(default=0.2, ge=0, le=1)
    """Share of the values in the likeness; the rest is that of the titles."""
    alike: PositiveInt = 15
    """How many items each is likened to, those most like it."""
    likeness_weight: PositiveFloat = 0.5
    """What the successors of what is alike count, as a share of an item's own."""


@dataclass(frozen=True)
class Analogies(NeighbourScorer):
    """Scores an item by how often it, or what is like it, followed the items of the history, or what is like them.

    With the successions ``F`` and the likeness ``S`` of titles and values, the strengths are ``(I + w S) F (I + w S)``.
    So a new item comes after what its likes came after, from the moment that it is in the catalog.
    """

    name: ClassVar[str] = "analogies"
    reason_kind: ClassVar[str] = "next"
    reason_texts: ClassVar[tuple[str, str]] = (
        "Things like it often follow things like {0}.",
        "Things like it often follow things like {0} and {1}.",
    )

    config: AnalogiesSettings

    @classmethod
    def fit(cls, snapshot: Snapshot, config: AnalogiesSettings, rng: Generator) -> Self:
        """Return the analogies among the items of ``snapshot``; its successions where nothing is alike."""
        ties = weighed_succession(snapshot, config)
        alike = _likeness(snapshot, config) * config.likeness_weight
        # Longer lists than are kept, for what is cut off between the two products might have come out on top.
        spread = ties + strongest_products(alike, ties, 2 * config.neighbours)
        spread = spread + strongest_products(spread.tocsr(), alike, 2 * config.neighbours)
        spread = (spread - sparse.diags(spread.diagonal())).tocsr() if not config.repeats else spread
        weights = event_weights(snapshot.manifest.event_types, snapshot.manifest.settings.event_weights)
        return cls(config, weights, **strongest(spread, config.neighbours))


def _likeness(snapshot: Snapshot, config: AnalogiesSettings) -> sparse.csr_matrix:
    """Return how much each item is like those most like it, itself left out; shape (items, items)."""
    vectors = content_vectors(snapshot, config.titles, config.values, config.values_weight)
    alike = strongest_products(vectors, vectors.T.tocsr(), config.alike + 1)
    return kept((alike - sparse.diags(alike.diagonal())).tocsr(), config.alike)
