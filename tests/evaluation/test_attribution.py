"""What is credited to which decision, with numbers to check by hand."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.attribution import DECISIONS, OUTCOMES, Goal, earned
from features.errors import InvalidInput

HOUR = 3_600_000_000


def decisions(*rows: tuple[str, str, float, float | None]) -> pl.DataFrame:
    """Return decisions of id, user, hour seen and hour clicked on."""
    micro = [(name, user, int(seen * HOUR), None if at is None else int(at * HOUR)) for name, user, seen, at in rows]
    return pl.DataFrame(micro, DECISIONS, orient="row")


def outcomes(*rows: tuple[str, str, float, float | None, str | None]) -> pl.DataFrame:
    """Return events of type, user, hour, value and decision."""
    return pl.DataFrame(
        [(f"e{i}", user, int(hour * HOUR), kind, value, of) for i, (kind, user, hour, value, of) in enumerate(rows)],
        OUTCOMES,
        orient="row",
    )


def rewards(these: pl.DataFrame, came: pl.DataFrame, **goal: Any) -> list[float]:
    return earned(these, came, Goal.of(goal, "test"))["reward"].to_list()


SEEN = decisions(("d1", "ann", 0, None), ("d2", "ann", 10, 12), ("d3", "bob", 5, None))


def test_a_click_is_worth_one_to_the_decision_it_names_and_nothing_to_others() -> None:
    came = outcomes(("click", "ann", 1, None, "d1"), ("click", "ann", 2, None, "d1"), ("click", "bob", 6, None, None))
    assert rewards(SEEN, came) == [1, 0, 0]


def test_a_purchase_goes_to_the_latest_decision_at_or_before_it_within_the_window() -> None:
    came = outcomes(
        ("purchase", "ann", 9.9, 10.0, None),  # d1
        ("purchase", "ann", 10, 20.0, None),  # d2, at the very moment
        ("purchase", "ann", 34, 5.0, None),  # d2, at the end of a day
        ("purchase", "ann", 34.1, 7.0, None),  # too late
        ("purchase", "bob", 4.9, 9.0, None),  # too early
        ("purchase", "eve", 6, 8.0, None),  # never shown anything
    )
    assert rewards(SEEN, came, reward="revenue", window_days=1) == [10, 25, 0]
    assert rewards(SEEN, came, reward="conversion", window_days=1) == [1, 1, 0]


def test_after_a_click_only_what_was_clicked_on_earns() -> None:
    came = outcomes(("purchase", "ann", 11, 10.0, None), ("purchase", "ann", 13, 20.0, None))
    assert rewards(SEEN, came, reward="revenue", window_days=1, after="click") == [0, 20, 0]


def test_a_purchase_that_names_a_decision_goes_there_whoever_came_later() -> None:
    came = outcomes(("purchase", "ann", 11, 10.0, "d1"), ("purchase", "ann", 11, 3.0, "another campaign's"))
    assert rewards(SEEN, came, reward="revenue", window_days=1) == [10, 3, 0]


def test_what_is_given_back_is_taken_off_and_no_value_is_no_money() -> None:
    came = outcomes(
        ("purchase", "bob", 6, 10.0, None), ("purchase", "bob", 7, -4.0, None), ("purchase", "bob", 8, None, None)
    )
    assert rewards(SEEN, came, reward="revenue") == [0, 0, 6]


def test_nothing_seen_or_nothing_done_is_nothing() -> None:
    assert rewards(SEEN, outcomes()) == [0, 0, 0]
    assert rewards(DECISIONS.to_frame(), outcomes(("click", "ann", 1, None, "d1"))) == []


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        ({"window_days": 0}, "greater than 0"),
        ({"window_days": -1}, "greater than 0"),
        ({"window_days": float("inf")}, "finite"),
        ({"window_days": 1000}, "less than or equal to 365"),
        ({"reward": "profit"}, "click"),
        ({"after": "click"}, "said of purchases"),
        ({"unsubscribe_cost": 3}, "goes with the reward 'open'"),
        ({"reward": "open", "unsubscribe_cost": -1}, "greater than or equal to 0"),
        ({"windows_days": 3}, "Extra inputs"),
    ],
)
def test_a_goal_that_makes_no_sense_is_refused(goal: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Goal.of(goal, "goal")


hours = st.integers(0, 30)
users = st.sampled_from(["ann", "bob"])


@given(
    st.lists(st.tuples(users, hours, st.none() | st.integers(0, 10)), max_size=8),
    st.lists(st.tuples(users, hours, st.none() | st.integers(0, 7)), max_size=8),
    st.sampled_from(["click", "conversion", "revenue"]),
    st.sampled_from(["exposure", "click"]),
)
@settings(max_examples=60, deadline=None)
def test_it_is_what_going_through_every_pair_gives(
    seen: list[tuple[str, int, int | None]], bought: list[tuple[str, int, int | None]], reward: str, after: str
) -> None:
    goal = Goal(reward=reward, window_days=0.5, after=after if reward != "click" else "exposure")
    shown = [(f"d{i}", user, at, None if wait is None else at + wait) for i, (user, at, wait) in enumerate(seen)]
    kind = "click" if reward == "click" else "purchase"
    came = [(kind, user, at + 0.5, 2.0, None if of is None else f"d{of}") for user, at, of in bought]
    expected = [0.0] * len(shown)
    for _, user, at, value, of in came:
        known = {row[0] for row in shown}
        found = None
        for place, (name, owner, exposed, clicked) in enumerate(shown):
            touch = exposed if goal.after == "exposure" else clicked
            if touch is None or (name != of if of in known else owner != user or kind == "click"):
                continue
            if touch <= at and (found is None or (touch, place) > found[:2]):
                found = (touch, place)
        if found is not None and at - found[0] <= 12:
            expected[found[1]] = expected[found[1]] + value if reward == "revenue" else 1.0
    assert earned(decisions(*shown), outcomes(*came), goal)["reward"].to_list() == expected
