from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from serving.answers import rankings as answers
from serving.application import MAX_BODY_BYTES, Direct, app
from tests.serving.shop import SHOWN, add, bundle_of, point_to

Json = dict[str, object]


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    var: Path = tmp_path_factory.mktemp("var")
    point_to(var, add(var, bundle_of(var / "snapshot")))
    return var


@pytest.fixture(scope="module")
def client(var: Path) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_VAR", str(var))
        patch.setenv("ATTUNE_CLOCK", "snapshot")
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client


def ids(answer: Json) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def error(client: TestClient, path: str, body: object, status: int = 400) -> Json:
    json_header = {"Content-Type": "application/json"}
    raw = isinstance(body, bytes)
    answer = client.post(path, content=body, headers=json_header) if raw else client.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    problem: Json = answer.json()["error"]
    assert problem.keys() <= {"code", "message", "field"}
    return problem


def test_a_visitor_gets_items_with_scores_and_reasons(client: TestClient, var: Path) -> None:
    answer = client.post("/v1/recommend", json={"user_id": "dan", "n": 3, "explain": True}).json()
    assert ids(answer) == ["milk", "cake", "tea"]
    assert answer["model_version"] == (var / "champion").read_text().strip()
    assert len(answer["ranking_id"]) == 32
    assert answer["items"][0] == {
        "item_id": "milk",
        "score": answer["items"][0]["score"],
        "scorer": "item-to-item",
        "reasons": [
            {
                "kind": "together",
                "text": "Goes with Item tea.",
                "items": ["tea"],
                "events": [{"event_type": "purchase", "item_id": "tea", "timestamp": "2026-01-30T00:00:00+00:00"}],
            }
        ],
        "contributions": {"item-to-item": answer["items"][0]["score"]},
        "title": "Item milk",
        "price": 1.0,
    }
    assert "shortfall_reason" not in answer


def test_every_ranking_has_its_own_id(client: TestClient) -> None:
    answers = [client.post("/v1/recommend", json={"user_id": "dan"}).json() for _ in range(2)]
    assert answers[0]["ranking_id"] != answers[1]["ranking_id"]
    assert answers[0]["items"] == answers[1]["items"]


def test_a_visitor_nobody_knows_gets_what_is_popular(client: TestClient) -> None:
    answer = client.post("/v1/recommend", json={"user_id": "somebody new", "n": 2, "explain": True}).json()
    assert ids(answer) == ["tea", "milk"]
    assert {reason["kind"] for item in answer["items"] for reason in item["reasons"]} == {"popular"}


def test_contributions_come_when_asked_for_and_add_up(client: TestClient) -> None:
    answer = client.post("/v1/recommend", json={"user_id": "ann", "explain": True}).json()
    for item in answer["items"]:
        assert sum(item["contributions"].values()) == pytest.approx(item["score"])


def test_everything_in_a_request_counts(client: TestClient) -> None:
    body = {
        "user_id": "ann",
        "recipe": "discover",
        "filter": "price > 1",
        "exclude": ["coal"],
        "context_items": ["beer"],
    }
    answer = client.post("/v1/recommend", json=body).json()
    assert ids(answer) == ["cake"]
    assert answer["shortfall_reason"].startswith("1 of 10 items: 1 of 11 items pass the filters (removed: ")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/recommend", {"user_id": "dan", "n": 3, "explain": True}),
        ("/v1/rank", {"user_id": "dan", "items": ["salt", "milk", "nothing"]}),
        ("/v1/similar", {"item_id": "tea"}),
        ("/v1/zones", {"user_id": "dan", "zones": [{"zone": "top", "n": 2}, {"zone": "side", "n": 2}]}),
    ],
)
def test_a_ranking_that_is_answered_at_once_is_the_same_and_what_is_wrong_goes_on_to_the_application(
    client: TestClient, path: str, body: Json
) -> None:
    answer = Direct.at_once[path.encode()]
    through = client.post(path, json=body)
    directly = answer(through.request.content)
    assert directly is not None
    assert directly.raw_headers == through.headers.raw

    def compared(text: bytes | memoryview) -> bytes:
        return re.sub(rb'"ranking_id": "\w+"', b"", bytes(text))

    assert compared(directly.body) == compared(through.content)
    assert answer(b"{}") is None
    assert answer(through.request.content[:-1] + b', "recipe": "nothing"}') is None


def test_what_fails_when_it_is_answered_at_once_is_in_the_log_and_goes_on_to_the_application(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(answers, "recommended", broken)

    assert Direct.at_once[b"/v1/recommend"](b'{"user_id": "dan"}') is None
    assert "/v1/recommend failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_ids_that_no_item_has_are_listed_and_do_no_harm(client: TestClient) -> None:
    body = {"user_id": "ann", "exclude": ["nothing"], "context_items": ["new arrival"]}
    answer = client.post("/v1/recommend", json=body).json()
    assert set(ids(answer)) == SHOWN
    assert answer["unknown_items"] == ["new arrival", "nothing"]


def test_each_item_to_rank_comes_back_once_in_the_ranking_or_among_the_removed(client: TestClient) -> None:
    items = ["salt", "z-hidden", "nothing", "milk", "salt", "cake"]
    answer = client.post("/v1/rank", json={"user_id": "dan", "items": items}).json()
    assert ids(answer) == ["milk", "cake", "salt"]
    assert answer["removed"] == [
        {"item_id": "z-hidden", "reason": "hidden"},
        {"item_id": "nothing", "reason": "unknown"},
    ]
    answer = client.post("/v1/rank", json={"user_id": "dan", "items": ["nothing"]}).json()
    assert ids(answer) == []


def test_similar_items_go_with_the_item_and_leave_it_out(client: TestClient) -> None:
    answer = client.post("/v1/similar", json={"item_id": "tea", "n": 2}).json()
    assert ids(answer) == ["milk", "cake"]
    problem = error(client, "/v1/similar", {"item_id": "nothing"}, status=404)
    assert problem == {"code": "not_found", "message": "There is no item 'nothing'."}


def test_the_catalog_is_shown_item_by_item(client: TestClient) -> None:
    answer = client.get("/v1/items/beer").json()
    assert answer["price"] == 3.0
    assert answer["dimensions"] == {"kind": ["drink"], "tags": ["adult", "cold"]}
    assert client.get("/v1/items/z-unlisted").json()["in_catalog"] is False
    assert client.get("/v1/items/no/thing").json()["error"]["message"] == "There is no item 'no/thing'."


def test_profiles_are_listed_by_the_beginning_of_their_id(client: TestClient) -> None:
    profiles = client.get("/v1/profiles", params={"limit": 2}).json()["profiles"]
    assert [profile["user_id"] for profile in profiles] == ["ann", "bob"]
    profiles = client.get("/v1/profiles", params={"search": "c"}).json()["profiles"]
    assert profiles == [{"user_id": "cid", "purchases": 3, "last_seen": "2026-01-30T00:00:00Z"}]


def test_a_profile_says_what_was_done(client: TestClient) -> None:
    profile = client.get("/v1/profiles/cid").json()
    assert profile["purchases"] == 3
    assert profile["first_seen"] == profile["last_seen"] == "2026-01-30T00:00:00Z"
    assert {event["item_id"] for event in profile["recent"]} == {"tea", "cake", "z-unlisted"}
    assert {(item["item_id"], item["count"]) for item in profile["bought_most"]} == {
        ("tea", 1),
        ("cake", 1),
        ("z-unlisted", 1),
    }
    assert client.get("/v1/profiles/nobody").status_code == 404
    liked = client.get("/v1/profiles/eve").json()["affinities"]
    assert liked[0]["affinity"] > 1
    assert ("tags", "adult") in {(like["dimension"], like["value"]) for like in liked}
    assert [event["item_id"] for event in liked[0]["events"]] == ["beer"]


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"user_id": "ann", "n": 0}, "n", "greater than or equal to 1; given 0"),
        ({"user_id": "ann", "n": 101}, "n", "less than or equal to 100; given 101"),
        ({"user_id": "ann", "n": 10**30}, "n", "less than or equal to 100"),
        ({"user_id": "ann", "n": "10"}, "n", "valid integer; given '10'"),
        ({"user_id": "ann", "n": 1.5}, "n", "valid integer; given 1.5"),
        ({"user_id": "ann", "n": True}, "n", "valid integer; given True"),
        ({"user_id": 1}, "user_id", "valid string; given 1"),
        ({"user_id": ""}, "user_id", "at least 1 character"),
        ({"user_id": "x" * 129}, "user_id", "at most 128 characters"),
        ({"user_id": "a\x00b"}, "user_id", "match pattern"),
        ({"user_id": "a\nb"}, "user_id", "match pattern"),
        ({}, "user_id", "Field required. Allowed fields: user_id, n, recipe, filter"),
        ({"user_id": "ann", "colour": "red"}, "colour", "given 'red'. Allowed fields: user_id, n"),
        ({"user_id": "ann", "exclude": ["tea", 7]}, "exclude.1", "valid string; given 7"),
        ({"user_id": "ann", "exclude": ["x"] * 1001}, "exclude", "at most 1000 items"),
        ({"user_id": "ann", "filter": "prize < 5"}, None, 'unable to find column "prize"'),
        ({"user_id": "ann", "filter": ""}, "filter", "at least 1 character"),
        ([], None, "valid dictionary"),
        ("ann", None, "valid dictionary"),
        (b'{"user_id": "ann"', None, "not valid JSON"),
        (b'{"user_id": "ann", "n": NaN}', "n", "valid integer; given nan"),
        (b'{"user_id": "ann", "n": 1e999}', "n", "valid integer; given inf"),
        (b'{"user_id": "\\ud800"}', "user_id", "valid"),
        (b"\xff\xfe", None, ""),
        (b"", None, "Field required"),
        (b'{"n": ' + b"1" * 5000 + b"}", None, ""),
        (b"[" * 50_000, None, ""),
    ],
)
def test_a_bad_request_says_what_was_given_and_what_is_allowed(
    client: TestClient, body: object, field: str | None, message: str
) -> None:
    problem = error(client, "/v1/recommend", body)
    assert problem.get("field") == field
    assert message in problem["message"]


def test_an_unknown_recipe_is_answered_with_the_known_ones(client: TestClient) -> None:
    problem = error(client, "/v1/recommend", {"user_id": "ann", "recipe": "magic"}, status=404)
    assert problem["message"].startswith("There is no recipe 'magic'. Recipes: for_you, discover,")


def test_a_body_that_is_not_said_to_be_json_is_answered_with_the_header_to_send(client: TestClient) -> None:
    answer = client.post("/v1/recommend", content=b'{"user_id": "ann"}')
    assert answer.status_code == 400
    assert "Send Content-Type: application/json" in answer.json()["error"]["message"]


def test_a_wrong_method_is_refused_in_json(client: TestClient) -> None:
    assert client.get("/v1/recommend").json()["error"]["code"] == "http_405"


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "text/plain"])
@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_body_without_end_is_refused_whether_its_length_is_told_or_not(
    client: TestClient, content_type: str, in_pieces: bool
) -> None:
    body = b'{"user_id": "ann"}' + b" " * MAX_BODY_BYTES
    pieces = iter([body[:1_000], body[1_000:]])
    headers = {"Content-Type": content_type}
    answer = client.post("/v1/recommend", content=pieces if in_pieces else body, headers=headers)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "http_413"
    assert answer.json()["error"]["message"].startswith(
        "The body may have 1,000,000 bytes; send it in several requests"
    )


def test_what_breaks_inside_is_not_shown(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(type(app.state.assembly.champion), "served", lambda _: broken())
    answer = client.post("/v1/recommend", json={"user_id": "ann"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "secret" not in answer.text


def test_the_pages_need_no_other_host(client: TestClient) -> None:
    for path in ("/", "/docs"):
        page = client.get(path)
        assert page.status_code == 200
        assert not re.search(r"""(src|href)=["'](https?:)?//""", page.text)
    assert client.get("/app.js").headers["content-type"].startswith("text/javascript")


def test_without_a_bundle_the_service_says_what_to_do_and_takes_one_when_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTUNE_VAR", str(tmp_path))
    monkeypatch.setenv("ATTUNE_POLL_S", "3600")
    with TestClient(app) as client:
        assert not app.state.assembly.champion.ready
        problem = error(client, "/v1/recommend", {"user_id": "ann"}, status=503)
        assert problem["code"] == "unavailable"
        assert "No bundle has been promoted" in problem["message"]
        bundle_id = add(tmp_path, bundle_of(tmp_path / "snapshot"))
        point_to(tmp_path, bundle_id)
        app.state.assembly.champion.refresh()
        assert app.state.assembly.champion.ready
        assert client.post("/v1/recommend", json={"user_id": "ann"}).json()["model_version"] == bundle_id


def test_a_damaged_bundle_is_refused_and_the_one_before_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ATTUNE_VAR", str(tmp_path))
    monkeypatch.setenv("ATTUNE_POLL_S", "3600")
    good = add(tmp_path, bundle_of(tmp_path / "snapshot"))
    bad = add(tmp_path, bundle_of(tmp_path / "other", model="popularity"))
    (tmp_path / "bundles" / bad / "items.npy").write_bytes(b"damaged")
    point_to(tmp_path, good)
    with TestClient(app) as client, caplog.at_level(logging.ERROR, "attune"):
        for promoted, why in ((bad, "items.npy is damaged"), ("nothing", "no bundle"), ("../../etc", "not the id")):
            point_to(tmp_path, promoted)
            app.state.assembly.champion.refresh()
            assert why in caplog.messages[-1]
            assert client.post("/v1/recommend", json={"user_id": "ann"}).json()["model_version"] == good
    point_to(tmp_path, bad)
    with TestClient(app) as client:
        problem = error(client, "/v1/recommend", {"user_id": "ann"}, status=503)
        assert "items.npy is damaged" in problem["message"]
