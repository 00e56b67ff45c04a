"""What is known of visitors."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from serving.wire.messages import Answer


class ProfileSummary(Answer):
    """One line of the list of profiles."""

    user_id: str
    purchases: int
    last_seen: datetime | None = Field(default=None, description="Left out where they never were.")


class ProfileList(Answer):
    """Profiles in the order of their ids."""

    profiles: list[ProfileSummary]


class HistoryEvent(Answer):
    """One thing that a visitor did with an item."""

    item_id: str
    title: str | None = None
    event_type: str
    timestamp: datetime
    quantity: float


class BoughtItem(Answer):
    """How often a visitor bought an item."""

    item_id: str
    title: str | None = None
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


class RefusedLink(Answer):
    """Two ids that were said to be one person, and are not taken as such."""

    user_id: str
    same_as: str
    reason: str


Values = dict[str, str | float | bool | None]


class Profile(Answer):
    """What is known of a visitor."""

    user_id: str
    identities: list[str] = Field(description="All ids of the same person.")
    version: int = Field(description="The number of the last event that the profile holds.")
    account_id: str | None = Field(default=None, description="The organisation they belong to.")
    first_seen: datetime | None = Field(default=None, description="Left out where they never were.")
    last_seen: datetime | None = None
    visits: int
    purchases: int
    spend: float
    values: Values = Field(description="What filters and segments may ask by name; what is 0 or unknown is left out.")
    counts: dict[str, dict[str, int]] = Field(description="How often each source, device, browser ... occurred.")
    segments: list[str] = Field(description="The segments they belong to at this moment.")
    refused_links: list[RefusedLink] = Field(description="Links that count for nothing, and why.")
    recent: list[HistoryEvent] = Field(description="The latest first.")
    bought_most: list[BoughtItem]
    affinities: list[Liking] = Field(description="The strongest first; empty where the bundle learned none.")


class Account(Answer):
    """An organisation: the sum of its members' profiles."""

    account_id: str
    members: list[str] = Field(description="All ids of those who say that they belong to it.")
    values: Values
    counts: dict[str, dict[str, int]]


class ErasedProfile(Answer):
    """What was erased."""

    identities: list[str]
    events: int
    snapshots: list[str] = Field(description="Snapshots that held the person, which are gone.")
    bundles: list[str] = Field(description="Bundles that hold their history until a new one is promoted.")
