"""Rankings."""

from __future__ import annotations

from typing import Annotated

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
Explain = Annotated[bool, Field(description="Whether to return the named parts that each score is the sum of.")]


class RecommendRequest(Request):
    """Items for a visitor."""

    user_id: Id = Field(examples=["1"])
    n: N = 10
    recipe: Recipe = "for_you"
    filter: FilterExpression | None = None
    exclude: list[Id] = Field(default=[], max_length=1_000, description="Items not to return.")
    context_items: list[Id] = Field(
        default=[], max_length=50, description="Items on the page: they count as just viewed, and are not returned."
    )
    explain: Explain = False


class RankRequest(Request):
    """The order in which a visitor should see a given list."""

    user_id: Id = Field(examples=["1"])
    items: list[Id] = Field(min_length=1, max_length=500, description="The items to rank, best guess first.")
    recipe: Recipe = "for_you"
    filter: FilterExpression | None = None
    context_items: list[Id] = Field(default=[], max_length=50, description="Items on the page, as just viewed.")
    explain: Explain = False


class SimilarRequest(Request):
    """Items that go with one item."""

    item_id: Id
    n: N = 10
    filter: FilterExpression | None = None
    exclude: list[Id] = Field(default=[], max_length=1_000, description="Items not to return.")
    explain: Explain = False


class Reason(Answer):
    """Why an item is in the list."""

    kind: str = Field(examples=["together"])
    text: str = Field(examples=["Goes with TEA BAGS."])
    items: list[str] = Field(description="Items of the visitor's history that the text names.")


class RankedItem(Answer):
    """One item of a ranking."""

    item_id: str
    score: float = Field(description="Comparable between items that the same scorer placed.")
    scorer: str = Field(description="What placed the item; 'catalog' where no scorer knew it.")
    reasons: list[Reason]
    contributions: dict[str, float] | None = Field(default=None, description="Parts that add up to the score.")
    title: str | None = None
    url: str | None = None
    image_url: str | None = None
    price: float | None = None


class RemovedItem(Answer):
    """An item of the request that is not in the ranking."""

    item_id: str
    reason: str = Field(examples=["out of stock"])


class RankingAnswer(Answer):
    """A ranking."""

    ranking_id: str = Field(description="Names this ranking; clicks refer to it.")
    model_version: str = Field(description="The bundle that answered.")
    profile_version: int | None = Field(default=None, description="The last event that the visitor's profile held.")
    items: list[RankedItem]
    removed: list[RemovedItem] | None = Field(default=None, description="Of the items to rank, those left out.")
    unknown_items: list[str] | None = Field(default=None, description="Ids in the request that no item has.")
    shortfall_reason: str | None = Field(default=None, description="Why there are fewer items than asked for.")
