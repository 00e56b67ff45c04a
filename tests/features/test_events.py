"""One live event: what is accepted, and what is said of the rest."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from features.events import MAX_AHEAD, Event, InvalidEvent, parse

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
GOOD = {"event_id": "e1", "event_type": "purchase", "user_id": "u1", "timestamp": "2026-11-21T10:00:00Z"}


def test_a_full_record_becomes_an_event():
    record = GOOD | {
        "item_id": "i1",
        "quantity": 2,
        "value": 9.98,
        "session_id": "s1",
        "ranking_id": "r1",
        "context": {"channel": "web", "age": 3, "new": True},
    }
    assert parse(record, NOW) == Event(
        event_id="e1",
        event_type="purchase",
        user_id="u1",
        timestamp=datetime(2026, 11, 21, 10, tzinfo=UTC),
        item_id="i1",
        quantity=2.0,
        value=9.98,
        session_id="s1",
        ranking_id="r1",
        context={"age": 3.0, "channel": "web", "new": True},
    )


def test_what_is_left_out_or_null_takes_its_default():
    event = parse(GOOD | {"item_id": None, "quantity": None, "context": None}, NOW)
    assert (event.item_id, event.quantity, event.value, event.context) == (None, 1.0, None, {})


def test_a_return_is_an_event_of_negative_quantity():
    event = parse(GOOD | {"quantity": -2, "value": -9.98}, NOW)
    assert (event.quantity, event.value) == (-2.0, -9.98)


def test_an_offset_is_turned_into_utc():
    event = parse(GOOD | {"timestamp": "2026-11-21 11:30:00.1234567+01:00"}, NOW)
    assert event.timestamp == datetime(2026, 11, 21, 10, 30, 0, 123456, tzinfo=UTC)
    assert event.timestamp.tzinfo is UTC


def test_a_shop_may_have_event_types_of_its_own():
    assert parse(GOOD | {"event_type": "size_guide_2"}, NOW).event_type == "size_guide_2"


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("user_id", 5),
        ("user_id", ""),
        ("user_id", "x" * 129),
        ("user_id", "é" * 65),  # 130 bytes
        ("user_id", "a\x00b"),
        ("user_id", "a\nb"),
        ("user_id", "a\x85b"),
        ("user_id", "\ud800"),
        ("user_id", None),
        ("event_id", None),
        ("event_type", "Purchase"),
        ("event_type", "2nd"),
        ("event_type", "purchase\n"),
        ("timestamp", "2026-11-21T10:00:00"),
        ("timestamp", "2026-02-30T10:00:00Z"),
        ("timestamp", "2026-11-21T24:00:00Z"),
        ("timestamp", "yesterday"),
        ("timestamp", 1_790_000_000),
        ("timestamp", "1969-12-31T23:59:59Z"),
        ("timestamp", "9999-12-31T23:59:59-23:59"),
        ("quantity", float("nan")),
        ("quantity", float("inf")),
        ("quantity", 10**400),
        ("quantity", "2"),
        ("quantity", True),
        ("value", 1e13),
        ("context", []),
        ("context", {"A": 1}),
        ("context", {"a": None}),
        ("context", {"a": [1]}),
        ("context", {"a": "x" * 1025}),
        ("context", {f"a{i}": 1 for i in range(33)}),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_field(field: str, given: Any):
    with pytest.raises(InvalidEvent) as caught:
        parse(GOOD | {field: given}, NOW)
    assert caught.value.field == field
    assert caught.value.reason in str(caught.value)
    assert caught.value.status == 400


def test_an_unknown_field_is_refused_and_the_known_ones_are_named():
    with pytest.raises(InvalidEvent, match=r"user is not known; allowed are event_id, .*given 'u1'"):
        parse(GOOD | {"user": "u1"}, NOW)


def test_what_is_no_object_is_refused():
    with pytest.raises(InvalidEvent, match="event must be an object"):
        parse(["e1"], NOW)  # type: ignore[arg-type]


def test_clocks_may_differ_by_an_hour_and_no_more():
    parse(GOOD | {"timestamp": (NOW + MAX_AHEAD).isoformat()}, NOW)
    with pytest.raises(InvalidEvent, match="not be more than 1 hour in the future"):
        parse(GOOD | {"timestamp": (NOW + MAX_AHEAD + timedelta(microseconds=1)).isoformat()}, NOW)


def test_a_long_value_is_not_repeated_in_full():
    with pytest.raises(InvalidEvent) as caught:
        parse(GOOD | {"user_id": "x" * 10_000}, NOW)
    assert len(str(caught.value)) < 250
