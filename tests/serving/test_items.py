"""The catalog over HTTP: a change holds from the next request on."""

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
    point_to(var, add(var, bundle_of(var)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_VAR", str(var))
        patch.setenv("ATTUNE_CLOCK", "snapshot")
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client


@pytest.fixture(autouse=True)
def as_before(client: TestClient) -> Iterator[None]:
    before = client.get("/v1/items/tea").json()
    yield
    fields = ("item_id", "title", "price", "dimensions")
    client.post("/v1/items", json={"put": [{name: before[name] for name in fields}], "delete": ["rum"]})


def shown(client: TestClient, **rest: Any) -> list[str]:
    answer = client.post("/v1/recommend", json={"user_id": "dan", "n": 10, **rest}).json()
    return [item["item_id"] for item in answer["items"]]


def removed(client: TestClient, item_id: str) -> str | None:
    answer = client.post("/v1/rank", json={"user_id": "dan", "items": ["tea", "milk", item_id]}).json()
    return next((one["reason"] for one in answer["removed"] if one["item_id"] == item_id), None)


def test_a_stock_out_holds_from_the_next_request_on_in_every_path(client: TestClient) -> None:
    assert "tea" in shown(client)
    answer = client.patch("/v1/items/tea", json={"stock": 0}).json()
    assert (answer["changed"], answer["rejected"]) == (1, [])
    for recipe in ("for_you", "popular", "discover"):
        assert "tea" not in shown(client, recipe=recipe)
    assert removed(client, "tea") == "out of stock"
    client.patch("/v1/items/tea", json={"stock": None})
    assert "tea" in shown(client)


def test_a_price_counts_in_filters_at_once(client: TestClient) -> None:
    assert "tea" not in shown(client, filter="price < 2")
    client.patch("/v1/items/tea", json={"price": 1.5})
    assert "tea" in shown(client, filter="price < 2")


def test_what_is_hidden_expired_or_deleted_is_not_shown(client: TestClient) -> None:
    for change, reason in (
        ({"visible": False}, "hidden"),
        ({"expires_at": "2026-01-30T00:00:00Z"}, "expired"),
        ({"published_at": "2026-02-01T00:00:00Z"}, "not published yet"),
    ):
        client.patch("/v1/items/tea", json=change)
        assert removed(client, "tea") == reason
        client.patch("/v1/items/tea", json=dict.fromkeys(change))
        assert removed(client, "tea") is None
    assert client.delete("/v1/items/tea").json()["deleted"] == 1
    assert removed(client, "tea") == "not in the catalog"
    assert client.get("/v1/items/tea").json()["in_catalog"] is False
    assert client.delete("/v1/items/tea").status_code == 404


def test_a_new_item_is_shown_before_any_model_knows_it(client: TestClient) -> None:
    item = {"title": "Rum", "price": 20, "published_at": "2026-01-30T00:00:00Z", "dimensions": {"kind": "drink"}}
    assert client.put("/v1/items/rum", json=item).json()["added"] == 1
    assert "rum" in shown(client)
    assert removed(client, "rum") is None
    found = client.get("/v1/items/rum").json()
    assert (found["title"], found["dimensions"], "model_version" in found) == ("Rum", {"kind": ["drink"]}, False)


def test_many_changes_go_together_and_bad_ones_come_back_with_their_place(client: TestClient) -> None:
    body = {
        "put": [{"item_id": "rum", "price": 20}, {"price": 1}],
        "patch": [{"item_id": "tea", "price": -1}, {"item_id": "gin", "price": 1}, {"item_id": "rum", "stock": 3}],
        "delete": ["gin", 7, "rum"],
    }
    answer = client.post("/v1/items", json=body).json()
    assert {name: answer[name] for name in ("added", "changed", "unchanged", "deleted")} == {
        "added": 1,
        "changed": 1,
        "unchanged": 0,
        "deleted": 1,
    }
    assert [(one["part"], one["index"], one["field"]) for one in answer["rejected"]] == [
        ("put", 1, "item_id"),
        ("patch", 0, "price"),
        ("delete", 1, "item_id"),
        ("patch", 1, "item_id"),
        ("delete", 0, "item_id"),
    ]


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("put", "/v1/items/a", {"item_id": "b"}, "the address names 'a', and the body 'b'"),
        ("put", "/v1/items/a", ["b"], "must be an object"),
        ("put", "/v1/items/a", {"prize": 3}, "is not known; allowed are item_id"),
        ("post", "/v1/items", {"upsert": []}, "the arrays put, patch, delete"),
        ("post", "/v1/items", {"put": {}}, "put must be an array"),
        ("post", "/v1/items", {"delete": ["a"] * 1_001}, "more than 1,000 items"),
    ],
)
def test_what_is_no_change_is_refused(client: TestClient, method: str, path: str, body: Any, message: str) -> None:
    answer = client.request(method, path, json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_an_item_that_is_not_there_cannot_be_patched(client: TestClient) -> None:
    assert client.patch("/v1/items/gin", json={"stock": 1}).status_code == 404
    assert client.get("/v1/items/gin").status_code == 404


def test_an_item_of_a_deeper_category_belongs_to_those_above_it(client: TestClient) -> None:
    kinds = {"desk-lamp": "Home > Lamps > Desk", "wall-lamp": "Home > Lamps > Wall", "rug": "Home > Rugs"}
    put = [{"item_id": name, "title": name, "dimensions": {"kind": kind}} for name, kind in kinds.items()]
    assert client.post("/v1/items", json={"put": put}).status_code == 200

    def listed(**body: Any) -> set[str]:
        answer = client.post("/v1/rank", json={"user_id": "nobody", "items": list(kinds), **body})
        assert answer.status_code == 200, answer.text
        return {item["item_id"] for item in answer.json()["items"]}

    assert listed(filter="'Home > Lamps' = ANY(kind)") == {"desk-lamp", "wall-lamp"}
    assert listed(filter="'Home' = ANY(kind)") == set(kinds)
    recipe = {"sources": [{"source": "trending"}], "fill": True, "at_most": {"kind": 1}}
    assert client.put("/v1/recipes/one_of_a_kind", json=recipe).status_code == 200
    assert len(listed(recipe="one_of_a_kind")) == 1  # all three are of Home
