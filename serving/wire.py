"""What requests and answers look like on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from serving.filters import MAX_EXPRESSION_LENGTH

Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]


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


class Request(BaseModel):
    """What every request has in common: no unknown fields, and no guessing of types."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


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


class Answer(BaseModel):
    """What every answer has in common: a field that has no value is left out."""

    model_config = ConfigDict(frozen=True)


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
    items: list[RankedItem]
    removed: list[RemovedItem] | None = Field(default=None, description="Of the items to rank, those left out.")
    unknown_items: list[str] | None = Field(default=None, description="Ids in the request that no item has.")
    shortfall_reason: str | None = Field(default=None, description="Why there are fewer items than asked for.")


class Item(Answer):
    """One item of the catalog."""

    model_version: str
    item_id: str
    in_catalog: bool = Field(description="False for what only events name.")
    item_type: str | None
    title: str | None
    url: str | None
    image_url: str | None
    price: float | None
    list_price: float | None
    stock: float | None
    visible: bool | None
    published_at: datetime | None
    expires_at: datetime | None
    dimensions: dict[str, list[str]]


class ProfileSummary(Answer):
    """One line of the list of profiles."""

    user_id: str
    purchases: int
    last_seen: datetime


class ProfileList(Answer):
    """Profiles in the order of their ids."""

    profiles: list[ProfileSummary]


class HistoryEvent(Answer):
    """One thing that a visitor did with an item."""

    item_id: str
    title: str | None
    event_type: str
    timestamp: datetime
    quantity: float


class BoughtItem(Answer):
    """How often a visitor bought an item."""

    item_id: str
    title: str | None
    count: int
    last_at: datetime


class Liking(Answer):
    """A value that the visitor prefers."""

    dimension: str
    value: str
    affinity: float = Field(description="How many times as often as usual.")


class Profile(Answer):
    """What is known of a visitor."""

    user_id: str
    first_seen: datetime
    last_seen: datetime
    visits: int
    purchases: int
    spend: float
    recent: list[HistoryEvent] = Field(description="The latest first.")
    bought_most: list[BoughtItem]
    affinities: list[Liking] = Field(description="The strongest first; empty where the bundle learned none.")


class Problem(Answer):
    """What was wrong."""

    code: str = Field(examples=["invalid_input"])
    message: str = Field(description="What was given, what is allowed, and what to do.")
    field: str | None = Field(default=None, description="The field of the request at fault.")


class ProblemAnswer(Answer):
    """Any answer that is not a success."""

    error: Problem


def problem(code: str, message: str, field: str | None = None) -> dict[str, Any]:
    """Return the body of an answer that is not a success."""
    return ProblemAnswer(error=Problem(code=code, message=message, field=field)).model_dump(exclude_none=True)
