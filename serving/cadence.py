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
from models.evidence import ArmEvidence
from serving.hours import Hours, lies_in

REMEMBERED: Final = 50
"""How many of the last messages are looked at."""
FIRST_INTERVAL_DAYS: Final = 30.0
"""What is taken to lie before the first message of all."""
TOLERANCES_DAYS: Final = np.geomspace(0.5, 45, 5)
IMPATIENCE: Final = 0.01
"""How likely somebody is taken to unsubscribe at a message that comes at once after the last."""
ASSUMED_FROM: Final = 30.0
"""How many messages what is ``assumed`` counts for, for each number of ``ENGAGEMENT``; then what was seen outweighs."""
_INTERESTS: Final = np.linspace(0.05, 0.95, 7)[:, None]
_INTEREST_ODDS: Final = _INTERESTS * (1 - _INTERESTS) ** 3


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
    probability ``interest (1 - exp(-g/tolerance))``. At first every tolerance is as likely, and the interest is
    Beta(2, 4), of mean one third, for senders report that 20 to 40 % of their messages are opened; Bayes' rule then
    gives how probable each pair on a grid is after these messages. What a message earns is linear in

    ``engagement_tolerance_K``: the probability that the tolerance is the K-th of ``TOLERANCES_DAYS``, from 0 on.
    ``engagement_interest_K``: the same times the expected interest, given that tolerance.

    Args:
        messages: The latest first; only the first ``REMEMBERED`` are looked at.
    """
    some = messages[:REMEMBERED]
    gaps = np.array([message.interval_days for message in some])
    opened = np.array([message.opened for message in some])
    p = _INTERESTS * -np.expm1(-gaps[:, None, None] / TOLERANCES_DAYS)
    likelihood = np.where(opened[:, None, None], p, 1 - p).clip(1e-6).prod(axis=0) * _INTEREST_ODDS
    weight = likelihood / likelihood.sum()
    tolerance, interest = weight.sum(axis=0).tolist(), (weight * _INTERESTS).sum(axis=0).tolist()
    return {f"engagement_tolerance_{k}": value for k, value in enumerate(tolerance)} | {
        f"engagement_interest_{k}": value for k, value in enumerate(interest)
    }


ENGAGEMENT: Final = tuple(f"context.{name}" for name in engagement([]))
"""All of it, as a campaign's ``context`` names it."""


def assumed(interval_days: float, context: Sequence[str], unsubscribe_cost: float) -> ArmEvidence:
    """Return what is taken to be known of a message ``interval_days`` after the last one, before any was sent.

    It earns 1 where it is opened, as ``engagement`` has it, and loses ``unsubscribe_cost`` with the probability
    ``IMPATIENCE exp(-interval_days/tolerance)``. This says something only of the numbers of ``ENGAGEMENT`` that are in
    ``context``, and counts for no decision.
    """
    ready = -np.expm1(-interval_days / TOLERANCES_DAYS)
    of_each = [*(-unsubscribe_cost * IMPATIENCE * (1 - ready)), *ready]
    earned = dict(zip(ENGAGEMENT, of_each, strict=True))
    coefficients = np.array([0.0, *(earned.get(name, 0.0) for name in context)])
    gram = ASSUMED_FROM * np.diag([0.0, *(float(name in earned) for name in context)])
    return ArmEvidence(gram, gram @ coefficients, float(coefficients @ gram @ coefficients))


def _after(quiet_hours: Hours, moment: datetime, zone: ZoneInfo) -> datetime:
    local, end = moment.astimezone(zone), quiet_hours[1]
    if not lies_in(local.time(), quiet_hours):
        return moment
    days = 1 if local.time() >= end else 0
    woken = datetime.combine(local.date() + timedelta(days=days), end, zone)
    return woken.astimezone(moment.tzinfo)
