"""What every store of profiles promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import profile_store
from features.database import open_database, transaction
from features.events import Event
from features.identity import IdentitySettings, Namespace
from features.profile_store import NOBODY, MemoryProfileStore, ProfileStore, SQLiteProfileStore
from features.profiles import Profile, folded

NOW = datetime(2026, 11, 20, tzinfo=UTC)
IDENTITY = IdentitySettings(
    namespaces={"email": Namespace(unique=True), "till": Namespace(may_merge=False)}, max_identities=4, shared_after=2
)
Stores = Callable[..., ProfileStore]


@pytest.fixture(params=["sqlite", "memory"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """Give what makes an empty store."""
    if request.param == "memory":
        yield lambda **settings: MemoryProfileStore(IDENTITY, **settings)
        return
    opened = []

    def sqlite(**settings) -> ProfileStore:
        opened.append(open_database(tmp_path / f"{len(opened)}.db"))
        return SQLiteProfileStore(opened[-1], IDENTITY, **settings)

    yield sqlite
    for database in opened:
        database.close()


@pytest.fixture
def store(new_store: Stores) -> ProfileStore:
    return new_store()


def view(user_id: str, item_id: str | None = "i", days_ago: float = 0, **rest) -> Event:
    name = f"{user_id} {item_id} {days_ago} {rest}"
    return Event(name, rest.pop("event_type", "view"), user_id, NOW - timedelta(days=days_ago), item_id, **rest)


def add(store: ProfileStore, *events: Event, version: int = 1) -> None:
    store.add(folded(events, store.numbers).items(), version)


def link(store: ProfileStore, user_id: str, same_as: str, second: int = 0, holds: bool = True) -> None:
    store.link(user_id, same_as, second, holds, version=1)


def ids(store: ProfileStore, user_id: str) -> tuple[str, ...]:
    return store.person(user_id).identities


def test_it_is_a_store(store: ProfileStore):
    assert isinstance(store, ProfileStore)


def test_nothing_is_known_of_somebody_unknown(store: ProfileStore):
    assert store.person("u") is NOBODY
    assert len(store) == 0


def test_what_is_added_is_there_with_its_version(store: ProfileStore):
    add(store, view("u"), version=7)
    add(store, view("u", days_ago=1), version=5)  # late
    person = store.person("u")
    assert (person.identities, person.version) == (("u",), 7)
    assert person.profile == folded([view("u"), view("u", days_ago=1)], store.numbers)["u"]
    assert len(store) == 1


def test_only_the_last_interactions_are_kept_and_everything_is_counted(new_store: Stores):
    store = new_store(kept_interactions=3)
    for days_ago in (1, 5, 2, 4, 3):
        add(store, view("u", days_ago=days_ago))
    profile = store.person("u").profile
    assert len(profile.interactions) == 3
    assert profile.interactions[0, 0] == int((NOW - timedelta(days=3)).timestamp())
    assert profile.values(NOW)["item_views"] == 5


def test_numbers_stay(store: ProfileStore):
    first = store.numbers.item("a")
    assert store.numbers.item("b") != first
    assert store.numbers.item("a") == first
    assert dict(store.item_numbers()) == {first: "a", store.numbers.item("b"): "b"}
    assert [item_id for _, item_id in store.item_numbers(after=first)] == ["b"]
    device = store.numbers.named("device", "mobile")
    assert store.numbers.named("device", "mobile") == device
    assert store.named(device) == ("device", "mobile")
    assert store.numbers.event_type("view") == 0
    assert store.numbers.event_type("quiz") == store.numbers.event_type("quiz") == store.type_numbers()["quiz"] == 64


def test_numbers_stay_where_more_are_asked_for_than_are_remembered(store: ProfileStore, monkeypatch):
    monkeypatch.setattr(profile_store, "REMEMBERED", 4)
    names = [f"item-{k}" for k in range(10)]
    numbers = [store.numbers.item(name) for name in names]
    for _ in range(3):
        assert [store.numbers.item(name) for name in names] == numbers


def test_beyond_63_event_types_of_its_own_a_shop_has_one_more_for_all_others(store: ProfileStore):
    numbers = [store.numbers.event_type(f"own{k}") for k in range(70)]
    assert numbers[:63] == list(range(64, 127))
    assert numbers[63:] == [127] * 7


def test_ids_are_found_by_how_they_begin(store: ProfileStore):
    for user_id in ("b", "ab", "a", "Zoë", "aé"):
        add(store, view(user_id))
    assert store.user_ids() == ["Zoë", "a", "ab", "aé", "b"]
    assert store.user_ids("a") == ["a", "ab", "aé"]
    assert store.user_ids("a", limit=2) == ["a", "ab"]
    assert store.user_ids("c") == []


def test_a_sample_draws_each_person_at_most_once(store: ProfileStore):
    for k in range(20):
        add(store, view(f"u{k}"))
    link(store, "u1", "u2")
    rng = np.random.default_rng(0)
    assert len(store.sample(100, rng)) == store.people() == 19
    assert len(set(store.sample(5, rng))) == 5
    drawn = {one for _ in range(100) for one in store.sample(2, rng)}
    assert len(drawn) == 19


def test_linked_ids_are_one_person_with_the_sum_of_their_profiles(store: ProfileStore):
    add(store, view("cookie"), view("account", days_ago=1))
    link(store, "cookie", "account")
    link(store, "phone", "account")
    person = store.person("cookie")
    assert person.identities == ("account", "cookie", "phone")
    assert person.profile == folded([view("u"), view("u", days_ago=1)], store.numbers)["u"]
    assert store.person("phone").profile == person.profile


def test_taking_a_link_back_restores_exactly_what_was_there(store: ProfileStore):
    add(store, view("a"), view("b"), view("c"))
    alone = {one: store.person(one).profile.to_bytes() for one in "abc"}
    link(store, "a", "b", 1)
    link(store, "b", "c", 2)
    assert ids(store, "a") == ("a", "b", "c")
    link(store, "a", "b", 3, holds=False)
    assert ids(store, "a") == ("a",)
    assert ids(store, "b") == ("b", "c")
    link(store, "b", "c", 4, holds=False)
    assert {one: store.person(one).profile.to_bytes() for one in "abc"} == alone
    link(store, "a", "b", 2)  # late: it was taken back after that
    assert ids(store, "a") == ("a",)
    link(store, "a", "b", 5)
    assert ids(store, "a") == ("a", "b")


def test_what_arrives_after_a_merge_and_a_split_is_not_lost(store: ProfileStore):
    link(store, "a", "b", 1)
    add(store, view("a"))
    link(store, "a", "b", 2, holds=False)
    add(store, view("b", days_ago=1))
    assert store.person("a").profile == folded([view("a")], store.numbers)["a"]
    assert store.person("b").profile == folded([view("b", days_ago=1)], store.numbers)["b"]


def test_a_shared_device_merges_nobody_however_late_it_turns_out(store: ProfileStore):
    link(store, "tablet", "anna", 1)
    link(store, "tablet", "bert", 2)
    assert ids(store, "anna") == ("anna", "bert", "tablet")
    link(store, "tablet", "carl", 3)
    assert [ids(store, one) for one in ("anna", "bert", "carl", "tablet")] == [
        ("anna",), ("bert",), ("carl",), ("tablet",),
    ]  # fmt: skip
    assert set(store.refused_links("tablet").values()) == {"tablet is shared: it was said to be more than 2 others"}


def test_a_person_has_at_most_so_many_ids_the_first_ones(store: ProfileStore):
    for k in (5, 4, 3, 2, 1):
        link(store, f"cookie{k}", "anna", k)
    assert ids(store, "anna") == ("anna", "cookie1", "cookie2", "cookie3")
    assert ids(store, "cookie5") == ("cookie5",)


def test_a_person_has_one_id_of_a_unique_namespace(store: ProfileStore):
    link(store, "cookie", "email:anna", 1)
    link(store, "cookie", "email:bert", 2)
    assert ids(store, "cookie") == ("cookie", "email:anna")
    assert ids(store, "email:bert") == ("email:bert",)
    (reason,) = store.refused_links("email:bert").values()
    assert reason == "a person has at most one id of the namespace 'email'"


@pytest.mark.parametrize("nobody", ["till:7", "null", "customer:undefined", "cookie"])
def test_some_ids_are_never_linked(store: ProfileStore, nobody: str):
    link(store, "cookie", nobody)
    assert ids(store, "cookie") == ("cookie",)


LINKS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "email:e", "email:f"]),
        st.sampled_from(["a", "b", "c", "d", "email:e", "email:f"]),
        st.integers(0, 9),
        st.booleans(),
    ),
    max_size=12,
)


@given(said=LINKS, data=st.data())
@settings(max_examples=60, deadline=None)
def test_who_is_one_person_depends_on_what_was_said_and_not_on_when_it_arrived(said, data):
    names = ["a", "b", "c", "d", "email:e", "email:f"]
    one, other = MemoryProfileStore(IDENTITY), MemoryProfileStore(IDENTITY)
    with closing(open_database(Path(":memory:"))) as database:
        third = SQLiteProfileStore(database, IDENTITY)
        for link_ in said:
            one.link(*link_, version=1)
            third.link(*link_, version=1)
        for link_ in data.draw(st.permutations(said)):
            other.link(*link_, version=1)
        assert [ids(one, name) for name in names] == [ids(other, name) for name in names]
        assert [ids(one, name) for name in names] == [ids(third, name) for name in names]
    assert all(len(ids(one, name)) <= 4 for name in names)


def test_an_account_is_the_sum_of_its_members(store: ProfileStore):
    for user_id, company in [("anna", "acme"), ("bert", "acme"), ("carl", "globex")]:
        add(store, view(user_id, None, event_type="identify", context={"account_id": company}), view(user_id))
    link(store, "cookie", "anna")
    add(store, view("cookie", days_ago=2))
    account = store.account("acme")
    assert account.members == ("anna", "bert", "cookie")
    assert account.profile == Profile.total([store.person("anna").profile, store.person("bert").profile])
    assert account.profile.values(NOW)["item_views"] == 3
    add(store, view("bert", None, days_ago=-1, event_type="identify", context={"account_id": "globex"}))
    assert store.account("acme").members == ("anna", "cookie")
    assert store.account("nobody").members == ()


def test_what_is_erased_is_gone_and_others_stay(store: ProfileStore):
    add(store, view("a"), view("b"), view("c"))
    link(store, "a", "b")
    link(store, "b", "c")
    store.erase("b")
    assert store.person("b") is NOBODY
    assert (ids(store, "a"), ids(store, "c")) == (("a",), ("c",))
    assert store.user_ids() == ["a", "c"]


def test_a_transaction_that_is_undone_leaves_no_number_behind(tmp_path: Path):
    with closing(open_database(tmp_path / "attune.db")) as database:
        store = SQLiteProfileStore(database)

        def fail() -> None:
            with transaction(database):
                assert store.numbers.event_type("quiz") == store.numbers.event_type("quiz") == 64
                store.numbers.item("a")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert store.numbers.event_type("other") == 64
        assert store.numbers.event_type("quiz") == 65
        assert store.item_numbers() == []
