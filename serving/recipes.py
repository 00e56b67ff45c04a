"""Named ways to make a ranking."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from features.errors import NotFound
from features.settings import Settings

MODEL: Final = "model"
"""In a recipe, stands for the scorer that the bundle names as its model."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]
ItemId = Annotated[str, Field(min_length=1, max_length=128)]
Expression = Annotated[str, Field(min_length=1, max_length=2_000)]


class SourceSettings(Settings):
    """What proposes items, and what its best item is worth."""

    source: Name
    """One of ``collaborative``, ``together``, ``similar``, ``affinity``, ``trending``, ``popular_in``, ``new``,
    ``buy_again``, ``recently_viewed``, ``related``, ``model``, or the name of a scorer."""
    name: Name | None = None
    """What its part of a score is called; the name of the source where None."""
    weight: PositiveFloat = 1.0
    """What its best item gets; the others get less, in the proportion of their scores."""
    anchor: Literal["history", "page", "cart", "last_purchase", "recent_views"] = "history"
    """What it starts from; ``history`` is all that the visitor did, the items on the page included."""
    lookback_days: PositiveFloat | None = None
    """How far back the anchor goes, or for ``new`` how long an item is new; as far as is known where None."""
    candidates: PositiveInt = 100
    """How many items it proposes, at most, where it could propose any number."""
    dimension: Name | None = None
    """For ``popular_in``: the dimension of which the anchor's values count."""
    relations: dict[ItemId, tuple[ItemId, ...]] = {}
    """For ``related``: what goes with an item, the best first."""

    @property
    def label(self) -> str:
        """What its part of a score is called."""
        return self.name or self.source

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.source == "popular_in") != (self.dimension is not None):
            raise ValueError("'dimension' belongs to the source 'popular_in', which needs it")
        if (self.source == "related") != bool(self.relations):
            raise ValueError("'relations' belong to the source 'related', which needs them")
        return self


class BoosterSettings(Settings):
    """What is added to the scores of some items."""

    name: Name
    """What its part of a score is called."""
    weight: float
    """What is added; a negative one takes away."""
    where: Expression | None = None
    """A condition on items; those that meet it get the whole weight. Profile and context values are allowed."""
    affinity: Name | None = None
    """A dimension; an item gets the weight times the visitor's affinity for its value, from 0 to 1."""
    items: tuple[ItemId, ...] = ()
    """Items that get the whole weight."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.where is not None) + (self.affinity is not None) + bool(self.items) != 1:
            raise ValueError("give exactly one of 'where', 'affinity' and 'items'")
        return self


class Exploration(Settings):
    """A place of the list that is now and then given to an item of which little is known."""

    place: PositiveInt
    """Which place, counted from 1."""
    probability: float = Field(gt=0, le=1)
    """How often it is given to one of the candidates that are not in the list, each as likely as the other."""


class Recipe(Settings):
    """What proposes, removes, scores, favours and diversifies."""

    sources: tuple[SourceSettings, ...] = ()
    """What proposes items; without a ranker a score is the sum of what the sources give."""
    ranker: Name | None = None
    """A scorer, or ``model``, that scores what the sources propose, or proposes itself where there are none."""
    fallbacks: tuple[SourceSettings, ...] = ()
    """Asked in turn where the list is short."""
    fill: bool = False
    """Whether to end a list that is still short with any items that pass the filters, the latest published first."""
    filter: Expression | None = None
    """A SQL condition that every returned item meets. Profile and context values are allowed."""
    exclude_bought: bool = False
    """Whether to remove what the visitor ever bought."""
    exclude_bought_days: PositiveFloat | None = None
    """Within how many days a purchase removes an item."""
    exclude_seen_days: PositiveFloat | None = None
    """Within how many days a view removes an item."""
    price_window: tuple[Annotated[float, Field(ge=0)], PositiveFloat] | None = None
    """The least and the highest price, as shares of the mean price of the items on the page, where there are any."""
    boosters: tuple[BoosterSettings, ...] = ()
    """What is added to the scores of some items."""
    at_most: dict[Name, PositiveInt] = {}
    """How many items of one value of a dimension a list has, at most."""
    shuffle: float = Field(default=0.0, ge=0)
    """The scale of the Gumbel noise added to each score: the list is drawn from a Plackett-Luce model of the scores."""
    explore: Exploration | None = None
    """A place that is now and then given to chance."""
    pinned: tuple[ItemId, ...] = ()
    """Items that come first, in this order, where they pass the filters."""
    buried: tuple[ItemId, ...] = ()
    """Items that come only after all others."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.sources and self.ranker is None and not self.fallbacks:
            raise ValueError("a recipe needs 'sources', a 'ranker' or 'fallbacks'")
        if self.price_window is not None and self.price_window[0] > self.price_window[1]:
            raise ValueError("the first number of 'price_window' is not above the second")
        labels = [one.label for one in self.sources] + [booster.name for booster in self.boosters] + ["shuffle"]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"two parts of a score are called {', '.join(twice)}; give one another 'name'")
        return self

    @cached_property
    def version(self) -> str:
        """Hash of the content: recipes of one version do the same."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


class Recipes(Settings):
    """The recipes that requests may name."""

    recipes: dict[Name, Recipe]

    def __getitem__(self, name: str) -> Recipe:
        """Return the recipe ``name``.

        Raises:
            NotFound: there is none.
        """
        if name not in self.recipes:
            raise NotFound(f"There is no recipe {name!r}. Recipes: {', '.join(self.recipes)}.")
        return self.recipes[name]


BUILT_IN: Final = Path(__file__).with_name("recipes.toml")
