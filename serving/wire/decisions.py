"""Decisions, campaigns and experiments."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, JsonValue, StringConstraints

from serving.wire.messages import Answer, Id, Request
from serving.wire.rankings import Context, N, RankingAnswer, Variants


class DecideRequest(Request):
    """What to show to somebody in a zone."""

    user_id: Id = Field(examples=["1"])
    zone: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(examples=["home_banner"])
    context: Context = Field(default_factory=dict)
    n: N = 10
    variants: Variants = Field(default_factory=dict)
    explain: bool = Field(default=False, description="Whether to say of everything else why it was not chosen.")


class PassedOver(Answer):
    """A campaign, or an experience of one, that was not chosen."""

    campaign: str
    experience: str | None = None
    reason: str = Field(examples=["its audience is visits_7d >= 2"])


class DecisionAnswer(Answer):
    """What to show."""

    decision_id: str | None = Field(
        default=None,
        description="Names the decision: impressions, clicks and purchases refer to it. None where no campaign is on.",
    )
    zone: str
    campaign: str | None = None
    campaign_version: str | None = None
    experience: str | None = Field(
        default=None, description="None where nothing is to be shown; send the impression even then."
    )
    propensity: float | None = Field(default=None, description="The probability with which it was chosen.")
    content: dict[str, JsonValue] | None = None
    item_id: str | None = None
    ranking: RankingAnswer | None = None
    send_at: datetime | None = Field(default=None, description="When the next message is due.")
    variants: dict[str, str] | None = Field(default=None, description="Of each experiment that had a part in it.")
    not_chosen: list[PassedOver] | None = None


class LoggedDecision(Answer):
    """A decision as it is on record."""

    decision_id: str
    user_id: str
    decided_at: datetime
    zone: str
    campaign: str | None = None
    campaign_version: str | None = None
    experience: str | None = None
    propensity: float
    probabilities: dict[str, float]
    context: dict[str, float]
    variants: dict[str, str]


class DefinitionAnswer(Answer):
    """A campaign or an experiment as it is defined."""

    name: str
    version: str = Field(description="Names the content.")
    origin: str = Field(description="'file' or 'api'; what a file defines is changed there.")
    definition: dict[str, Any] = Field(description="What differs from the defaults.")


class DefinitionList(Answer):
    """Definitions by name."""

    definitions: list[DefinitionAnswer]
