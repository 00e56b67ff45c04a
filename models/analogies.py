"""What follows the like, and the like of what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from numpy.random import Generator
from pydantic import PositiveFloat, PositiveInt

from features.snapshot import Snapshot
from models.content import ContentSettings, content_vectors
from models.neighbours import NeighbourScorer, likenesses, strongest_products, without_diagonal
from models.successors import SuccessorsSettings, weighed_succession


class AnalogiesSettings(SuccessorsSettings, ContentSettings):
    """How successors are counted, and what is alike."""

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
        alike = likenesses(content_vectors(snapshot, config), config.alike) * config.likeness_weight
        # Longer lists than are kept, for what is cut off between the two products might have come out on top.
        spread = ties + strongest_products(alike, ties, 2 * config.neighbours)
        spread = spread + strongest_products(spread.tocsr(), alike, 2 * config.neighbours)
        return cls.of_ties(spread if config.repeats else without_diagonal(spread), snapshot, config)
