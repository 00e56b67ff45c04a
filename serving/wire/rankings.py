"""Rankings."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from serving.filters import MAX_EXPRESSION_LENGTH
from serving.wire.messages import Answer, Id, Request


def _whole(given: object) -> object:
    """Return 10 for 10.0: JSON has one kind of number, and its schemas call both an integer."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


N = Annotated[int, Field(ge=1, le=100, description="The most items to return."), BeforeValidator(_whole)]
FilterExpression = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_EXPRESSION_LENGTH,
        description="A SQL condition on the columns of the catalog that every returned item meets.",
        examples=["department = 'GROCERY' AND price < 5"],
    ),
]
Recipe = Annotated[str, Field(min_length=1, max_length=64, description="Name of the recipe.")]
Explain = Annotated[bool, Field(description="Whether to return the parts of each score, and the events behind them.")]
Context = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=64)], Annotated[str, Field(max_length=256)] | bool | float],
    Field(
        max_length=50,
        description="What is known of the moment; filters ask it as context.NAME.",
        examples=[{"device": "phone"}],
    ),
]
WhyNot = Annotated[list[Id], Field(max_length=50, description="Items of which to say why they are not in the list.")]
Zone = Annotated[str, Field(min_length=1, max_length=64, description="A place on the page.")]

Variants = Annotated[
    dict[Id, Id],
    Field(
        max_length=32,
        description="Variants of experiments to see for testing; these do not count.",
        json_schema_extra={"additionalProperties": False},  # pydantic says only what names of the pattern hold
    ),
]


class RecommendRequest(Request):
    """Items for a visitor."""

    user_id: Id = Field(examples=["1"])
    n: N = 10
    recipe: Recipe = "for_you"
    filter: FilterExpression | None = None
    exclude: list[Id] = Field(default_factory=list, max_length=1_000, description="Items not to return.")
    context_items: list[Id] = Field(
        default_factory=list,
        max_length=50,
        description="Items on the page: they count as just viewed, and are not returned.",
    )
    context: Context = Field(default_factory=dict)
    variants: Variants = Field(default_factory=dict)
    explain: Explain = False
    why_not: WhyNot = Field(default_factory=list)


class RankRequest(Request):
    """The order in which a visitor should see a given list."""

    user_id: Id = Field(examples=["1"])
    items: list[Id] = Field(min_length=1, max_length=500, description="The items to rank, best guess first.")
    recipe: Recipe = "for_you"
    filter: FilterExpression | None = None
    context_items: list[Id] = Field(
        default_factory=list, max_length=50, description="Items on the page, as just viewed."
    )
    context: Context = Field(default_factory=dict)
    variants: Variants = Field(default_factory=dict)
    explain: Explain = False


class SimilarRequest(Request):
    """Items that go with one item."""

    item_id: Id
    n: N = 10
    recipe: Recipe = "similar"
    filter: FilterExpression | None = None
    exclude: list[Id] = Field(default_factory=list, max_length=1_000, description="Items not to return.")
    context: Context = Field(default_factory=dict)
    explain: Explain = False
    why_not: WhyNot = Field(default_factory=list)


class ZoneRequest(Request):
    """What to show in one place of a page."""

    zone: Zone
    n: N = 10
    recipe: Recipe = "for_you"
    filter: FilterExpression | None = None


class ZonesRequest(Request):
    """Items for several places of a page, none of them twice."""

    user_id: Id = Field(examples=["1"])
    zones: list[ZoneRequest] = Field(min_length=1, max_length=20, description="In the order in which they choose.")
    exclude: list[Id] = Field(default_factory=list, max_length=1_000, description="Items not to return.")
    context_items: list[Id] = Field(
        default_factory=list,
        max_length=50,
        description="Items on the page: they count as just viewed, and are not returned.",
    )
    context: Context = Field(default_factory=dict)
    explain: Explain = False


class ReasonEvent(Answer):
    """Something the visitor did that a reason rests on."""

    event_type: str
    item_id: str
    timestamp: datetime


class Reason(Answer):
    """Why an item is in the list."""

    kind: str = Field(examples=["together"])
    text: str = Field(examples=["Goes with TEA BAGS."])
    items: list[str] = Field(description="Items of the visitor's history that speak for it; the text may name them.")
    events: list[ReasonEvent] = Field(description="What the visitor did with them last.")


class RankedItem(Answer):
    """One item of a ranking."""

    item_id: str
    score: float = Field(description="Comparable between items that the same scorer placed.")
    scorer: str = Field(description="What placed the item; 'catalog' where no scorer knew it.")
    reasons: list[Reason] | None = Field(default=None, description="Given with explain.")
    contributions: dict[str, float] | None = Field(
        default=None, description="Given with explain: the parts that add up to the score, in their order."
    )
    title: str | None = None
    url: str | None = None
    image_url: str | None = None
    price: float | None = None


class RemovedItem(Answer):
    """An item of the request that is not in the ranking."""

    item_id: str
    reason: str = Field(examples=["out of stock"])


class MissingItem(Answer):
    """Why an item is not in the list."""

    item_id: str
    reason: str = Field(examples=["It is out of stock."])


class Exploration(Answer):
    """The place of a list that was left to chance."""

    place: int = Field(description="Counted from 1.")
    drawn: bool = Field(description="Whether chance chose the item there.")
    probability: float = Field(description="How likely it was that this very item got the place.")


class RankingAnswer(Answer):
    """A ranking."""

    ranking_id: str = Field(description="Names this ranking; clicks refer to it.")
    model_version: str = Field(description="The bundle that answered.")
    recipe_version: str = Field(description="The content of the recipe.")
    profile_version: int | None = Field(default=None, description="The last event that the visitor's profile held.")
    items: list[RankedItem]
    removed: list[RemovedItem] | None = Field(default=None, description="Of the items to rank, those left out.")
    unknown_items: list[str] | None = Field(default=None, description="Ids in the request that no item has.")
    shortfall_reason: str | None = Field(default=None, description="Why there are fewer items than asked for.")
    why_not: list[MissingItem] | None = Field(default=None, description="Of the items asked about.")
    exploration: Exploration | None = None


class ZoneAnswer(RankingAnswer):
    """The ranking of one place of a page."""

    zone: Zone


class ZonesAnswer(Answer):
    """The rankings of several places of a page."""

    zones: list[ZoneAnswer]


class LoggedRanking(Answer):
    """A ranking as it was shown, and what it was made of."""

    ranking_id: str
    made_at: datetime
    kind: str = Field(description="recommend, rank or similar.")
    user_id: str | None = None
    request: dict[str, Any]
    model_version: str
    catalog_version: int
    recipe_version: str
    profile_version: int
    known: dict[str, Any] = Field(description="What expressions asked of the visitor, with the answers.")
    items: list[str]
    scores: list[float]
    exploration: Exploration | None = None
