"""What to show where, to whom and when: campaigns, as a file or the API defines them."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field, JsonValue, model_validator

from evaluation.attribution import Goal
from features.errors import AttuneError
from features.fields import as_json
from features.settings import Settings
from features.time_zones import TimeZone
from models.evidence import Evidence
from models.policies import POLICIES, BetaThompson, LinearThompson, Policy, policy_of
from serving.cadence import Cadence
from serving.experiments import Experiment, Name, check_layers, position
from serving.hours import Hours, lies_in

RULES: Final = "rules"
AB: Final = "ab"
MAX_CONTENT_BYTES: Final = 65_536


class Experience(Settings):
    """One variant of what a campaign shows: content, a recipe, an item, or the interval to the next message."""

    content: dict[str, JsonValue] | None = None
    """What the page is to show, as it wants it; returned as it is."""
    recipe: Name | None = None
    """A recipe whose ranking is shown."""
    item: str | None = Field(default=None, min_length=1, max_length=128)
    """An item of the catalog, such as a promotion; passed over while it may not be shown."""
    interval_days: float | None = Field(default=None, gt=0, le=365)
    """How long after the last message the next one is due; with ``cadence``."""
    when: str | None = None
    """A SQL condition on profile and context; with ``choice = "rules"`` the first experience that meets it is shown."""
    share: float = Field(default=1.0, gt=0)
    """With ``choice = "ab"``, the share of people, divided by the sum of all shares."""
    worth: float = Field(default=1.0, gt=0)
    """What one unit of reward is worth here (a margin); a policy prefers what is worth more."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> Experience:
        given = [name for name in ("content", "recipe", "item", "interval_days") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of content, recipe, item and interval_days; given: {given or 'none'}")
        if self.content is not None and len(as_json(self.content).encode()) > MAX_CONTENT_BYTES:
            raise ValueError(f"content is longer than {MAX_CONTENT_BYTES} bytes; give an address to load it from")
        return self


class Cap(Settings):
    """A limit on how often a campaign is decided for."""

    decisions: int = Field(ge=1)
    """The most decisions."""
    days: float = Field(gt=0, le=3650)
    """Within the last so many days; over all people these are whole days (UTC), today included."""


class Campaign(Settings):
    """What to show in a zone, to whom, when, how often, and what for."""

    zone: Name
    """The place that it is for."""
    experiences: dict[Name, Experience] = Field(min_length=1)
    """What may be shown, by name; in the order in which rules are tried."""
    choice: str = RULES
    """How one of them is chosen: ``rules``, ``ab`` (by hashing, for ever the same), or the name of a policy."""
    policy: dict[str, Any] = {}
    """Settings of the policy."""
    context: tuple[str, ...] = Field(default=(), max_length=32)
    """What the policy may know: SQL expressions over profile and context, each a number of size about 1, or true."""
    audience: str | None = None
    """A SQL condition on profile and context, ``segment.NAME`` included; everybody where not given."""
    priority: int = Field(default=0, ge=-1000, le=1000)
    """Of several campaigns in a zone the highest goes first, and of equal ones the first by name."""
    paused: bool = False
    """Whether it is not shown for now."""
    starts_at: AwareDatetime | None = None
    """Not before."""
    ends_at: AwareDatetime | None = None
    """Until then, and not at that moment."""
    weekdays: frozenset[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = frozenset()
    """Only on these days; on all where empty."""
    hours: Hours | None = None
    """Only from the first time of the day until the second, which may lie on the next day."""
    time_zone: TimeZone = "UTC"
    """That ``weekdays`` and ``hours`` are meant in."""
    holdout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the audience that is shown nothing, so that one sees what the campaign is worth."""
    per_person: tuple[Cap, ...] = ()
    """Frequency caps for each person."""
    overall: tuple[Cap, ...] = ()
    """Frequency caps over all people."""
    goal: Goal = Goal()
    """What it is for."""
    cadence: Cadence | None = None
    """When messages may be sent, where the experiences are intervals."""

    @model_validator(mode="after")
    def _fits_together(self) -> Campaign:
        if self.starts_at and self.ends_at and self.starts_at >= self.ends_at:
            raise ValueError("starts_at must be before ends_at")
        intervals = [one.interval_days is not None for one in self.experiences.values()]
        if any(intervals) and not all(intervals):
            raise ValueError("either all experiences are intervals or none")
        if (self.cadence is not None) != any(intervals):
            raise ValueError("cadence goes with experiences of interval_days")
        if self.cadence is not None and self.per_person:
            raise ValueError("per_person counts decisions; messages are capped by cadence.most_per_week")
        learns = self.choice not in (RULES, AB)
        if self.cadence is not None and not learns:
            raise ValueError(
                f"intervals are chosen by a policy, such as linear_thompson; the choice is {self.choice!r}"
            )
        between_0_and_1 = self.goal.reward != "revenue" and not self.goal.unsubscribe_cost
        if self.choice == BetaThompson.name and not between_0_and_1:
            raise ValueError(
                f"{BetaThompson.name} learns from rewards between 0 and 1; for this goal take {LinearThompson.name}"
            )
        if not learns and (self.policy or self.context):
            raise ValueError(f"policy and context are for a policy; the choice is {self.choice!r}")
        if self.choice != RULES and any(one.when for one in self.experiences.values()):
            raise ValueError(f"`when` goes with choice = 'rules'; the choice is {self.choice!r}")
        if learns:
            try:
                policy = policy_of(self.choice, self.policy, "policy")
                policy.probabilities(Evidence(), list(self.experiences))
            except AttuneError as error:
                allowed = ", ".join((RULES, AB, *POLICIES))
                raise ValueError(f"{error} A choice is one of: {allowed}.") from None
        return self

    @property
    def version(self) -> str:
        """What names this definition: the beginning of the SHA-256 of its content."""
        return version_of(self)

    @property
    def learner(self) -> Policy | None:
        """The policy that chooses, or None where none does."""
        return None if self.choice in (RULES, AB) else policy_of(self.choice, self.policy, "policy")

    @cached_property
    def evidence_key(self) -> str:
        """What evidence belongs to: gathered under another goal or over another context it means something else."""
        return as_json({"context": list(self.context), "goal": self.goal.model_dump()})

    def off_schedule(self, now: datetime) -> str | None:
        """Return why the campaign is not on at ``now``, or None where it is."""
        if self.paused:
            return "it is paused"
        if self.starts_at and now < self.starts_at:
            return f"it starts at {self.starts_at.isoformat()}"
        if self.ends_at and now >= self.ends_at:
            return f"it ended at {self.ends_at.isoformat()}"
        local = now.astimezone(ZoneInfo(self.time_zone))
        if self.hours:
            first, end = self.hours
            clock = local.time()
            if not lies_in(clock, self.hours):
                return f"its hours are {first:%H:%M} to {end:%H:%M} ({self.time_zone})"
            if first > end and clock < end:
                local -= timedelta(days=1)  # what began yesterday evening belongs to yesterday
        if self.weekdays and WEEKDAYS[local.weekday()] not in self.weekdays:
            return f"its days are {', '.join(day for day in WEEKDAYS if day in self.weekdays)}"
        return None

    def holds_out(self, name: str, unit: str) -> bool:
        """Return whether ``unit`` is in the holdout of this campaign, called ``name``."""
        return position("holdout", name, unit) < self.holdout


WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class CampaignFile(Settings):
    """What a file of campaigns and experiments holds."""

    campaigns: dict[Name, Campaign] = {}
    """Campaigns by name."""
    experiments: dict[Name, Experiment] = {}
    """Experiments by name."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what the TOML file ``path`` holds; raises what ``Settings.read`` does."""
        given = super().read(path)
        check_layers(given.experiments)
        return given


def version_of(definition: Settings) -> str:
    """Return the version of a definition: the first 16 digits of the SHA-256 of its JSON."""
    return hashlib.sha256(text_of(definition).encode()).hexdigest()[:16]


def text_of(definition: Settings) -> str:
    """Return ``definition`` as one JSON text that ``Settings.of`` reads again; names keep their order, which counts."""
    values: dict[str, Any] = definition.model_dump(mode="json", exclude_defaults=True)
    if "weekdays" in values:
        values["weekdays"] = sorted(values["weekdays"])
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))
