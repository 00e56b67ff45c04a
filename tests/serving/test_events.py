"""Events over HTTP, into a real log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from features.event_log import EventLog
from features.layout import Layout
from serving.application import app
from serving.group_commit import MAX_WAITING

VIEW = {"event_type": "view", "user_id": "ann", "item_id": "tea"}


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("var")


@pytest.fixture(scope="module")
def client(var: Path) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_VAR", str(var))
        patch.setenv("ATTUNE_CORS_ORIGINS", "https://shop.example https://www.shop.example")
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client


def events(var: Path) -> int:
    with closing(EventLog(Layout(var))) as log:
        return len(log)


def test_what_is_acknowledged_is_in_the_log_before_any_bundle_is_promoted(client: TestClient, var: Path) -> None:
    before = events(var)
    answer = client.post("/v1/events", json=[VIEW, VIEW | {"event_type": "our_own_type"}]).json()
    assert answer == {"accepted": 2, "repeated": 0, "rejected": [], "profile_version": answer["profile_version"]}
    assert events(var) == before + 2


def test_a_repeat_changes_nothing(client: TestClient, var: Path) -> None:
    event = VIEW | {"event_id": "once"}
    assert client.post("/v1/events", json=event).json()["accepted"] == 1
    before = events(var)
    assert client.post("/v1/events", json=[event, event]).json() == {"accepted": 0, "repeated": 2, "rejected": []}
    assert events(var) == before


def test_bad_events_of_a_batch_come_back_with_index_field_and_reason(client: TestClient) -> None:
    body = json.dumps({"events": [VIEW, VIEW | {"quantity": "2"}, {"\ud800": 1}]})
    answer = client.post("/v1/events", content=body).json()
    assert answer["accepted"] == 1
    first, second = answer["rejected"]
    assert first == {"index": 1, "field": "quantity", "reason": "must be a number from -1e+12 to 1e+12"}
    assert (second["index"], second["field"]) == (2, "?")


def test_a_single_bad_event_is_a_mistake(client: TestClient) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=2)
    answer = client.post("/v1/events", json=VIEW | {"timestamp": ahead.isoformat()})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_event"
    assert answer.json()["error"]["field"] == "timestamp"


def test_a_beacon_sends_text(client: TestClient) -> None:
    beacon = b'{"event_type": "view", "user_id": "ann", "item_id": "tea", "context": {"page_type": "product"}}'
    headers = {"Content-Type": "text/plain;charset=UTF-8", "Origin": "https://shop.example"}
    answer = client.post("/v1/events", content=beacon, headers=headers)
    assert answer.json()["accepted"] == 1
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"


def test_pages_of_other_sites_are_let_in_where_the_settings_name_them(client: TestClient) -> None:
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    asked = client.options("/v1/events", headers=ask | {"Origin": "https://shop.example"})
    assert asked.status_code == 200
    assert asked.headers["Access-Control-Allow-Headers"] == "content-type"
    stranger = client.options("/v1/events", headers=ask | {"Origin": "https://stranger.example"})
    assert "Access-Control-Allow-Origin" not in stranger.headers


def test_where_too_much_waits_the_client_is_told_when_to_come_back(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, var: Path
) -> None:
    before = events(var)
    monkeypatch.setattr(app.state.assembly.writer, "_weight", MAX_WAITING)
    answer = client.post("/v1/events", json=VIEW)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["error"]["code"] == "busy"
    assert events(var) == before
