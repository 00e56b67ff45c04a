"""What came of decisions: once, whatever the order, and the same when it is made anew."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from features.events import Event
from features.layout import Layout
from serving.decision_fold import rebuild
from tests.serving.deciding import NOW, Worker, event

POLICY = {
    "zone": "home",
    "choice": "linear_thompson",
    "experiences": {"a": {"content": {}}, "b": {"content": {}}},
    "context": ["context.mobile"],
}
SALES = POLICY | {"goal": {"reward": "revenue", "window_days": 1}}


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


def test_a_decision_counts_once_it_is_seen_and_earns_when_it_is_clicked_on(worker: Worker) -> None:
    worker.define(offer=POLICY)
    plan = worker.decide(values={"context.mobile": True})
    arm = plan.decision.experience
    worker.fold()
    assert worker.rewards() == {}

    worker.tell(event("impression", plan))
    assert worker.evidence("offer") == {arm: (1.0, 0.0)}
    worker.tell(event("click", plan, 1))
    assert worker.evidence("offer") == {arm: (1.0, 1.0)}
    known = worker.decisions._fold.evidence()["offer", worker.decisions.programme.campaigns["offer"].evidence_key]
    assert known.arms[arm].gram.tolist() == [[1, 1], [1, 1]]
    assert known.arms[arm].moment.tolist() == [1, 1]


def test_a_second_click_or_the_same_one_again_earns_nothing_more(worker: Worker) -> None:
    worker.define(offer=POLICY)
    plan = worker.decide()
    worker.tell(event("click", plan, 1), event("click", plan, 2))
    worker.tell(event("click", plan, 1))
    worker.fold()
    assert worker.evidence("offer") == {plan.decision.experience: (1.0, 1.0)}


def test_a_click_after_the_window_earns_nothing(worker: Worker) -> None:
    worker.define(offer=POLICY | {"goal": {"window_days": 0.5}})
    plan = worker.decide()
    worker.tell(event("impression", plan), event("click", plan, 12.5))
    assert worker.rewards() == {plan.decision.decision_id: 0.0}


def test_purchases_are_credited_to_the_latest_decision_seen_within_the_window(worker: Worker) -> None:
    worker.define(offer=SALES)
    first, second = worker.decide(), worker.decide(hours=2)
    worker.tell(event("impression", first), event("impression", second, 2))
    worker.tell(event("purchase", None, 1, value=10.0), event("purchase", None, 3, value=5.0))
    worker.tell(event("purchase", None, 4, value=-2.0), event("purchase", None, 40, value=100.0))
    assert worker.rewards() == {first.decision.decision_id: 10.0, second.decision.decision_id: 3.0}


def test_a_purchase_that_names_its_decision_is_credited_to_it(worker: Worker) -> None:
    worker.define(offer=SALES)
    first, second = worker.decide(), worker.decide(hours=2)
    worker.tell(event("impression", first), event("impression", second, 2), event("purchase", first, 3, value=7.0))
    assert worker.rewards() == {first.decision.decision_id: 7.0, second.decision.decision_id: 0.0}


def test_a_click_that_names_a_decision_counts_whatever_the_id_it_was_done_under(worker: Worker) -> None:
    worker.define(offer=POLICY)
    plan = worker.decide()
    worker.tell(Event("c1", "click", "a cookie", NOW, decision_id=plan.decision.decision_id))
    assert worker.rewards() == {plan.decision.decision_id: 1.0}


def test_the_order_in_which_events_arrive_changes_nothing(tmp_path: Path) -> None:
    outcomes = []
    for number, order in enumerate(itertools.permutations(range(4))):
        if number % 5:
            continue  # five of the 24 orders
        worker = Worker(tmp_path / str(number))
        worker.define(offer=SALES)
        first, second = worker.decide(), worker.decide(hours=2)
        events = [
            event("impression", first),
            event("impression", second, 2),
            event("purchase", None, 1, value=10.0),
            event("purchase", None, 3, value=5.0),
        ]
        for place in order:
            worker.tell(events[place])
        outcomes.append((worker.rewards(), worker.evidence("offer")))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert list(outcomes[0][0].values()) == [10.0, 5.0]


def test_several_workers_and_a_restart_count_every_event_once(tmp_path: Path) -> None:
    workers = [Worker(tmp_path, seed) for seed in range(3)]
    workers[0].define(offer=POLICY)
    plans = [workers[i % 3].decide(f"user-{i}") for i in range(30)]
    for i, plan in enumerate(plans):
        workers[i % 3].tell(event("impression", plan), fold=False)
    for worker in workers:
        worker.fold()
    for i, plan in enumerate(plans[::3]):
        workers[i % 3].tell(event("click", plan, 1))
    again = Worker(tmp_path)
    again.fold()
    counts = again.evidence("offer").values()
    assert sum(count for count, _ in counts) == 30
    assert sum(total for _, total in counts) == 10


def test_a_rebuild_gives_what_the_live_fold_has_from_the_history_too(worker: Worker, tmp_path: Path) -> None:
    worker.define(offer=SALES, other=POLICY | {"zone": "cart"})
    for hours in range(0, 60, 6):
        plan, other = worker.decide(hours=hours), worker.decide(zone="cart", hours=hours)
        worker.tell(event("impression", plan, hours), event("purchase", None, hours + 1, value=3.5))
        worker.tell(event("click", other, hours + 0.5))
    live = worker.rewards(), worker.evidence("offer"), worker.evidence("other")
    worker.log.archive(datetime(2026, 3, 3, tzinfo=UTC))
    rebuild(Layout(tmp_path))
    assert (worker.rewards(), worker.evidence("offer"), worker.evidence("other")) == live
    worker.fold()
    worker.tell(event("impression", worker.decide(hours=70), 70))
    assert len(worker.rewards()) == len(live[0]) + 1


def test_another_goal_or_context_is_learned_anew_and_the_old_rewards_stay(worker: Worker) -> None:
    worker.define(offer=POLICY)
    plan = worker.decide()
    worker.define(offer=POLICY | {"context": []})
    worker.tell(event("click", plan, 1))
    new = worker.decide(hours=1)
    worker.tell(event("impression", new, 1))
    kept = worker.decisions._fold.evidence()
    assert len(kept) == 2
    assert worker.rewards() == {plan.decision.decision_id: 1.0, new.decision.decision_id: 0.0}


def test_an_arm_that_comes_later_joins_what_is_known_and_one_that_goes_leaves_it(worker: Worker) -> None:
    worker.define(offer=POLICY)
    plan = worker.decide()
    worker.tell(event("click", plan, 1))
    three = POLICY | {"experiences": {"a": {"content": {}}, "c": {"content": {}}}}
    worker.define(offer=three)
    assert worker.evidence("offer") == {plan.decision.experience: (1.0, 1.0)}
    assert set(worker.decide(hours=1).decision.probabilities) == {"a", "c"}


def test_events_that_name_no_decision_of_ours_do_no_harm(worker: Worker) -> None:
    worker.define(offer=POLICY)
    worker.tell(
        event("click", None, 0, ranking_id="r1"),
        event("purchase", None, 1, value=3.0),
        event("impression", None, 2, user_id="nobody"),
    )
    assert worker.rewards() == {}
    assert not worker.decisions._fold.evidence()


def test_an_open_less_the_cost_of_losing_the_subscriber(worker: Worker) -> None:
    goal = {"reward": "open", "unsubscribe_cost": 10, "window_days": 3}
    worker.define(mail=POLICY | {"goal": goal})
    plan, lost = worker.decide("ann"), worker.decide("bob")
    for one in (plan, lost):
        worker.tell(event("email_sent", one), event("email_open", one, 1), event("email_open", one, 2))
    worker.tell(event("unsubscribe", None, 3, user_id="bob"))
    assert worker.rewards() == {plan.decision.decision_id: 1.0, lost.decision.decision_id: -9.0}


def test_now_is_a_monday() -> None:
    assert NOW.weekday() == 0


def test_what_a_person_buys_under_another_id_is_learned_from(worker: Worker, tmp_path: Path) -> None:
    worker.define(offer=SALES)
    plan = worker.decide("cookie-1")
    worker.tell(event("impression", plan), Event("i1", "identify", "cookie-1", NOW, same_as="ann"))
    worker.tell(event("purchase", None, 1, user_id="ann", value=7.0))
    assert list(worker.rewards().values()) == [7.0]
    rebuild(Layout(tmp_path))
    assert list(worker.rewards().values()) == [7.0]


def test_a_link_that_comes_late_moves_what_was_earned_and_taking_it_back_undoes_that(
    worker: Worker, tmp_path: Path
) -> None:
    worker.define(offer=SALES)
    first, second = worker.decide("cookie-1"), worker.decide("ann", hours=1)
    worker.tell(event("impression", first), event("impression", second, 1))
    worker.tell(event("purchase", None, 0.5, user_id="ann", value=5.0), event("purchase", None, 2, "ann", value=7.0))
    assert list(worker.rewards().values()) == [0.0, 7.0]
    worker.tell(Event("i1", "identify", "cookie-1", NOW, same_as="ann"))
    assert list(worker.rewards().values()) == [5.0, 7.0]
    rebuild(Layout(tmp_path))
    assert list(worker.rewards().values()) == [5.0, 7.0]
    worker.tell(Event("i2", "unidentify", "cookie-1", NOW + timedelta(hours=1), same_as="ann"))
    assert list(worker.rewards().values()) == [0.0, 7.0]
