"""What is held out, for whom, and what counts as new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from evaluation.splits import held_out, start_of_last_days
from features.errors import InvalidInput
from features.interactions import COLUMNS, History, Interactions

PURCHASE, VIEW = 3, 0
START = datetime(2024, 3, 1, tzinfo=UTC)


def interactions(*users: list[tuple[int, int] | tuple[int, int, float] | tuple[int, int, float, int]]) -> Interactions:
    """Rows of (day relative to START, item, quantity = 1, event type = purchase) for each user."""
    rows = [(*row, *(1, PURCHASE)[len(row) - 2 :]) for user in users for row in user]
    day, item, quantity, event_type = np.array(rows, float).reshape(-1, 4).T
    n = len(rows)
    arrays = {
        "item": item,
        "event_type": event_type,
        "timestamp_s": START.timestamp() + day * 86_400,
        "quantity": quantity,
        "value": np.zeros(n),
        "session": np.zeros(n),
    }
    indptr = np.concatenate([[0], np.cumsum([len(user) for user in users])])
    return Interactions(indptr, History(**{name: arrays[name].astype(dtype) for name, dtype in COLUMNS.items()}))


def test_days_are_counted_back_from_the_midnight_of_the_last_event() -> None:
    last = datetime(2018, 1, 1, 4, 1, tzinfo=UTC)
    assert start_of_last_days(last, 28) == datetime(2017, 12, 4, tzinfo=UTC)
    in_new_york = last.astimezone(timezone(timedelta(hours=-5)))
    assert start_of_last_days(in_new_york, 28) == datetime(2017, 12, 4, tzinfo=UTC)


def test_what_was_bought_before_is_not_new() -> None:
    split = held_out(interactions([(-2, 4), (1, 4), (2, 5)], [(-1, 0), (3, 0)]), 6, START, PURCHASE)
    assert split.all.users.tolist() == [0, 1]
    assert split.all.relevant.toarray().tolist() == [[0, 0, 0, 0, 1, 1], [1, 0, 0, 0, 0, 0]]
    assert split.new.users.tolist() == [0]
    assert split.new.relevant.toarray().tolist() == [[0, 0, 0, 0, 0, 1]]


def test_the_first_moment_of_the_period_is_held_out() -> None:
    split = held_out(interactions([(-1, 1), (0, 2)]), 3, START, PURCHASE)
    assert split.all.relevant.indices.tolist() == [2]


def test_an_item_bought_twice_is_relevant_once() -> None:
    split = held_out(interactions([(-1, 1), (1, 2), (2, 2)]), 3, START, PURCHASE)
    assert split.all.relevant.data.tolist() == [1]


def test_users_without_an_earlier_purchase_are_left_out() -> None:
    new_user, viewer = [(1, 2)], [(-1, 2, 1, VIEW), (1, 2)]
    split = held_out(interactions(new_user, viewer, [(-1, 1), (1, 2)]), 3, START, PURCHASE)
    assert split.all.users.tolist() == [2]


def test_returns_and_views_are_not_purchases() -> None:
    split = held_out(interactions([(-1, 0), (1, 1, -1), (1, 2, 1, VIEW), (1, 3)]), 4, START, PURCHASE)
    assert split.all.relevant.indices.tolist() == [3]


def test_nothing_to_test_on_says_what_to_do() -> None:
    with pytest.raises(InvalidInput, match="--holdout-days"):
        held_out(interactions([(-1, 0)], [(1, 0)]), 1, START, PURCHASE)
