"""Which campaign decides, for whom, and what it says of the others."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from features.database import transaction
from features.errors import InvalidInput, NotFound
from features.interactions import History
from features.profiles import Profile
from features.segments import Segments
from serving.campaigns import Campaign, CampaignFile, text_of, version_of
from serving.decisions import read_file
from serving.experiments import Experiment
from serving.programme import Asked, Programme
from serving.visitors import Values
from tests.serving.deciding import NOW, ONE_BANNER, Worker, event

EXAMPLE = Path(__file__).parents[2] / "serving" / "campaigns.toml"
TWO = {"a": {"content": {}}, "b": {"content": {}}}


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


def reasons(worker: Worker, **asked: Any) -> dict[str, str]:
    """Return why each campaign was not chosen."""
    return {one.campaign: one.reason for one in worker.decide(explain=True, **asked).passed_over if not one.experience}


def test_the_highest_priority_goes_first_and_of_equal_ones_the_first_by_name(worker: Worker) -> None:
    worker.define(b=ONE_BANNER, a=ONE_BANNER, low=ONE_BANNER | {"priority": -1}, top=ONE_BANNER | {"priority": 5})
    assert worker.decide().decision.campaign == "top"
    assert reasons(worker) == dict.fromkeys(("a", "b", "low"), "'top' goes first")
    worker.define(top=None)
    assert worker.decide().decision.campaign == "a"


def test_an_audience_is_a_condition_on_profile_and_context(worker: Worker) -> None:
    audience = "context.country = 'ch' AND visits_7d >= 2"
    worker.define(swiss=ONE_BANNER | {"audience": audience})
    values = {"context.country": "ch", "visits_7d": 2}
    assert worker.decide(values=values).decision.campaign == "swiss"
    assert worker.decide(values=values | {"visits_7d": 1}).decision is None
    assert reasons(worker, values={}) == {"swiss": f"its audience is {audience}"}


@pytest.mark.parametrize(
    ("schedule", "hours", "reason"),
    [
        ({"paused": True}, 0, "it is paused"),
        ({"starts_at": "2026-03-02T12:00:01Z"}, 0, "it starts at 2026-03-02T12:00:01+00:00"),
        ({"starts_at": "2026-03-02T12:00:00Z"}, 0, None),
        ({"ends_at": "2026-03-02T12:00:00Z"}, 0, "it ended at 2026-03-02T12:00:00+00:00"),
        ({"weekdays": ["tue"]}, 0, "its days are tue"),
        ({"weekdays": ["mon"], "time_zone": "Pacific/Auckland"}, 0, "its days are mon"),  # it is Tuesday there
        ({"hours": ["13:00", "15:00"], "time_zone": "Europe/Zurich"}, 0, None),
        (
            {"hours": ["13:30", "15:00"], "time_zone": "Europe/Zurich"},
            0,
            "its hours are 13:30 to 15:00 (Europe/Zurich)",
        ),
        ({"hours": ["22:00", "02:00"], "weekdays": ["mon"]}, 13, None),  # 1 o'clock on Tuesday is Monday's night
        ({"hours": ["22:00", "02:00"], "weekdays": ["tue"]}, 13, "its days are tue"),
    ],
)
def test_a_schedule_is_kept(worker: Worker, schedule: dict[str, Any], hours: float, reason: str | None) -> None:
    worker.define(timed=ONE_BANNER | schedule)
    assert reasons(worker, hours=hours).get("timed") == reason


def test_a_person_gets_it_as_often_as_the_cap_says_under_whatever_id(worker: Worker) -> None:
    worker.define(capped=ONE_BANNER | {"per_person": [{"decisions": 2, "days": 1}]})
    both = ("ann", "cookie")
    assert worker.decide("ann", user_ids=both).decision is not None
    assert worker.decide("cookie", user_ids=both, hours=1).decision is not None
    assert worker.decide("ann", user_ids=both, hours=2).decision is None
    assert worker.decide("bob", hours=2).decision is not None
    assert reasons(worker, user_id="ann", user_ids=both, hours=2) == {
        "capped": "capped: the person had it 2 times within 1 days"
    }
    assert worker.decide("ann", user_ids=both, hours=24.1).decision is not None


def test_everybody_together_gets_it_as_often_as_the_cap_says(worker: Worker) -> None:
    worker.define(capped=ONE_BANNER | {"overall": [{"decisions": 3, "days": 1}]}, other=ONE_BANNER | {"priority": -1})
    chosen = [worker.decide(f"user-{i}").decision.campaign for i in range(5)]
    assert chosen == ["capped"] * 3 + ["other"] * 2
    assert worker.decide(hours=12).decision.campaign == "capped"  # the next day


def test_a_cap_that_another_worker_uses_up_meanwhile_holds(tmp_path: Path) -> None:
    one, other = Worker(tmp_path), Worker(tmp_path)
    one.define(capped=ONE_BANNER | {"overall": [{"decisions": 1, "days": 1}]})
    committed = one.committed

    async def after_the_other(work: Any) -> Any:
        if not other.writing.execute("SELECT count(*) FROM decisions").fetchone()[0]:
            with transaction(other.writing):
                today = NOW.date() - date(1970, 1, 1)
                other.writing.execute("INSERT INTO campaign_days VALUES ('capped', ?, 1)", [today.days])
            one.committed = committed
        return await committed(work)

    one.committed = after_the_other
    assert one.decide().decision is None


def test_a_holdout_sees_nothing_is_on_record_and_stays_the_same(worker: Worker) -> None:
    worker.define(held=ONE_BANNER | {"holdout": 0.3})
    first = {f"user-{i}": worker.decide(f"user-{i}").decision for i in range(300)}
    held = {user for user, decision in first.items() if decision.experience is None}
    assert 60 < len(held) < 120
    assert all(decision.campaign == "held" and decision.propensity == 1 for decision in first.values())
    assert {user for user in first if worker.decide(user, hours=1).decision.experience is None} == held


def test_the_global_holdout_sees_no_campaign_and_both_sides_are_on_record(tmp_path: Path) -> None:
    worker = Worker(tmp_path, global_holdout=0.2)
    worker.define(one=ONE_BANNER)
    decisions = [worker.decide(f"user-{i}").decision for i in range(200)]
    held = [one for one in decisions if one.variants["global_holdout"] == "held_out"]
    assert 20 < len(held) < 60
    assert all((one.experience is None) == (one in held) for one in decisions)


def test_rules_take_the_first_experience_whose_condition_is_met(worker: Worker) -> None:
    experiences = {
        "big": {"content": {}, "when": "lifetime_value > 100"},
        "new": {"content": {}, "when": "purchases = 0"},
        "all": {"content": {}},
    }
    worker.define(ruled=ONE_BANNER | {"experiences": experiences})
    assert worker.decide(values={"lifetime_value": 500.0, "purchases": 9}).decision.experience == "big"
    plan = worker.decide(values={"lifetime_value": 0.0, "purchases": 0}, explain=True)
    assert plan.decision.experience == "new"
    assert {one.experience: one.reason for one in plan.passed_over} == {
        "big": "its condition is lifetime_value > 100",
        "all": "'new' comes first",
    }
    worker.define(ruled=ONE_BANNER | {"experiences": {"big": experiences["big"]}})
    assert reasons(worker) == {"ruled": "no condition of its experiences is met"}


def test_a_split_is_sticky_and_its_propensity_is_the_share(worker: Worker) -> None:
    experiences = {"a": {"content": {}, "share": 1}, "b": {"content": {}, "share": 3}}
    worker.define(split=ONE_BANNER | {"choice": "ab", "experiences": experiences})
    decisions = [worker.decide(f"user-{i}").decision for i in range(400)]
    counts = Counter(one.experience for one in decisions)
    assert chisquare([counts["a"], counts["b"]], [100, 300]).pvalue > 0.001
    assert {(one.experience, one.propensity) for one in decisions} == {("a", 0.25), ("b", 0.75)}
    again = [worker.decide(f"user-{i}", hours=50).decision.experience for i in range(400)]
    assert again == [one.experience for one in decisions]


def test_what_a_policy_draws_occurs_as_often_as_its_probabilities_say(worker: Worker) -> None:
    policy = {"choice": "epsilon_greedy", "policy": {"uniform_share": 0.4}, "experiences": TWO}
    worker.define(learned=ONE_BANNER | policy)
    plan = worker.decide()
    worker.tell(event("click", plan))
    decisions = [worker.decide(f"user-{i}").decision for i in range(500)]
    assert all(one.propensity == one.probabilities[one.experience] for one in decisions)
    assert decisions[0].probabilities == pytest.approx(
        {plan.decision.experience: 0.8, ({"a", "b"} - {plan.decision.experience}).pop(): 0.2}
    )
    counts = Counter(one.experience for one in decisions)
    expected = {name: sum(one.probabilities[name] for one in decisions) for name in "ab"}
    assert chisquare([counts["a"], counts["b"]], [expected["a"], expected["b"]]).pvalue > 0.001


def test_the_context_of_a_policy_is_on_record_and_what_is_unknown_is_nought(worker: Worker) -> None:
    context = ["visits", "context.device = 'mobile'", "attributes.age / 100"]
    worker.define(learned=ONE_BANNER | {"choice": "lin_ucb", "context": context, "experiences": TWO})
    values = {"visits": 3, "context.device": "mobile"}
    assert worker.decide(values=values).decision.context == {"visits": 3.0, context[1]: 1.0, context[2]: 0.0}
    with pytest.raises(InvalidInput, match="must be a number or true; it is 'many'"):
        worker.decide(values={"visits": "many"})


def test_a_campaign_of_one_variant_is_for_nobody_else(worker: Worker) -> None:
    worker.define(mine=ONE_BANNER, other=ONE_BANNER | {"priority": -1})
    worker.define(test_mine={"variants": {"without": {}, "with": {"campaigns": ["mine"]}}, "overrides": {"qa": "with"}})
    for i in range(40):
        decision = worker.decide(f"user-{i}").decision
        assert decision.campaign == {"with": "mine", "without": "other"}[decision.variants["test_mine"]]
    assert (worker.decide("qa").decision.campaign, worker.decide("qa").decision.variants) == ("mine", {})
    claimed = {"variants": {"x": {}, "y": {"campaigns": ["mine"]}}}
    with pytest.raises(InvalidInput, match="name it in one of them"):
        worker.define(test_again=claimed)


def test_items_that_cannot_be_shown_are_passed_over(worker: Worker) -> None:
    campaign = Campaign.of(ONE_BANNER | {"experiences": {"x": {"item": "x"}, "y": {"item": "y"}}}, "c")
    programme = Programme({"c": campaign}, {})
    rng = np.random.default_rng(0)
    who = Asked("ann", "home", {}, NOW, ("ann",))
    gone = {"x": "out of stock"}
    plan = programme.planned(who, worker.decisions, gone.get, "d1", rng)
    assert plan.decision.experience == "y"
    plan = programme.planned(who, worker.decisions, {"x": "hidden", "y": "expired"}.get, "d2", rng)
    assert [one.reason for one in plan.passed_over] == [
        "its item 'x' cannot be shown: hidden",
        "its item 'y' cannot be shown: expired",
        "none of its items can be shown",
    ]


def test_a_zone_without_campaigns_is_not_found(worker: Worker) -> None:
    worker.define(one=ONE_BANNER)
    with pytest.raises(NotFound, match=r"No campaign has the zone 'cart'\. Zones: home\."):
        worker.decide(zone="cart")


def test_the_example_file_holds_together(worker: Worker) -> None:
    given = CampaignFile.read(EXAMPLE)
    Programme(given.campaigns, given.experiments)
    with transaction(worker.writing):
        read_file(EXAMPLE, worker.writing, NOW)
    assert worker.decide(zone="home_banner", values={"purchases": 0}).decision.campaign == "welcome"


def test_what_a_file_no_longer_defines_is_withdrawn_and_the_api_s_stays(worker: Worker, tmp_path: Path) -> None:
    worker.define(by_api=ONE_BANNER)
    file = tmp_path / "campaigns.toml"
    for text, expected in (
        ('[campaigns.x]\nzone = "z"\n[campaigns.x.experiences.a]\nitem = "i"\n', {"by_api", "x"}),
        ("", {"by_api"}),
    ):
        file.write_text(text)
        with transaction(worker.writing):
            read_file(file, worker.writing, NOW)
        assert set(worker.decisions.programme.campaigns) == expected


def test_definitions_survive_as_text() -> None:
    for given in CampaignFile.read(EXAMPLE).campaigns.values():
        again = Campaign.of(json.loads(text_of(given)), "again")
        assert again == given
        assert version_of(again) == given.version
    assert Experiment.of({"variants": {"b": {}, "a": {"campaigns": ["x"]}}}, "x").variants.keys() == {"b", "a"}


MAIL = {
    "zone": "email",
    "choice": "fixed",
    "policy": {"shares": {"weekly": 1.0}},
    "experiences": {"weekly": {"interval_days": 7}},
    "cadence": {"quiet_hours": ["21:00", "08:00"], "most_per_week": 1},
    "goal": {"reward": "open"},
}


def test_a_cadence_may_know_all_that_other_campaigns_may(worker: Worker) -> None:
    segments = Segments.of_expressions({"newcomers": "visits = 0"})
    values = Values(Profile.empty(), {"mobile": True}, NOW, segments, History.empty())
    context = ["segment.newcomers", "context.mobile", "context.engagement_tolerance_0"]
    worker.define(news=MAIL | {"choice": "linear_thompson", "policy": {}, "context": context})
    decided = worker.decide(zone="email", values=values).decision.context
    assert decided == pytest.approx(dict(zip(context, (1.0, 1.0, 0.2), strict=True)))


def test_messages_wait_for_their_interval_and_one_decision_holds_until_it_is_sent(worker: Worker) -> None:
    worker.define(news=MAIL)
    first = worker.decide(zone="email")
    assert first.send_at == NOW
    again = worker.decide(zone="email", hours=1)
    assert again.on_record
    assert again.decision.decision_id == first.decision.decision_id
    worker.tell(event("email_sent", first, 2), fold=False)
    second = worker.decide(zone="email", hours=3)
    assert second.decision.decision_id != first.decision.decision_id
    assert second.send_at == NOW + timedelta(days=7, hours=2)
    late = worker.decide(zone="email", hours=7 * 24 + 12)  # midnight: it waits until 8
    assert late.send_at == datetime(2026, 3, 10, 8, tzinfo=UTC)
