"""When messages may be sent, and what the last ones say of a person."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import numpy as np
import pytest

from features.errors import InvalidInput
from models.evidence import Evidence, regressors
from models.policies import LinearSettings, LinearThompson
from serving.cadence import ENGAGEMENT, TOLERANCES_DAYS, Cadence, Message, assumed, engagement
from tests.mail_worlds import MailWorld, fixed, lived, news

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def at(hour: float, day: int = 2) -> datetime:
    return datetime(2026, 3, day, tzinfo=UTC) + timedelta(hours=hour)


@pytest.mark.parametrize(
    ("due", "sent_at"),
    [(at(12), at(12)), (at(20.99), at(20.99)), (at(21), at(8, 3)), (at(3), at(8)), (at(7.99), at(8)), (at(8), at(8))],
)
def test_no_message_is_sent_in_quiet_hours(due: datetime, sent_at: datetime) -> None:
    assert Cadence().send_at(due, []) == sent_at


def test_quiet_hours_are_those_of_the_person_where_known() -> None:
    assert Cadence().send_at(at(12), [], "Asia/Tokyo") == at(23)  # it is 21 o'clock there, and 8 in eleven hours
    assert Cadence(time_zone="Asia/Tokyo").send_at(at(12), []) == at(23)
    assert Cadence().send_at(at(12), [], "Nowhere/At all") == at(12)


def test_quiet_hours_within_a_day_and_none_at_all() -> None:
    assert Cadence(quiet_hours=(time(11), time(14))).send_at(at(12), []) == at(14)
    assert Cadence(quiet_hours=None).send_at(at(3), []) == at(3)


def test_the_most_in_a_week_holds_whatever_the_interval() -> None:
    cadence = Cadence(most_per_week=2, quiet_hours=None)
    sent = [NOON - timedelta(days=days) for days in (1, 3, 9)]
    assert cadence.send_at(NOON, sent) == NOON + timedelta(days=4)  # seven after the second last
    assert cadence.send_at(NOON, sent[:1]) == NOON


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"time_zone": "Mars"}, "no such time zone"),
        ({"quiet_hours": ["08:00", "08:00"]}, "same time"),
        ({"most_per_week": 0}, "greater than or equal to 1"),
    ],
)
def test_a_cadence_that_makes_no_sense_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Cadence.of(values, "cadence")


def told(interval_days: float, opened: bool, n: int = 10) -> dict[str, float]:
    return engagement([Message(NOON, interval_days, opened)] * n)


def tolerance(values: dict[str, float]) -> list[float]:
    return [values[f"engagement_tolerance_{k}"] for k in range(5)]


def test_without_messages_every_tolerance_is_as_likely() -> None:
    assert tolerance(engagement([])) == pytest.approx([0.2] * 5)


def test_who_opens_daily_mail_tolerates_much_and_who_opens_none_little() -> None:
    eager, strained = tolerance(told(1, True)), tolerance(told(1, False))
    assert sum(eager) == pytest.approx(1) == sum(strained)
    assert eager[0] > 0.8
    assert strained[4] > strained[0]


def interest(values: dict[str, float]) -> float:
    return sum(values[f"engagement_interest_{k}"] for k in range(5))


def test_interest_is_what_is_opened_where_there_was_time_enough() -> None:
    assert interest(engagement([])) == pytest.approx(1 / 3, abs=0.025)  # Beta(2, 4), on a coarse grid
    assert interest(told(300, True)) == pytest.approx(12 / 16, abs=0.025)  # ten opens more
    assert interest(told(300, False)) == pytest.approx(2 / 16, abs=0.025)
    assert interest(told(300, True, 40)) > 0.8


def test_what_is_assumed_of_a_message_is_what_engagement_says_of_it() -> None:
    values = told(1, False)
    known = assumed(4.0, ["context.mobile", *ENGAGEMENT], unsubscribe_cost=10)
    policy = LinearThompson(LinearSettings(prior_precision=1e-9))
    mean, _ = policy.expected_rewards(Evidence({"every_4": known}), ["every_4"], regressors([5.0, *values.values()]))
    ready = 1 - np.exp(-4 / TOLERANCES_DAYS)
    opened = sum(values[f"engagement_interest_{k}"] * ready[k] for k in range(5))
    left = sum(values[f"engagement_tolerance_{k}"] * 0.01 * (1 - ready[k]) for k in range(5))
    assert mean[0] == pytest.approx(opened - 10 * left)
    assert known.count == 0


def test_where_a_policy_does_not_know_how_people_engage_nothing_is_assumed() -> None:
    assert not assumed(4.0, ["context.mobile"], unsubscribe_cost=10).gram.any()


def test_a_fixed_cadence_sends_every_so_many_days() -> None:
    world = MailWorld(np.full(3, 0.5), np.full(3, 0.1), np.zeros(3), days=28)
    earned = lived(world, fixed("every_7"), np.random.default_rng(0))
    assert earned.unsubscribes == 0
    assert earned.messages in (9, 10, 11)  # four weeks, three, and two


def test_the_adaptive_cadence_writes_less_often_to_those_who_tolerate_little() -> None:
    half = 60
    tolerance_days = np.concatenate([np.full(half, 0.3), np.full(half, 20.0)])
    world = MailWorld(np.full(2 * half, 0.7), tolerance_days, np.full(2 * half, 0.02), days=150)
    earned = lived(world, news("linear_thompson", {"exploration": 0.1}, knows_people=True), np.random.default_rng(0))
    assert earned.spacing_days[half:].mean() > 1.5 * earned.spacing_days[:half].mean()
