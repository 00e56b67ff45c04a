from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InvalidInput
from serving.ingestion import MAX_EVENTS, Delivery, delivery

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
VIEW: dict[str, Any] = {"event_type": "view", "user_id": "ann", "item_id": "tea"}
THEN = "2026-01-31T11:00:00Z"


def delivered(body: object) -> Delivery:
    numbers = count(1)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return delivery(raw, NOW, lambda: f"new-{next(numbers)}")


def test_one_event_comes_as_an_object_and_several_as_an_array_or_under_events() -> None:
    assert [event.item_id for event in delivered(VIEW).events] == ["tea"]
    assert delivered(VIEW).single
    for body in ([VIEW, VIEW], {"events": [VIEW, VIEW]}):
        assert len(delivered(body).events) == 2
        assert not delivered(body).single


def test_what_has_no_time_happened_now_and_is_a_new_event_each_time() -> None:
    first, second = delivered([VIEW, VIEW]).events
    assert first.timestamp == second.timestamp == NOW
    assert (first.event_id, second.event_id) == ("new-1", "new-2")
    assert delivered(VIEW | {"event_id": "mine"}).events[0].event_id == "mine"


def test_an_event_with_a_time_is_named_by_what_it_says() -> None:
    event = VIEW | {"timestamp": THEN}
    again, other = event | {"value": None}, event | {"item_id": "milk"}
    ids = [delivered(one).events[0].event_id for one in (event, again, other)]
    assert ids[0] == ids[1] != ids[2]
    assert len(ids[0]) == 32


def test_equal_events_of_a_request_are_different_ones_and_the_request_again_repeats_them() -> None:
    twice = [VIEW | {"timestamp": THEN}] * 2
    first, second = delivered(twice).events
    assert second.event_id == f"{first.event_id}-2"
    assert delivered(twice).events == delivered(twice).events


def test_the_good_ones_of_a_batch_are_kept_and_the_bad_ones_named() -> None:
    bad = [
        (VIEW | {"price": 3}, "price", "is not known"),
        ({"user_id": "ann"}, "event_type", "is required"),
        (VIEW | {"timestamp": "2026-01-31T13:00:01Z"}, "timestamp", "must not be more than 1 hour in the future"),
        (VIEW | {"timestamp": "2026-01-31 10:00"}, "timestamp", "must end with its offset"),
        (VIEW | {"quantity": "2"}, "quantity", "must be a number"),
        (VIEW | {"event_id": ""}, "event_id", "must be text of 1 to 128 bytes"),
        (VIEW | {"context": {"device": ["phone"]}}, "context", "must be an object of at most 32 names"),
        ("view", "", "must be an object"),
        (None, "", "must be an object"),
    ]
    given = delivered([VIEW, *(record for record, _, _ in bad), VIEW])
    assert len(given.events) == 2
    assert [index for index, _ in given.rejected] == list(range(1, len(bad) + 1))
    for (_, error), (_, field, reason) in zip(given.rejected, bad, strict=True):
        assert error.field == field
        assert error.reason.startswith(reason)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "not valid JSON"),
        (b'"view"', "must be an event, an array of events"),
        (b"3", "must be an event, an array of events"),
        (b'{"events": {}}', "nothing but that, an array"),
        (b'{"events": [], "user_id": "ann"}', "nothing but that, an array"),
        (json.dumps([VIEW] * (MAX_EVENTS + 1)).encode(), "brings 1,001 events; 1,000 are allowed"),
    ],
)
def test_a_body_that_is_not_events_is_refused_as_a_whole(body: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        delivered(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=5))
def test_every_event_is_either_taken_or_named(records: list[Any]) -> None:
    given = delivered(records)
    assert len(given.events) + len(given.rejected) == len(records)
