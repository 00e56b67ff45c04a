"""Visitors over HTTP: what is known of them, organisations, segments, export and erasure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from serving.application import app
from tests.serving.shop import add, bundle_of, point_to


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    var: Path = tmp_path_factory.mktemp("var")
    point_to(var, add(var, bundle_of(var / "snapshot")))
    (var / "segments.toml").write_text("[segments]\nlookers = 'item_views >= 2'\nbuyers = 'purchases > 0'\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_VAR", str(var))
        patch.setenv("ATTUNE_CLOCK", "snapshot")
        patch.setenv("ATTUNE_SEGMENTS", str(var / "segments.toml"))
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client


def send(client: TestClient, user_id: str, *events: dict[str, Any]) -> None:
    sent = [{"user_id": user_id, "event_type": "view", **event} for event in events]
    assert client.post("/v1/events", json=sent).json()["accepted"] == len(events)


def test_a_profile_shows_at_once_what_was_done_and_what_follows_from_it(client: TestClient) -> None:
    send(
        client,
        "fay",
        {"item_id": "tea"},
        {"item_id": "unheard-of"},
        {"event_type": "search", "context": {"query": "t"}},
    )
    profile = client.get("/v1/profiles/fay").json()
    assert profile["identities"] == ["fay"]
    assert profile["values"]["item_views"] == 2
    assert profile["values"]["last_search"] == "t"
    assert sorted(event["item_id"] for event in profile["recent"]) == ["tea", "unheard-of"]
    assert profile["segments"] == ["lookers"]
    assert {like["value"] for like in profile["affinities"]} <= {"drink", "hot"}
    assert all(event["item_id"] == "tea" for like in profile["affinities"] for event in like["events"])


def test_somebody_only_the_bundle_knows_is_shown_from_its_history(client: TestClient) -> None:
    profile = client.get("/v1/profiles/ann").json()
    assert profile["purchases"] == 4
    assert profile["version"] == 0
    assert profile["recent"][0]["event_type"] == "purchase"


def test_ids_that_an_identify_event_links_are_one_person(client: TestClient) -> None:
    send(client, "cookie-1", {"item_id": "tea"})
    send(client, "customer-1", {"item_id": "milk"})
    send(client, "cookie-1", {"event_type": "identify", "same_as": "customer-1", "context": {"persona": "cook"}})
    for user_id in ("cookie-1", "customer-1"):
        profile = client.get(f"/v1/profiles/{user_id}").json()
        assert profile["identities"] == ["cookie-1", "customer-1"]
        assert profile["values"]["item_views"] == 2
        assert profile["values"]["attributes.persona"] == "cook"
    send(client, "cookie-1", {"event_type": "unidentify", "same_as": "customer-1"})
    assert client.get("/v1/profiles/customer-1").json()["values"]["item_views"] == 1


def test_somebody_of_whom_only_something_was_said_was_never_seen(client: TestClient) -> None:
    send(client, "cookie-9", {"event_type": "identify", "same_as": "customer-9", "context": {"persona": "cook"}})
    send(client, "reader", {"event_type": "email_sent"})
    for user_id in ("cookie-9", "customer-9", "reader"):
        answer = client.get(f"/v1/profiles/{user_id}")
        assert answer.status_code == 200
        assert not {"first_seen", "last_seen"} & answer.json().keys()
        (line,) = client.get("/v1/profiles", params={"search": user_id}).json()["profiles"]
        assert line == {"user_id": user_id, "purchases": 0}


def test_an_account_is_the_sum_of_its_members(client: TestClient) -> None:
    for user_id in ("gil", "hal"):
        send(client, user_id, {"item_id": "tea"}, {"event_type": "identify", "context": {"account_id": "acme"}})
    account = client.get("/v1/accounts/acme").json()
    assert account["members"] == ["gil", "hal"]
    assert account["values"]["item_views"] == 2
    assert client.get("/v1/accounts/nobody").status_code == 404


def test_a_condition_shows_whom_it_holds_for_before_it_is_a_segment(client: TestClient) -> None:
    send(client, "ivy", {"item_id": "tea"}, {"event_type": "purchase", "item_id": "tea", "value": 99})
    found = client.post("/v1/segments/size", json={"expression": "lifetime_value >= 99"}).json()
    assert (found["people"], found["samples"]) == (1, ["ivy"])
    assert found["sampled"] == found["of"] >= 1
    assert client.post("/v1/segments/size", json={"expression": "lifetime_value >"}).status_code == 400
    names = [one["name"] for one in client.get("/v1/segments").json()["segments"]]
    assert names == ["buyers", "lookers"]


def test_profiles_are_listed_live_ones_and_those_of_the_bundle(client: TestClient) -> None:
    send(client, "dora", {"item_id": "tea"})
    listed = client.get("/v1/profiles", params={"search": "d"}).json()["profiles"]
    assert [one["user_id"] for one in listed] == ["dan", "dora"]


def test_a_person_can_be_exported_and_erased_under_all_their_ids(client: TestClient) -> None:
    send(client, "jan", {"item_id": "tea", "event_id": "jan-1"})
    send(client, "jan", {"event_type": "identify", "same_as": "jan@example.org"})
    exported = client.get("/v1/profiles/jan@example.org/export").json()
    assert exported["identities"] == ["jan", "jan@example.org"]
    assert "jan-1" in [event["event_id"] for event in exported["events"]]
    erased = client.delete("/v1/profiles/jan").json()
    assert (erased["identities"], erased["events"]) == (["jan", "jan@example.org"], 2)
    for user_id in erased["identities"]:
        assert client.get(f"/v1/profiles/{user_id}").status_code == 404
    assert client.delete("/v1/profiles/jan").status_code == 404
