"""A profile is a sum: the laws that make it one, and what it says of small histories worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import profile_arrays
from features.counters import FIRST_NAME, OTHER_TYPES
from features.errors import Corrupt
from features.events import STANDARD_EVENT_TYPES, Event
from features.profile_store import MemoryNumbers
from features.profiles import Profile, Texts, folded

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NUMBERS = MemoryNumbers()
for item in "abcdef":
    NUMBERS.item(item)  # numbered in advance: they stand for ids that are known already

contexts = st.fixed_dictionaries(
    {},
    optional={
        "device": st.sampled_from(["mobile", "desktop"]),
        "campaign": st.integers(0, 300).map(str),
        "query": st.text("xyz", min_size=1, max_size=3),
        "persona": st.sampled_from(["lawyer", 1.0, True]),
        "account_id": st.sampled_from(["acme", "globex"]),
        "local_time": st.sampled_from(["2026-11-20T23:59", "not a time"]),
    },
)
events = st.builds(
    Event,
    event_id=st.uuids().map(str),
    event_type=st.sampled_from([*STANDARD_EVENT_TYPES, "quiz_taken"]),
    user_id=st.just("u"),
    timestamp=st.integers(0, 40).map(lambda hours: NOW - timedelta(hours=7 * hours)),
    item_id=st.none() | st.sampled_from("abcdef"),
    quantity=st.sampled_from([1.0, 2.0, -1.0, 0.5, 0.0]),
    value=st.none() | st.sampled_from([9.99, -9.99, 0.0001, 1e9]),
    session_id=st.none() | st.integers(0, 200).map(str),
    context=contexts,
)
logs = st.lists(events, max_size=25)


def of(log: list[Event]) -> Profile:
    """Return the profile of ``log``, folded at once."""
    return folded(log, NUMBERS).get("u", Profile.empty())


def event(event_type: str, days_ago: float = 0.0, item_id: str | None = None, **rest) -> Event:
    name = f"{event_type} {days_ago} {item_id} {rest}"
    return Event(name, event_type, "u", NOW - timedelta(days=days_ago), item_id, **rest)


@given(a=logs, b=logs, c=logs)
@settings(max_examples=60, deadline=None)
def test_adding_is_associative_and_commutative_and_nothing_added_changes_nothing(a, b, c):
    x, y, z = of(a), of(b), of(c)
    assert ((x + y) + z).to_bytes() == (x + (y + z)).to_bytes()
    assert (x + y).to_bytes() == (y + x).to_bytes()
    assert (x + Profile.empty()).to_bytes() == (Profile.empty() + x).to_bytes() == x.to_bytes()


@given(log=st.lists(events, max_size=60), data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_order_and_the_grouping_of_events_change_not_a_byte(log, data):
    at_once = of(log)
    one_by_one = Profile.total(Profile.of(one, NUMBERS) for one in data.draw(st.permutations(log)))
    assert one_by_one.to_bytes() == at_once.to_bytes()


@given(log=logs)
@settings(max_examples=60, deadline=None)
def test_a_profile_comes_back_from_its_bytes(log):
    profile = of(log)
    again = Profile.from_bytes(profile.to_bytes())
    for part in ("span", "counts", "sessions", "interactions"):
        np.testing.assert_array_equal(getattr(again, part), getattr(profile, part))
    assert again.texts == profile.texts
    assert dict(again.values(NOW)) == dict(profile.values(NOW))


@given(a=logs, b=logs, n=st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_what_is_cut_to_the_last_interactions_and_added_is_the_sum_cut(a, b, n):
    whole = (of(a) + of(b)).last(n)
    assert (of(a).last(n) + of(b).last(n)).last(n).to_bytes() == whole.to_bytes()
    assert len(whole.interactions) <= n


def test_beyond_so_many_visits_and_names_the_order_still_changes_nothing():
    log = [
        event("view", k / 10, session_id=f"s{k}", context={"campaign": f"c{k % 150}"})
        for k in range(4 * profile_arrays.SESSIONS)
    ]
    rng = np.random.default_rng(0)
    shuffled = [log[at] for at in rng.permutation(len(log))]
    halves = of(shuffled[:100]) + of(shuffled[100:])
    assert halves.to_bytes() == of(log).to_bytes()
    assert len(halves.sessions) == profile_arrays.SESSIONS
    assert (halves.counts[:, 0] >= FIRST_NAME).sum() == profile_arrays.NAMES
    assert halves.visits == pytest.approx(512, rel=0.3)  # three standard errors of 9 %


def test_what_a_small_history_comes_to():
    values = of(
        [
            event("view", 10, "a", session_id="s1"),
            event("view", 10 - 1 / 24, session_id="s1"),
            event("search", 3, session_id="s2", context={"query": "black lamp"}),
            event("add_to_cart", 3, "a", session_id="s2", quantity=2.0, value=40.0),
            event("add_to_cart", 3, "b", session_id="s2", value=5.0),
            event("purchase", 2, "b", session_id="s3", value=5.0),
            event("purchase", 1, "b", session_id="s4", quantity=-1.0, value=-5.0),
            event("remove_from_cart", 1, "a", session_id="s4"),
            event("email_sent", 0.5),
            event("email_open", 0.25),
        ]
    ).values(NOW)
    assert values["visits"] == 4
    assert values["visits_7d"] == 3
    assert values["visits_1d"] == 1
    assert values["active_minutes"] == 60
    assert (values["page_views"], values["item_views"]) == (2, 1)
    assert (values["purchases"], values["returns"], values["pieces_bought"]) == (1, 1, 0)
    assert values["lifetime_value"] == 0
    assert (values["cart_items"], values["cart_value"]) == (1, 20.0)
    assert values["days_since_first_seen"] == 10
    assert values["days_since_last_seen"] == 1  # an e-mail that the shop sends is no visit
    assert values["days_since_purchase"] == 2
    assert (values["emails_sent"], values["emails_opened"], values["emails_clicked"]) == (1, 1, 0)
    assert values["last_search"] == "black lamp"


def test_what_is_taken_out_of_an_empty_cart_leaves_it_empty():
    values = of([event("add_to_cart", 2, "a", quantity=0.0), event("remove_from_cart", 1, "a", quantity=-1.0)]).values(
        NOW
    )
    assert (values["cart_items"], values["cart_value"]) == (0, 0.0)


def test_money_is_added_exactly():
    log = [event("purchase", k, "a", value=0.1) for k in range(10)]
    assert of(log).values(NOW)["lifetime_value"] == 1.0  # ten times 0.1 as floats is 0.9999999999999999


def test_the_latest_attribute_holds_however_late_it_arrives():
    new = event("identify", 1, context={"persona": "lawyer", "device": "mobile"})
    old = event("identify", 2, context={"persona": "student", "country_of_birth": "FR"})
    assert of([new, old]).attributes == of([old, new]).attributes == {"persona": "lawyer", "country_of_birth": "FR"}


def test_the_hours_are_those_where_the_visitor_is():
    assert of([event("view", context={"local_time": "2026-11-22T23:30"})]).hours()[23] == 1
    assert of([event("view", context={"local_time": "2026-11-22T23:30"})]).weekdays() == [0, 0, 0, 0, 0, 0, 1]
    assert of([event("view")]).hours()[12] == 1


def test_events_without_a_session_are_one_visit_a_day():
    assert of([event("view", 0), event("view", 0.25), event("view", 3)]).values(NOW)["visits"] == 2


def test_a_history_leaves_out_items_that_the_bundle_does_not_know_and_types_of_the_shops_own():
    log = [
        event("view", 3, "a", session_id="s"),
        event("quiz_taken", 2, "a"),
        event("view", 1, "b"),
        event("impression", 0.5, "a"),
        event("purchase", 0, "c", quantity=2.0, value=9.99),
    ]
    index = np.full(10, -1, np.int32)
    index[NUMBERS.item("a")], index[NUMBERS.item("c")] = 7, 3
    history = of(log).history(index)
    assert history.item.tolist() == [7, 3]
    assert [STANDARD_EVENT_TYPES[code] for code in history.event_type] == ["view", "purchase"]
    assert history.timestamp_s.tolist() == [int((NOW - timedelta(days=3)).timestamp()), int(NOW.timestamp())]
    assert history.quantity.tolist() == [1, 2]
    assert history.value[1] == np.float32(9.99)
    assert history.session[0] > 0
    assert history.session[1] == -1

    codes = np.full(OTHER_TYPES + 1, 255, np.uint8)
    codes[NUMBERS.event_type("quiz_taken")] = 21
    assert of(log).history(index, codes).event_type.tolist() == [21]


def test_sources_and_devices_are_counted_by_name():
    log = [event("view", k, context={"device": "mobile" if k else "desktop", "source": "ads"}) for k in range(3)]
    profile = of(log)
    names = {number: name for name, number in NUMBERS.names.items()}
    assert profile.names(names.__getitem__) == {"source": {"ads": 3}, "device": {"mobile": 2, "desktop": 1}}


def test_fifty_interactions_take_less_than_700_bytes():
    rng = np.random.default_rng(0)
    numbers = MemoryNumbers()
    for item in range(100_000):
        numbers.item(str(item))
    context = {"device": "mobile", "browser": "safari", "source": "ads", "country": "DE", "page_type": "product"}
    log = [
        event(kind, k / 3, str(rng.integers(100_000)), session_id=f"s{k // 4}", context=context, value=9.99)
        for k, kind in enumerate(rng.choice(["view", "add_to_cart", "purchase"], size=50))
    ]
    assert len(folded(log, numbers)["u"].to_bytes()) < 700


def test_a_profile_of_a_newer_format_is_refused():
    with pytest.raises(Corrupt, match="format 9"):
        Profile.from_bytes(b"\x09")


def test_only_the_first_names_of_attributes_are_kept():
    many = Texts({f"a{k:03}": (1, "x") for k in range(100)})
    assert len((many + Texts({"a0005": (2, "y")})).attributes) == 64
