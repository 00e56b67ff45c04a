"""The README's example: four clicks on black lamps by a new visitor change the next list, and it can say why."""

from __future__ import annotations

import re
import shlex
from argparse import ArgumentParser
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from models.affinity import Affinity, AffinitySettings
from models.bundle import Bundle
from models.popularity import Popularity, PopularitySettings
from serving.application import app
from tests.serving.shop import add, point_to
from tests.worlds import NOW, event, item, snapshot

KINDS = ("chair", "lamp", "rug", "vase")
COLOURS = ("black", "brass", "white")
NAMES = [f"{colour}-{kind}-{number}" for kind in KINDS for colour in COLOURS for number in range(1, 7)]
MIXED = ["white-rug-1", "brass-vase-1", "black-chair-6", "white-lamp-6", "black-lamp-6", "brass-rug-1", "black-lamp-5"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A shop in which every item was bought by as many, but each customer keeps to a kind and a colour."""
    var: Path = tmp_path_factory.mktemp("var")
    items = [item(name, kind=[name.split("-")[1]], colour=[name.split("-")[0]], brand=["own"]) for name in NAMES]
    events = [
        event(f"{colour}-{kind}-{number}", name, days_ago=1 + number)
        for kind in KINDS
        for colour in COLOURS
        for number in range(8)
        for name in NAMES
        if (kind in name) + (colour in name) + (number == 0) >= 2
    ]
    world = snapshot(var, events, items)
    rng = np.random.default_rng(0)
    scorers = [Popularity.fit(world, PopularitySettings(), rng), Affinity.fit(world, AffinitySettings(), rng)]
    point_to(var, add(var, Bundle.of(world, scorers, "affinity", NOW, "test")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_VAR", str(var))
        patch.setenv("ATTUNE_CLOCK", "snapshot")
        with TestClient(app) as client:
            yield client


def test_four_clicks_on_black_lamps_change_the_next_list_and_it_says_why(client: TestClient) -> None:
    request = {"user_id": "newcomer", "items": MIXED, "explain": True}
    before = client.post("/v1/rank", json=request).json()
    assert "affinity" not in {reason["kind"] for one in before["items"] for reason in one["reasons"]}

    clicks = [
        {
            "user_id": "newcomer",
            "event_type": "click",
            "item_id": f"black-lamp-{n}",
            "context": {"page_type": "category"},
        }
        for n in range(1, 5)
    ]
    acknowledged = client.post("/v1/events", json=clicks).json()
    assert acknowledged["accepted"] == 4

    after = client.post("/v1/rank", json=request).json()
    assert after["profile_version"] == acknowledged["profile_version"]
    order = [one["item_id"] for one in after["items"]]
    assert set(order[:2]) == {"black-lamp-5", "black-lamp-6"}
    assert set(order[2:4]) == {"black-chair-6", "white-lamp-6"}
    assert set(order[4:]) == {"white-rug-1", "brass-vase-1", "brass-rug-1"}
    first = after["items"][0]
    assert first["reasons"][0]["kind"] == "affinity"
    assert first["reasons"][0]["text"] in {"Fits a liking for black (colour).", "Fits a liking for lamp (kind)."}
    assert sum(first["contributions"].values()) == pytest.approx(first["score"])

    likings = client.get("/v1/profiles/newcomer").json()["affinities"]
    assert {(like["dimension"], like["value"]) for like in likings} == {("colour", "black"), ("kind", "lamp")}
    assert {event["item_id"] for event in likings[0]["events"]} <= {f"black-lamp-{n}" for n in range(1, 5)}


def requests_of(readme: str) -> Iterator[dict[str, Any]]:
    """Yield what each ``curl`` in the code of a README asks for."""
    options = ArgumentParser()
    options.add_argument("address")
    options.add_argument("-s", action="store_true")
    for option in ("-X", "-H", "-d"):
        options.add_argument(option)
    for code in re.findall(r"^```sh\n(.*?)^```", readme, re.DOTALL | re.MULTILINE):
        words = shlex.split(code.replace("\\\n", " "), comments=True)
        starts = [at for at, word in enumerate(words) if word == "curl"]
        for start, end in pairwise([*starts, len(words)]):
            given = options.parse_args(words[start + 1 : end])
            yield {
                "method": given.X or ("POST" if given.d else "GET"),
                "url": given.address.removeprefix("localhost:3000"),
                "content": given.d,
                "headers": dict([given.H.split(": ")]) if given.H else {},
            }


def test_every_request_of_the_readme_is_answered(client: TestClient) -> None:
    readme = Path(__file__).parents[2] / "README.md"
    answers = [client.request(**one) for one in requests_of(readme.read_text(encoding="utf-8"))]
    assert len(answers) > 8
    assert {answer.status_code for answer in answers} <= {200, 201}, [one.text for one in answers]
