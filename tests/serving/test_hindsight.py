"""What other recipes would have earned at explored places, told from the log of rankings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from evaluation.explored import PlaceGoal, hindsight
from features.catalog import Catalog
from features.errors import InvalidInput
from features.event_log import EventLog
from features.events import Event
from features.layout import Layout
from models.bundle import Bundle
from serving.__main__ import app
from serving.answers import rankings as answers
from serving.cards import Cards
from serving.hindsight import explored_places, history_of
from serving.live_catalog import LiveCatalog
from serving.pipeline import Pipeline
from serving.ranking_log import SQLiteRankingLog
from serving.recipes import Recipe, Recipes
from serving.visitors import Visitors
from serving.wire import rankings as wire
from tests.serving.shop import add, bundle_of
from tests.worlds import NOW

EXPLORING = Recipe.of(
    {"ranker": "popularity", "fill": True, "explore": {"place": 1, "probability": 0.5}}, "the recipe explored"
)
OTHER = Recipe.of({"ranker": "popularity", "fill": True, "pinned": ["cake"]}, "the other recipe")
"""The same with cake in the first place, which is beyond the three items of the list of others."""
CHEAP = Recipe.of({"ranker": "popularity", "fill": True, "filter": "price < 4"}, "the cheap recipe")
"""The same without tea, which comes first: the second comes first."""
FILE = """
[recipes.front]
ranker = "popularity"
fill = true
explore = { place = 1, probability = 0.5 }

[recipes.cakes]
ranker = "popularity"
fill = true
pinned = ["cake"]
"""

Likes = Callable[[str], bool]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    made = bundle_of(tmp_path / "snapshot")
    return Bundle.load(tmp_path / "var" / "bundles" / add(_made(tmp_path / "var"), made))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(_made(tmp_path / "var"))


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def name_of(number: int) -> str:
    """Return the name of a ranking; chance is drawn from how it begins."""
    return f"{number:015x}".ljust(32, "0")


def serve(layout: Layout, bundle: Bundle, rankings: int, likes: Likes, impressions: bool = True) -> None:
    """Log rankings to a new visitor each, who clicks on the first item if ``likes`` says so of it."""
    events = []
    with closing(Catalog(layout)) as catalog, closing(SQLiteRankingLog(layout)) as log:
        live = LiveCatalog(bundle, catalog)
        pipeline, visitors = Pipeline(bundle, Recipes(recipes={"front": EXPLORING}), live), Visitors(bundle)
        for number in range(rankings):
            ranking_id, user, moment = name_of(number), f"visitor-{number}", NOW + timedelta(minutes=number)
            request = wire.RecommendRequest(user_id=user, n=3, recipe="front")
            made = answers.recommended(pipeline, visitors.visitor(user, moment), request, moment, ranking_id)
            cards = Cards(live).of(made.ranking.items.tolist())
            log.append(answers.logged(pipeline, cards, made, "recommend", request), EXPLORING)
            first = live.id(int(made.ranking.items[0]))
            types = ["impression"] * impressions + ["click"] * likes(first)
            events += [
                Event(f"{user} {one}", one, user, moment + timedelta(seconds=9), first, ranking_id=ranking_id)
                for one in types
            ]
    with closing(EventLog(layout)) as log_of_events:
        log_of_events.append(events)


def test_what_nobody_was_meant_to_see_is_known_from_what_chance_showed(layout: Layout, bundle: Bundle) -> None:
    serve(layout, bundle, 800, lambda item: item == "cake")
    explored = explored_places(layout, "front", OTHER)
    assert set(explored["target"]) == {"cake"}
    assert set(explored.filter(~explored["drawn"])["item_id"]) == {"tea"}
    assert set(explored.filter(~explored["drawn"])["probability"]) == {0.5}
    assert explored["drawn"].mean() == pytest.approx(0.5, abs=0.06)
    found = hindsight(layout, explored, PlaceGoal(min_effective_sample_size=20))
    assert found.refusals == ()
    assert found.warnings == ()
    estimates = {one.estimator: one.value for one in found.analysis.answers[0].estimates}
    assert estimates["SNIPS"].mean == pytest.approx(1.0)
    assert estimates["IPS"].low < 1.0 < estimates["IPS"].high
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(1.0)  # cake earns 1 wherever it is, tea nothing


def test_the_recipe_itself_without_chance_is_no_better_than_itself(layout: Layout, bundle: Bundle) -> None:
    serve(layout, bundle, 300, lambda item: item in ("tea", "cake"))
    found = hindsight(layout, explored_places(layout, "front", EXPLORING), PlaceGoal())
    assert found.difference is not None
    assert (found.difference.low, found.difference.mean, found.difference.high) == (0, 0, 0)


def test_too_few_lists_and_items_that_chance_never_shows_are_refused(layout: Layout, bundle: Bundle) -> None:
    serve(layout, bundle, 60, lambda item: item == "cake")
    few = hindsight(layout, explored_places(layout, "front", OTHER), PlaceGoal())
    assert few.difference is None
    assert "at least 100 are due" in few.refusals[0]
    with pytest.raises(InvalidInput, match=r"Of none of the [0-9]+ lists can the log tell"):
        hindsight(layout, explored_places(layout, "front", CHEAP), PlaceGoal())


def test_lists_that_were_not_seen_do_not_count_unless_none_was(layout: Layout, bundle: Bundle) -> None:
    serve(layout, bundle, 100, lambda item: item == "tea", impressions=False)
    explored = explored_places(layout, "front", EXPLORING)
    told = hindsight(layout, explored, PlaceGoal(min_effective_sample_size=20))
    assert told.warnings == ("No impression names these lists, so all of them count, seen or not.",)
    assert told.analysis.answers[0].overlap.rows == len(explored)
    with closing(EventLog(layout)) as log:
        log.append(
            Event(f"seen {n}", "impression", f"visitor-{n}", NOW + timedelta(days=1), ranking_id=name_of(n))
            for n in range(70)
        )
    told = hindsight(layout, explored, PlaceGoal(min_effective_sample_size=20))
    assert (told.warnings, told.analysis.answers[0].overlap.rows) == ((), 70 - (100 - len(explored)))


def test_a_purchase_of_the_item_counts_within_the_window_whichever_id_buys_it(layout: Layout, bundle: Bundle) -> None:
    serve(layout, bundle, 41, lambda item: False)
    explored = explored_places(layout, "front", EXPLORING)[-40:]
    own = explored.filter(~explored["drawn"])[:2].to_dicts()
    late = NOW + timedelta(days=8)
    with closing(EventLog(layout)) as log:
        log.append(
            [
                Event("same", "identify", own[0]["user_id"], NOW, same_as="customer"),
                Event("bought", "purchase", "customer", NOW + timedelta(days=2), "tea"),
                Event("late", "purchase", own[1]["user_id"], late, "tea"),
                Event("else", "purchase", own[1]["user_id"], NOW + timedelta(days=1), "coal"),
            ]
        )
    goal = PlaceGoal(reward="purchase", window_days=7, min_effective_sample_size=2)
    assert hindsight(layout, explored, goal).analysis.logged.mean == pytest.approx(1 / 40)
    longer = PlaceGoal(reward="purchase", window_days=14, min_effective_sample_size=2)
    assert hindsight(layout, explored, longer).analysis.logged.mean == pytest.approx(2 / 40)


def test_rankings_before_a_moment_are_left_out_and_no_list_at_all_is_said(layout: Layout, bundle: Bundle) -> None:
    assert explored_places(layout, "front", OTHER).is_empty()
    serve(layout, bundle, 10, lambda item: False)
    assert len(explored_places(layout, "front", OTHER, bundle, NOW + timedelta(minutes=4))) == 6
    none = explored_places(layout, "another", OTHER)
    with pytest.raises(InvalidInput, match="no list of this recipe with an explored place"):
        hindsight(layout, none, PlaceGoal())


def test_a_history_is_told_in_the_items_and_types_of_another_bundle(tmp_path: Path, bundle: Bundle) -> None:
    history = bundle.history("ann")
    assert history_of(history, bundle, bundle) is history
    moved = history_of(history, bundle, bundle_of(tmp_path / "again"))
    assert np.array_equal(moved.item, history.item)
    assert np.array_equal(moved.event_type, history.event_type)


def test_the_command_tells_what_the_other_recipe_would_have_earned(layout: Layout, bundle: Bundle) -> None:
    serve(layout, bundle, 800, lambda item: item == "cake")
    (layout.root / "recipes.toml").write_text(FILE)
    common = ["--var", str(layout.root), "--recipes", str(layout.root / "recipes.toml")]
    told = CliRunner().invoke(
        app, ["off-policy", "front", "--other", "cakes", "--min-effective-sample-size", "20", *common]
    )
    assert told.exit_code == 0, told.output
    assert "SNIPS" in told.output
    assert "Against the own items of front there: +1 (+1 to +1, 95 %)." in " ".join(told.output.split())
    refused = CliRunner().invoke(
        app, ["off-policy", "front", "--other", "cakes", "--min-effective-sample-size", "5000", *common]
    )
    assert refused.exit_code == 1
    assert "REFUSED" in refused.output
    nothing = CliRunner().invoke(app, ["off-policy", "front", *common])
    assert isinstance(nothing.exception, InvalidInput)
