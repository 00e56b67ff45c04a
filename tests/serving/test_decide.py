"""Campaigns and decisions over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from serving.application import app
from tests.serving.shop import add, bundle_of, point_to

BANNER = {"zone": "home", "experiences": {"hello": {"content": {"title": "Hello", "sizes": [1, 2]}}}}
FILE = """
[campaigns.footer]
zone = "footer"
audience = "context.device = 'mobile'"
[campaigns.footer.experiences.app]
content = { title = "Get the app" }
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    var: Path = tmp_path_factory.mktemp("var")
    point_to(var, add(var, bundle_of(var / "snapshot")))
    (var / "campaigns.toml").write_text(FILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_VAR", str(var))
        patch.setenv("ATTUNE_CAMPAIGNS", str(var / "campaigns.toml"))
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client


def put(client: TestClient, name: str, given: dict[str, Any], kind: str = "campaigns", status: int = 200) -> Any:
    answer = client.put(f"/v1/{kind}/{name}", json=given)
    assert answer.status_code == status, answer.text
    return answer.json()


def decide(client: TestClient, zone: str, user_id: str = "ann", status: int = 200, **asked: Any) -> Any:
    answer = client.post("/v1/decide", json={"user_id": user_id, "zone": zone} | asked)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_campaign_is_put_read_decided_for_and_withdrawn(client: TestClient) -> None:
    defined = put(client, "welcome", BANNER)
    assert (
        client.get("/v1/campaigns/welcome").json()
        == defined
        == {
            "name": "welcome",
            "version": defined["version"],
            "origin": "api",
            "definition": BANNER,
        }
    )
    answer = decide(client, "home")
    assert answer == {
        "decision_id": answer["decision_id"],
        "zone": "home",
        "campaign": "welcome",
        "campaign_version": defined["version"],
        "experience": "hello",
        "propensity": 1.0,
        "content": {"title": "Hello", "sizes": [1, 2]},
    }
    logged = client.get(f"/v1/decisions/{answer['decision_id']}").json()
    assert (logged["user_id"], logged["campaign"], logged["experience"]) == ("ann", "welcome", "hello")
    assert client.delete("/v1/campaigns/welcome").status_code == 204
    assert "No campaign has the zone 'home'" in decide(client, "home", status=404)["error"]["message"]
    assert client.get("/v1/campaigns/welcome").status_code == 404
    assert client.delete("/v1/campaigns/welcome").status_code == 404


def test_the_same_content_is_the_same_version_and_other_content_another(client: TestClient) -> None:
    first, again = put(client, "one", BANNER | {"zone": "v"}), put(client, "one", BANNER | {"zone": "v", "priority": 0})
    other = put(client, "one", BANNER | {"zone": "v", "priority": 1})
    assert first["version"] == again["version"] != other["version"]


def test_what_a_file_defines_is_changed_there(client: TestClient) -> None:
    assert decide(client, "footer", context={"device": "mobile"})["content"] == {"title": "Get the app"}
    nothing = decide(client, "footer", context={"device": "desktop"}, explain=True)
    assert nothing == {
        "zone": "footer",
        "not_chosen": [{"campaign": "footer", "reason": "its audience is context.device = 'mobile'"}],
    }
    refused = put(client, "footer", BANNER, status=400)
    assert "is defined in the service's file of campaigns" in refused["error"]["message"]
    assert [one["origin"] for one in client.get("/v1/campaigns").json()["definitions"] if one["name"] == "footer"] == [
        "file"
    ]


def test_a_recipe_is_answered_with_its_ranking_and_an_item_only_while_it_may_be_shown(client: TestClient) -> None:
    put(client, "popular", {"zone": "list", "experiences": {"list": {"recipe": "popular"}}})
    answer = decide(client, "list", n=2)
    assert [item["item_id"] for item in answer["ranking"]["items"]] == ["tea", "milk"]
    offers = {"sold_out": {"item": "z-sold-out"}, "hidden": {"item": "z-hidden"}, "milk": {"item": "milk"}}
    put(client, "offer", {"zone": "offer", "experiences": offers})
    answer = decide(client, "offer", explain=True)
    assert answer["item_id"] == "milk"
    assert [one["reason"] for one in answer["not_chosen"]] == [
        "its item 'z-sold-out' cannot be shown: out of stock",
        "its item 'z-hidden' cannot be shown: hidden",
    ]


def test_a_policy_learns_from_the_events_that_name_its_decisions(client: TestClient) -> None:
    arms = {"a": {"content": {}}, "b": {"content": {}}}
    put(client, "learn", {"zone": "learn", "choice": "thompson", "experiences": arms})
    events = []
    for i in range(60):
        answer = decide(client, "learn", f"user-{i}")
        assert 0 < answer["propensity"] <= 1
        kind = "click" if answer["experience"] == "b" else "impression"
        event = {"event_type": kind, "user_id": f"user-{i}", "decision_id": answer["decision_id"]}
        events.append(event)
    assert client.post("/v1/events", json=events).json()["accepted"] == 60
    deadline = time.monotonic() + 20
    while (p := decide(client, "learn", "x", explain=True)) and max(p["propensity"], 1 - p["propensity"]) < 0.95:
        assert time.monotonic() < deadline, "nothing was learned"
    likely = p["experience"] if p["propensity"] > 0.5 else ({"a", "b"} - {p["experience"]}).pop()
    assert likely == "b"


def test_an_experiment_changes_the_campaigns_that_are_seen_and_can_be_overridden(client: TestClient) -> None:
    put(client, "tested", {"zone": "tested", "experiences": {"banner": {"content": {}}}})
    variants = {"without": {}, "with": {"campaigns": ["tested"]}}
    put(client, "visible", {"variants": variants}, "experiments")
    seen = {f"user-{i}": decide(client, "tested", f"user-{i}") for i in range(40)}
    for answer in seen.values():
        assert answer["variants"]["visible"] == ("with" if "campaign" in answer else "without")
        assert answer["decision_id"]
    assert {answer["variants"]["visible"] for answer in seen.values()} == {"with", "without"}
    forced = {decide(client, "tested", f"user-{i}", variants={"visible": "with"}).get("campaign") for i in range(20)}
    assert forced == {"tested"}
    assert "variants" not in decide(client, "tested", "user-1", variants={"visible": "with"})
    message = decide(client, "tested", variants={"visible": "new"}, status=404)["error"]["message"]
    assert message == "The experiment 'visible' has no variant 'new'; it has without, with."


def test_an_experiment_between_recipes_ranks_each_side_its_own_way_and_is_on_record(client: TestClient) -> None:
    variants = {"control": {}, "discovery": {"recipe": "discover"}}
    put(client, "ranker", {"recipe": "for_you", "variants": variants}, "experiments")
    answers = {}
    for i in range(30):
        answer = client.post("/v1/recommend", json={"user_id": f"user-{i}", "n": 1}).json()
        answers[f"user-{i}"] = answer["ranking_id"]
    deadline = time.monotonic() + 10
    sides: dict[str, str] = {}
    while len(sides) < 30 and time.monotonic() < deadline:
        logged = {user: client.get(f"/v1/decisions/{name}") for user, name in answers.items()}
        sides = {user: one.json()["variants"]["ranker"] for user, one in logged.items() if one.status_code == 200}
    assert set(sides.values()) == {"control", "discovery"}
    for user, ranking_id in answers.items():
        used = client.get(f"/v1/rankings/{ranking_id}").json()["request"]["recipe"]
        assert used == {"control": "for_you", "discovery": "discover"}[sides[user]]
    forced = client.post("/v1/recommend", json={"user_id": "user-1", "variants": {"ranker": "discovery"}}).json()
    assert client.get(f"/v1/decisions/{forced['ranking_id']}").status_code == 404
    client.delete("/v1/experiments/ranker")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "Field required"),
        (BANNER | {"experiences": {}}, "at least 1 item"),
        (BANNER | {"choice": "exp4"}, "there is no policy 'exp4'"),
        (BANNER | {"colour": "red"}, "Extra inputs"),
        (BANNER | {"audience": "visits >"}, "is not understood"),
        (BANNER | {"audience": "prize > 3"}, "asks for 'prize'"),
        (BANNER | {"audience": "visits + 1"}, "does not say yes or no"),
        (BANNER | {"holdout": 1.0}, "less than 1"),
        (BANNER | {"starts_at": "2026-01-01T00:00:00"}, "timezone"),
        (BANNER | {"time_zone": "Mars/Olympus"}, "no such time zone"),
        (BANNER | {"time_zone": "Europe"}, "no such time zone"),
        (BANNER | {"hours": ["08:00", "08:00"]}, "same time"),
        (BANNER | {"per_person": [{"decisions": 0, "days": 1}]}, "greater than or equal to 1"),
        (BANNER | {"goal": {"window_days": -1}}, "greater than 0"),
        (BANNER | {"choice": "thompson", "goal": {"reward": "revenue"}}, "take linear_thompson"),
        (BANNER | {"experiences": {"a": {"item": "x", "recipe": "y"}}}, "give one of content"),
        (BANNER | {"experiences": {"A b": {"item": "x"}}}, "pattern"),
    ],
)
def test_a_bad_definition_is_answered_with_what_is_wrong(
    client: TestClient, given: dict[str, Any], message: str
) -> None:
    assert message in put(client, "bad", given, status=400)["error"]["message"]
    assert client.get("/v1/campaigns/bad").status_code == 404


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 400),
        ({"user_id": "ann"}, 400),
        ({"user_id": "ann", "zone": "nowhere"}, 404),
        ({"user_id": "ann", "zone": "footer", "context": {"": 1}}, 400),
        ({"user_id": "ann", "zone": "footer", "context": {"a": None}}, 400),
        ({"user_id": "ann", "zone": "footer", "variants": {"nothing": "a"}}, 404),
        ({"user_id": "", "zone": "footer"}, 400),
        ({"user_id": "ann", "zone": "footer", "extra": 1}, 400),
    ],
)
def test_a_bad_request_is_refused(client: TestClient, asked: dict[str, Any], status: int) -> None:
    answer = client.post("/v1/decide", json=asked)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_names_and_decisions_that_do_not_exist_are_not_found(client: TestClient) -> None:
    assert client.get("/v1/decisions/nothing").status_code == 404
    assert "There is no experiment 'x'" in client.get("/v1/experiments/x").json()["error"]["message"]
    assert client.put("/v1/campaigns/A", json=BANNER).status_code == 400


# Last: the app has one state, which this service takes over.
def test_content_is_decided_for_before_any_bundle_is_promoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_VAR", str(tmp_path))
    with TestClient(app) as client:
        put(client, "early", BANNER | {"audience": "visits = 0"})
        assert decide(client, "home")["campaign"] == "early"
