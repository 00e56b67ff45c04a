"""Rankings are logged, shown, made again, and forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from typer.testing import CliRunner

from features import erasure
from features.__main__ import app as features_app
from features.database import open_database
from features.erasure import erase
from features.errors import NotFound
from features.layout import Layout
from serving.__main__ import app as commands
from serving.application import app
from serving.definition_book import recipe_book
from serving.ranking_log import MIGRATIONS, SQLiteRankingLog
from serving.recipes import Recipes
from serving.replay import logged, replayed
from tests.contracts.test_ranking_log import RANKING, RECIPE, same
from tests.serving.shop import BASKETS, SHOWN, add, bundle_of, point_to

RECIPES = """
[recipes.for_you]
ranker = "model"
fill = true

[recipes.similar]
sources = [{ source = "collaborative" }]

[recipes.chancy]
sources = [{ source = "trending" }, { source = "affinity" }]
filter = "price < profile.purchases + context.budget"
shuffle = 0.5
explore = { place = 1, probability = 0.5 }
"""


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    var: Path = tmp_path_factory.mktemp("var")
    point_to(var, add(var, bundle_of(var / "snapshot")))
    (var / "recipes.toml").write_text(RECIPES)
    return var


@pytest.fixture(scope="module")
def client(var: Path) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_VAR", str(var))
        patch.setenv("ATTUNE_CLOCK", "snapshot")
        patch.setenv("ATTUNE_RECIPES", str(var / "recipes.toml"))
        with TestClient(app) as client:
            yield client


def asked(client: TestClient, path: str, **body: Any) -> Any:
    answer = client.post(f"/v1/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def scored(answer: Any) -> list[tuple[str, float]]:
    return [(item["item_id"], item["score"]) for item in answer["items"]]


def again(client: TestClient, var: Path, ranking_id: str) -> list[tuple[str, float]]:
    client.app.state.assembly.rankings.write()  # type: ignore[attr-defined]
    return replayed(Layout(var), *logged(Layout(var), ranking_id))


def test_a_ranking_is_shown_as_it_was_made(client: TestClient, var: Path) -> None:
    body = {"user_id": "dan", "n": 3, "recipe": "chancy", "context": {"budget": 8.0}}
    answer = asked(client, "recommend", **body)
    shown = client.get(f"/v1/rankings/{answer['ranking_id']}").json()
    assert list(zip(shown["items"], shown["scores"], strict=True)) == scored(answer)
    assert shown["request"] == body
    assert shown["known"] == {"purchases": shown["known"]["purchases"], "context.budget": 8.0}
    assert (shown["kind"], shown["user_id"], shown["model_version"]) == ("recommend", "dan", answer["model_version"])
    assert shown["recipe_version"] == answer["recipe_version"]
    assert shown.get("exploration") == answer.get("exploration")
    assert client.get("/v1/rankings/nothing").status_code == 404


@settings(max_examples=40, deadline=None)
@given(
    path=st.sampled_from(["recommend", "rank", "similar"]),
    user_id=st.sampled_from([*BASKETS, "nobody"]),
    recipe=st.sampled_from(["for_you", "chancy"]),
    n=st.integers(1, 8),
    names=st.lists(st.sampled_from([*sorted(SHOWN), "z-hidden"]), min_size=1, max_size=4, unique=True),
    budget=st.sampled_from([1.0, 8.0]),
)
def test_a_ranking_made_again_is_the_same_to_the_last_bit(
    client: TestClient, var: Path, path: str, user_id: str, recipe: str, n: int, names: list[str], budget: float
) -> None:
    context = {"budget": budget}
    bodies = {
        "recommend": {"user_id": user_id, "n": n, "recipe": recipe, "exclude": names[1:], "context_items": names[:1]},
        "rank": {"user_id": user_id, "items": names, "recipe": recipe},
        "similar": {"item_id": names[0], "n": n, "exclude": names[1:]},
    }
    answer = asked(client, path, context=context, **bodies[path])
    assert again(client, var, answer["ranking_id"]) == scored(answer)


def test_a_history_that_two_people_share_is_kept_once_and_outlives_the_first_of_them(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with closing(SQLiteRankingLog(layout)) as log:
        for name, user_id in (("r1", "ann"), ("r2", "bob")):
            log.append(replace(RANKING, ranking_id=name, user_id=user_id), RECIPE)
            log.write()
        with closing(open_database(layout.rankings, migrations=MIGRATIONS)) as database:
            assert database.execute("SELECT count(*) FROM histories").fetchone() == (1,)
            erase(layout, "ann", "somebody")
            assert log.ranking("r2").history.item.tolist() == RANKING.history.item.tolist()
            erase(layout, "bob", "somebody")
            assert database.execute("SELECT count(*) FROM histories").fetchone() == (0,)
        log.append(replace(RANKING, ranking_id="r3", user_id="eve"), RECIPE)
        log.write()
        assert log.ranking("r3").history.item.tolist() == RANKING.history.item.tolist()


def test_what_happens_afterwards_changes_nothing_about_what_was(client: TestClient, var: Path) -> None:
    gone = {"item_id": "tea", "title": "Tea", "price": 4.0, "visible": False}
    assert client.put("/v1/items/tea", json=gone | {"visible": True}).status_code in (200, 201)
    before = asked(client, "recommend", user_id="ann", n=6)
    assert "tea" in dict(scored(before))
    event = {"event_id": "later", "event_type": "purchase", "user_id": "ann", "item_id": "coal"}
    assert client.post("/v1/events", json=event).status_code == 200
    assert client.put("/v1/items/tea", json=gone).status_code in (200, 201)
    after = asked(client, "recommend", user_id="ann", n=6)
    assert "tea" not in dict(scored(after))
    assert again(client, var, before["ranking_id"]) == scored(before)
    assert again(client, var, after["ranking_id"]) == scored(after)
    assert client.put("/v1/items/tea", json=gone | {"visible": True}).status_code in (200, 201)


def test_the_command_shows_what_another_recipe_would_have_made(client: TestClient, var: Path) -> None:
    answer = asked(client, "recommend", user_id="dan", n=2)
    client.app.state.assembly.rankings.write()  # type: ignore[attr-defined]
    arguments = ["replay", answer["ranking_id"], "--var", str(var), "--recipes", str(var / "recipes.toml")]
    same = CliRunner().invoke(commands, arguments)
    assert same.exit_code == 0, same.output
    assert "Identical." in same.output
    other = CliRunner().invoke(commands, [*arguments, "--recipe", "similar"])
    assert other.exit_code == 0, other.output
    assert "places are the same" in other.output
    missing = CliRunner().invoke(commands, ["replay", "nothing", "--var", str(var)])
    assert isinstance(missing.exception, NotFound)


def test_a_recipe_may_ask_what_the_live_profile_knows(client: TestClient, var: Path) -> None:
    bought = {"event_type": "purchase", "user_id": "zoe", "item_id": "salt", "quantity": 2, "value": 10.0}
    assert client.post("/v1/events", json=bought).status_code == 200
    recipe = {"sources": [{"source": "trending"}], "fill": True, "filter": "price < profile.average_price"}
    assert client.put("/v1/recipes/affordable", json=recipe).status_code == 200
    answer = asked(client, "recommend", user_id="zoe", recipe="affordable")
    assert {name for name, _ in scored(answer)} == {"beer", "milk", "salt", "tea"}  # below 10 for 2 pieces
    assert again(client, var, answer["ranking_id"]) == scored(answer)


def test_zones_share_no_item(client: TestClient, var: Path) -> None:
    zones = [{"zone": name, "n": 2} for name in ("top", "middle", "bottom")]
    answer = asked(client, "zones", user_id="dan", zones=[*zones, {"zone": "rest", "recipe": "similar"}])
    assert [zone["zone"] for zone in answer["zones"]] == ["top", "middle", "bottom", "rest"]
    shown = [item["item_id"] for zone in answer["zones"] for item in zone["items"]]
    assert sorted(shown) == sorted(SHOWN)
    assert "shortfall_reason" in answer["zones"][3]
    for zone in answer["zones"]:
        assert again(client, var, zone["ranking_id"]) == scored(zone)


def test_a_limit_holds_for_items_that_are_new_or_have_changed(client: TestClient, var: Path) -> None:
    recipe = {"sources": [{"source": "trending"}], "fill": True, "at_most": {"kind": 1}}
    assert client.put("/v1/recipes/mixed", json=recipe).status_code == 200
    tea = {"item_id": "tea", "title": "Tea", "price": 4.0, "dimensions": {"kind": "drink"}}
    assert client.post("/v1/items", json={"put": [tea]}).status_code == 200
    before = asked(client, "recommend", user_id="nobody", recipe="mixed")
    assert [name for name, _ in scored(before)] == ["tea", "cake", "coal"]  # a drink, a food, a fuel
    changes = [
        tea | {"dimensions": {"kind": "food"}},
        {"item_id": "rum", "title": "Rum", "price": 9.0, "dimensions": {"kind": "drink"}},
        {"item_id": "pan", "title": "Pan", "price": 9.0, "dimensions": {"kind": "iron"}},
    ]
    assert client.post("/v1/items", json={"put": changes}).status_code == 200
    after = asked(client, "recommend", user_id="nobody", recipe="mixed")
    assert {name for name, _ in scored(after)} == {
        "tea",
        "milk",
        "coal",
        "pan",
    }  # no cake beside tea, no rum beside milk
    assert again(client, var, after["ranking_id"]) == scored(after)


def test_a_recipe_put_in_place_counts_from_the_next_request_in_every_worker_and_can_be_taken_back(
    client: TestClient, var: Path
) -> None:
    built_in = asked(client, "recommend", user_id="dan", n=3)
    recipe = {"sources": [{"source": "trending"}], "filter": "title = 'Item cake'"}
    put = client.put("/v1/recipes/for_you", json=recipe)
    assert put.status_code == 200, put.text
    changed = asked(client, "recommend", user_id="dan", n=3)
    assert [name for name, _ in scored(changed)] == ["cake"]
    assert changed["recipe_version"] == put.json()["version"] != built_in["recipe_version"]
    assert client.get("/v1/recipes/for_you").json()["recipe"] == {
        "sources": [{"source": "trending"}],
        "filter": "title = 'Item cake'",
    }
    with closing(open_database(Layout(var).database)) as elsewhere:
        book = recipe_book(Recipes.read(var / "recipes.toml"), elsewhere, elsewhere)
        assert book.current()["for_you"].version == changed["recipe_version"]
        assert client.delete("/v1/recipes/for_you").status_code == 204
        assert book.current()["for_you"].version == built_in["recipe_version"]
    assert asked(client, "recommend", user_id="dan", n=3)["recipe_version"] == built_in["recipe_version"]
    assert again(client, var, changed["ranking_id"]) == scored(changed)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({}, "needs 'sources', a 'ranker' or 'fallbacks'"),
        ({"sources": [{"source": "trending"}], "filter": "prize < 1"}, "unable to find column"),
        ({"sources": [{"source": "trending"}], "colour": "red"}, "colour"),
    ],
)
def test_a_recipe_that_cannot_work_is_not_put_in_place(client: TestClient, recipe: Any, message: str) -> None:
    refused = client.put("/v1/recipes/broken", json=recipe)
    assert refused.status_code == 400
    assert message in refused.json()["error"]["message"]
    assert client.get("/v1/recipes/broken").status_code == 404
    assert client.delete("/v1/recipes/broken").status_code == 404


def test_rankings_are_deleted_after_so_many_days_while_new_ones_are_written(tmp_path: Path) -> None:
    layout, now = Layout(tmp_path), datetime.now(UTC)
    command = ["archive", "--rankings-kept-days", "90", "--var", str(tmp_path)]
    assert "0 rankings older" in CliRunner().invoke(features_app, command).output
    with closing(SQLiteRankingLog(layout)) as log, patch.object(erasure, "ROWS_AT_ONCE", 2):
        for number, days in enumerate((200, 91, 91, 89, 95, 0)):
            log.append(replace(RANKING, ranking_id=f"r{number}", made_at=now - timedelta(days=days)), RECIPE)
        log.write()
        assert "4 rankings older than 90 days deleted." in CliRunner().invoke(features_app, command).output
        log.append(replace(RANKING, ranking_id="later", made_at=now), RECIPE)
        log.write()
        for name in ("r3", "r5", "later"):
            assert same(log.ranking(name), replace(RANKING, ranking_id=name, made_at=log.ranking(name).made_at))
        for name in ("r0", "r1", "r2", "r4"):
            with pytest.raises(NotFound):
                log.ranking(name)
