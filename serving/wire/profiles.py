"""What is known of visitors."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from serving.wire.messages import Answer


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
    strength: float = Field(description="The same from 0, as usual, to 1: what affinity('DIMENSION', 'VALUE') is.")
    confidence: float = Field(description="The part of the evidence that is the visitor's own, from 0 to 1.")
    events: list[HistoryEvent] = Field(description="Some of the events behind it, those that count most first.")


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
