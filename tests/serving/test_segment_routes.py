"""Segments over HTTP: put in place and withdrawn, and what follows for profiles, rankings and decisions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from features.database import open_database
from features.layout import Layout
from serving.application import app
from serving.definition_book import segment_book
from tests.serving.shop import add, bundle_of, point_to


@pytest.fixture
def var(tmp_path: Path) -> Path:
    point_to(tmp_path, add(tmp_path, bundle_of(tmp_path / "snapshot")))
    (tmp_path / "segments.toml").write_text("[segments]\nbuyers = 'purchases > 0'\n")
    return tmp_path


@pytest.fixture
def client(var: Path) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_VAR", str(var))
        patch.setenv("ATTUNE_CLOCK", "snapshot")
        patch.setenv("ATTUNE_SEGMENTS", str(var / "segments.toml"))
        with TestClient(app, raise_server_exceptions=False) as client:
            sent = [
                {"user_id": "fay", "event_type": "view", "item_id": "tea"},
                {"user_id": "fay", "event_type": "view", "item_id": "cake"},
                {"user_id": "gus", "event_type": "view", "item_id": "tea"},
            ]
            assert client.post("/v1/events", json=sent).json()["accepted"] == 3
            yield client


def test_a_new_segment_shows_its_size_and_who_is_in_it(client: TestClient) -> None:
    put = client.put("/v1/segments/lookers", json={"expression": "item_views >= 2"})
    assert put.status_code == 200, put.text
    size = {"people": 1, "low": 1, "high": 1, "sampled": 2, "of": 2, "samples": ["fay"]}
    assert put.json() == {"name": "lookers", "expression": "item_views >= 2", "size": size}
    assert client.get("/v1/segments/lookers").json() == put.json()
    assert [one["name"] for one in client.get("/v1/segments").json()["segments"]] == ["buyers", "lookers"]
    assert client.get("/v1/profiles/fay").json()["segments"] == ["lookers"]


def test_a_segment_holds_for_every_worker_and_outlives_them_until_it_is_withdrawn(
    client: TestClient, var: Path
) -> None:
    with closing(open_database(Layout(var).database)) as elsewhere:
        other = segment_book({"buyers": "purchases > 0"}, elsewhere, elsewhere)
        assert sorted(other.current().predicates) == ["buyers"]
        client.put("/v1/segments/buyers", json={"expression": "purchases > 9"})
        assert other.current()["buyers"].expression == "purchases > 9"
        assert client.delete("/v1/segments/buyers").status_code == 204
        assert other.current()["buyers"].expression == "purchases > 0"
    assert client.delete("/v1/segments/buyers").status_code == 404
    assert client.get("/v1/segments/nobody").status_code == 404


def test_filters_audiences_and_other_segments_ask_for_a_segment(client: TestClient) -> None:
    client.put("/v1/segments/lookers", json={"expression": "item_views >= 2"})
    assert client.put("/v1/segments/keen", json={"expression": "segment.lookers AND visits >= 1"}).status_code == 200

    def drinks(user_id: str) -> set[str]:
        asked = {"user_id": user_id, "recipe": "popular", "n": 5, "filter": "kind = 'drink' OR profile.segment.keen"}
        answer = client.post("/v1/recommend", json=asked)
        assert answer.status_code == 200, answer.text
        return {item["item_id"] for item in answer.json()["items"]}

    assert drinks("gus") < drinks("fay")
    banner = {"zone": "home", "audience": "segment.keen", "experiences": {"banner": {"content": {"title": "Hello"}}}}
    assert client.put("/v1/campaigns/hello", json=banner).status_code == 200
    shown = {who: client.post("/v1/decide", json={"user_id": who, "zone": "home"}).json() for who in ("fay", "gus")}
    assert shown["fay"]["experience"] == "banner"
    assert "experience" not in shown["gus"]


def test_a_segment_that_others_need_stays_and_one_that_needs_itself_is_refused(client: TestClient) -> None:
    client.put("/v1/segments/lookers", json={"expression": "item_views >= 2"})
    client.put("/v1/segments/keen", json={"expression": "segment.lookers"})
    refused = client.delete("/v1/segments/lookers")
    assert refused.status_code == 400
    assert "asks for the segment 'lookers'" in refused.json()["error"]["message"]
    circle = client.put("/v1/segments/lookers", json={"expression": "NOT segment.keen"})
    assert "in a circle" in circle.json()["error"]["message"]
    assert client.get("/v1/segments/lookers").json()["expression"] == "item_views >= 2"
    assert client.put("/v1/segments/lookers", json={"expression": "item_views >="}).status_code == 400
