"""People who differ in how much mail they tolerate, and what each cadence earns with them."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from features.decision_log import Decision
from models.evidence import ArmEvidence, Evidence
from serving.cadence import ENGAGEMENT, FIRST_INTERVAL_DAYS, REMEMBERED, Message
from serving.campaigns import Campaign
from serving.programme import Asked, Programme

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
CAMPAIGN = "news"


@dataclass(frozen=True)
class MailWorld:
    """Subscribers, each with an interest and a tolerance of their own.

    A message that comes ``g`` days after the last one finds its reader ready with ``r = g^2 / (g^2 + tolerance^2)``. It
    is opened with probability ``interest r``, and makes its reader unsubscribe with probability ``annoyance (1 - r)``:
    what is welcome to one is a nuisance to another. (``serving.cadence.engagement`` assumes another curve.)

    Attributes:
        interest: Probability to open a message that has been waited for; shape (people,).
        tolerance_days: How long it takes to be ready for the next one; shape (people,).
        annoyance: Probability to unsubscribe at a message that comes at once after the last; shape (people,).
        days: How long the world lasts.
    """

    interest: NDArray[np.float64]
    tolerance_days: NDArray[np.float64]
    annoyance: NDArray[np.float64]
    days: int = 360

    @classmethod
    def of_all_kinds(cls, people: int, rng: np.random.Generator, annoyance: float = 0.01) -> MailWorld:
        """Return a world as senders of e-mail report theirs, where people differ in everything, independently.

        Tolerance spreads evenly in its logarithm from some hours to three weeks, annoyance exponentially around its
        mean. With 1 %, of a message a week about 28 % are opened and 0.25 % make their reader unsubscribe; senders
        report 20 to 40 % and 0.1 to 0.5 %. Of a message a day, 11 % and 0.7 %.
        """
        tolerance_days = np.exp(rng.uniform(np.log(0.3), np.log(20), people))
        return cls(rng.beta(3, 5, people), tolerance_days, np.minimum(rng.exponential(annoyance, people), 1.0))

    def outcome(self, person: int, gap_days: float, rng: np.random.Generator) -> tuple[bool, bool]:
        """Return whether a message is opened, and whether its reader unsubscribes."""
        ready = gap_days**2 / (gap_days**2 + self.tolerance_days[person] ** 2)
        opened = rng.random() < self.interest[person] * ready
        return bool(opened), bool(rng.random() < self.annoyance[person] * (1 - ready))


@dataclass(frozen=True)
class Earned:
    """What a cadence earned: opens, unsubscriptions, messages, and the mean days between them by person."""

    opens: int
    unsubscribes: int
    messages: int
    spacing_days: NDArray[np.float64]

    @property
    def net(self) -> int:
        """Opens minus unsubscribes."""
        return self.opens - self.unsubscribes


class _Memory:
    """What a programme must know, kept in memory; see ``programme.Known``."""

    def __init__(self) -> None:
        self.sent: dict[str, list[Message]] = {}
        self.known = Evidence()

    def count(self, user_ids: Sequence[str], campaign: str, after: datetime) -> int:
        return 0

    def count_of_days(self, campaign: str, now: datetime, days: float) -> int:
        return 0

    def messages(self, user_ids: Sequence[str], campaign: str) -> tuple[list[Message], Decision | None]:
        return self.sent.get(user_ids[0], [])[:REMEMBERED], None

    def evidence(self, campaign: str, definition: Campaign) -> Evidence:
        return self.known


def lived(world: MailWorld, campaign: Campaign, rng: np.random.Generator) -> Earned:
    """Return what ``campaign``, whose experiences are intervals, earns in ``world``."""
    programme, memory = Programme({CAMPAIGN: campaign}, {}), _Memory()
    end = START + timedelta(days=world.days)
    opens = unsubscribes = messages = 0
    due: list[tuple[datetime, int, Decision]] = []
    values: Mapping[str, float] = {}

    def plan(person: int, now: datetime) -> None:
        asked = Asked(f"{person}", campaign.zone, values, now, (f"{person}",))
        planned = programme.planned(asked, memory, lambda item: None, "decision", rng)
        assert planned.decision is not None
        assert planned.send_at is not None
        if planned.send_at < end:
            heapq.heappush(due, (planned.send_at, person, planned.decision))

    people = len(world.interest)
    for person in range(people):  # they subscribe one after the other, over the first half
        plan(person, START + timedelta(days=world.days / 2 * person / people))
    while due:
        now, person, decision = heapq.heappop(due)
        sent = memory.sent.setdefault(f"{person}", [])
        gap_days = (now - sent[0].sent_at) / timedelta(days=1) if sent else FIRST_INTERVAL_DAYS
        opened, unsubscribed = world.outcome(person, gap_days, rng)
        sent.insert(0, Message(now, gap_days, opened))
        messages, opens, unsubscribes = messages + 1, opens + opened, unsubscribes + unsubscribed
        reward = opened - campaign.goal.unsubscribe_cost * unsubscribed
        assert decision.experience is not None
        arm = ArmEvidence.of(reward, list(decision.context.values()))
        memory.known = memory.known + Evidence({decision.experience: arm})
        if not unsubscribed:
            plan(person, now)
    spacing = [np.mean([one.interval_days for one in memory.sent[f"{person}"]]) for person in range(people)]
    return Earned(opens, unsubscribes, messages, np.array(spacing))


def news(choice: str, policy: dict[str, object], knows_people: bool = False) -> Campaign:
    """Return a campaign of messages every 1, 2, 4, 7 or 14 days, where a subscriber is worth ten opens."""
    return Campaign.of(
        {
            "zone": "email",
            "choice": choice,
            "policy": policy,
            "context": ENGAGEMENT if knows_people else (),
            "cadence": {},
            "goal": {"reward": "open", "unsubscribe_cost": 10, "window_days": 3},
            "experiences": {f"every_{days}": {"interval_days": days} for days in (1, 2, 4, 7, 14)},
        },
        CAMPAIGN,
    )


def fixed(interval: str) -> Campaign:
    """Return the campaign with one interval for everybody."""
    return news("fixed", {"shares": {interval: 1.0}})
