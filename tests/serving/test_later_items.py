"""What comes into the catalog while a bundle is served is ranked by what it is like, from the next request on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from features.catalog import Catalog, parse
from features.layout import Layout
from models.bundle import Bundle
from models.newcomers import Newcomers, NewcomersSettings
from models.popularity import Popularity, PopularitySettings
from models.titles import TitlesSettings
from models.values import ValuesSettings
from serving.application import app
from serving.later_items import LaterItems
from serving.live_catalog import LiveCatalog
from tests.serving.shop import add, bundle_of, point_to
from tests.worlds import NOW, event, item, snapshot

NAMES = [f"{colour}-{kind}-{n}" for kind in ("lamp", "rug", "vase") for colour in ("black", "white") for n in (1, 2, 3)]


def described(name: str) -> dict[str, Any]:
    colour, kind, _ = name.split("-")
    return item(name, title=name.replace("-", " "), kind=[kind], colour=[colour])


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A shop whose items were all chosen by somebody, and that says of each its kind and its colour."""
    var: Path = tmp_path_factory.mktemp("var")
    world = snapshot(var, [event("somebody", name) for name in NAMES], [described(name) for name in NAMES])
    rng = np.random.default_rng(0)
    settings = NewcomersSettings(titles=TitlesSettings(largest_share=0.6), values=ValuesSettings(largest_share=0.6))
    scorers = [Popularity.fit(world, PopularitySettings(), rng), Newcomers.fit(world, settings, rng)]
    point_to(var, add(var, Bundle.of(world, scorers, "popularity", NOW, "test")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_VAR", str(var))
        patch.setenv("ATTUNE_CLOCK", "snapshot")
        with TestClient(app) as client:
            yield client


def put(client: TestClient, name: str) -> None:
    fields = {key: value for key, value in described(name).items() if key not in {"item_id", "kind", "colour"}}
    dimensions = {key: described(name)[key] for key in ("kind", "colour")}
    assert client.put(f"/v1/items/{name}", json={**fields, "dimensions": dimensions}).is_success


def new_items(client: TestClient, user_id: str) -> list[dict[str, Any]]:
    request = {"user_id": user_id, "recipe": "new_items", "n": 10, "explain": True}
    answer = client.post("/v1/recommend", json=request)
    assert answer.is_success, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_a_new_black_lamp_is_shown_at_once_to_who_likes_black_lamps(client: TestClient) -> None:
    clicks = [{"user_id": "ann", "event_type": "click", "item_id": f"black-lamp-{n}"} for n in (1, 2)]
    assert client.post("/v1/events", json=clicks).is_success
    assert new_items(client, "ann") == []

    for name in ("white-rug-9", "white-lamp-9", "black-lamp-9"):
        put(client, name)

    shown = new_items(client, "ann")
    assert [one["item_id"] for one in shown] == ["black-lamp-9", "white-lamp-9"]
    assert shown[0]["score"] > shown[1]["score"] > 0
    assert shown[0]["reasons"][0]["kind"] == "new"
    assert "black lamp" in shown[0]["reasons"][0]["text"]


def test_what_a_later_item_becomes_counts_and_what_is_deleted_is_gone(client: TestClient) -> None:
    click = {"user_id": "bob", "event_type": "click", "item_id": "white-vase-1"}
    assert client.post("/v1/events", json=[click]).is_success
    put(client, "black-rug-8")
    assert "black-rug-8" not in [one["item_id"] for one in new_items(client, "bob")]

    become = {"title": "white vase", "dimensions": {"kind": ["vase"], "colour": ["white"]}}
    assert client.patch("/v1/items/black-rug-8", json=become).is_success
    assert new_items(client, "bob")[0]["item_id"] == "black-rug-8"

    assert client.delete("/v1/items/black-rug-8").is_success
    assert "black-rug-8" not in [one["item_id"] for one in new_items(client, "bob")]


def test_words_that_no_later_item_has_any_more_take_no_room(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path)
    with closing(Catalog(Layout(tmp_path / "var"))) as catalog:
        live, later = LiveCatalog(bundle, catalog), LaterItems(bundle, NewcomersSettings())
        for title in ("first", "second", "third"):
            catalog.put([parse({"item_id": "rum", "title": title, "dimensions": {"kind": ["drink"]}})])
            live.refresh()
            later.refresh(live)
        assert later._having.keys() == later._terms[live.find("rum")].keys()
        catalog.delete(["rum"])
        live.refresh()
        later.refresh(live)
        assert not later._having
