"""How often to write to somebody: the interval to the next message, chosen by how the person engages.

The arms of a policy are intervals, and what an arm is worth is one over its interval: so the policy prefers not the
interval whose messages are opened most, but that which earns most in a day. What it knows of a person is how the last
messages went (``engagement``), beside whatever else the campaign's ``context`` names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from pydantic import Field

from features.settings import Settings
from features.time_zones import TimeZone, zone_of
from serving.hours import Hours, lies_in

REMEMBERED: Final = 20
"""How many of the last messages are looked at."""
FIRST_INTERVAL_DAYS: Final = 30.0
"""What is taken to lie before the first message of all."""
TOLERANCES_DAYS: Final = np.geomspace(0.5, 45, 5)
_INTERESTS: Final = np.linspace(0.05, 0.95, 7)[:, None]


class Cadence(Settings):
    """When messages may be sent."""

    quiet_hours: Hours | None = (time(21), time(8))
    """No message from the first time of the day until the second."""
    time_zone: TimeZone = "UTC"
    """That the quiet hours are meant in, unless the request's context gives the person's as ``time_zone``."""
    most_per_week: int | None = Field(default=None, ge=1)
    """The most messages of the campaign within seven days, whatever the interval."""

    def send_at(self, earliest: datetime, sent: Sequence[datetime], time_zone: str | None = None) -> datetime:
        """Return the first moment from ``earliest`` on at which a message may be sent.

        Args:
            earliest: When it is due, aware UTC.
            sent: When messages of the campaign were sent before, in any order.
            time_zone: That of the person, where it is known; an unknown name counts as not given.
        """
        moment = earliest
        if self.most_per_week is not None and len(sent) >= self.most_per_week:
            moment = max(moment, sorted(sent)[-self.most_per_week] + timedelta(days=7))
        zone = zone_of(time_zone or "") or ZoneInfo(self.time_zone)
        return moment if self.quiet_hours is None else _after(self.quiet_hours, moment, zone)


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was sent: when, how long after the one before, and whether it was opened."""

    sent_at: datetime
    interval_days: float
    opened: bool


def engagement(messages: Sequence[Message]) -> dict[str, float]:
    """Return what the last messages say of a person, as values that a policy's context may name after ``context.``.

    A person is taken to have an interest and a tolerance: a message ``g`` days after the last one is opened with
    probability ``interest (1 - exp(-g/tolerance))``. From even odds on a grid of both, Bayes' rule gives how probable
    each pair is after these messages. What a message earns is then linear in

    ``engagement_tolerance_K``: the probability that the tolerance is the K-th of ``TOLERANCES_DAYS``, from 0 on.
    ``engagement_interest_K``: the same times the expected interest, given that tolerance.

    Args:
        messages: The latest first; only the first ``REMEMBERED`` are looked at.
    """
    some = messages[:REMEMBERED]
    gaps = np.array([message.interval_days for message in some])
    opened = np.array([message.opened for message in some])
    p = _INTERESTS * -np.expm1(-gaps[:, None, None] / TOLERANCES_DAYS)
    likelihood = np.where(opened[:, None, None], p, 1 - p).clip(1e-6).prod(axis=0)
    weight = likelihood / likelihood.sum()
    tolerance, interest = weight.sum(axis=0).tolist(), (weight * _INTERESTS).sum(axis=0).tolist()
    return {f"engagement_tolerance_{k}": value for k, value in enumerate(tolerance)} | {
        f"engagement_interest_{k}": value for k, value in enumerate(interest)
    }


ENGAGEMENT: Final = tuple(f"context.{name}" for name in engagement([]))
"""All of it, as a campaign's ``context`` names it."""


def _after(quiet_hours: Hours, moment: datetime, zone: ZoneInfo) -> datetime:
    local, end = moment.astimezone(zone), quiet_hours[1]
    if not lies_in(local.time(), quiet_hours):
        return moment
    days = 1 if local.time() >= end else 0
    woken = datetime.combine(local.date() + timedelta(days=days), end, zone)
    return woken.astimezone(moment.tzinfo)
