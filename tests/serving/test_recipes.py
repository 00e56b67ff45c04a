"""What each key of a recipe does, and the laws that hold whatever it says."""

from __future__ import annotations

from datetime import timedelta
from functools import cache, reduce
from operator import add
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InvalidInput
from features.interactions import COLUMNS, History
from models.bundle import Bundle
from serving.filters import filled
from serving.pipeline import Pipeline, Ranking
from serving.query import Query, events
from serving.recipes import Recipe, Recipes
from tests.serving.shop import BASKETS, SHOP, SHOWN, bundle_of
from tests.worlds import NOW

KINDS = {row["item_id"]: row.get("kind", [None])[0] for row in SHOP}
PRICES = {row["item_id"]: row["price"] for row in SHOP}


@cache
def bundle() -> Bundle:
    return bundle_of(Path(mkdtemp()) / "snapshot")


def pipeline(**recipe: Any) -> Pipeline:
    return Pipeline(bundle(), Recipes.of({"recipes": {"it": recipe}}, "the test"))


def indices(names: list[str]) -> Any:
    return bundle().items.indices(names)


def ids(ranking: Ranking) -> list[str]:
    return [bundle().items.id(item) for item in ranking.items]


def history(*did: tuple[str, str, float]) -> History:
    """Return the history of (event type, item, days ago), oldest first."""
    parts = [events(indices([name]), kind, NOW - timedelta(days=days)) for kind, name, days in did]
    return History(*(np.concatenate([getattr(part, column) for part in parts]) for column in COLUMNS))


def ranked(recipe: dict[str, Any], asked: History | str = "nobody", **rest: Any) -> list[str]:
    known = bundle().history(asked) if isinstance(asked, str) else asked
    return ids(pipeline(**recipe).rank(Query(known, NOW, recipe="it", **rest)))


TRENDING = {"sources": [{"source": "trending"}]}
EVERYTHING = TRENDING | {"fill": True}


def test_the_best_item_of_a_source_gets_its_weight_and_a_score_is_the_sum() -> None:
    ranker = pipeline(
        sources=[{"source": "trending", "weight": 2}, {"source": "trending", "name": "again", "weight": 0.5}]
    )
    asked = Query(History.empty(), NOW, n=2, recipe="it")
    ranking = ranker.rank(asked)
    assert ids(ranking) == ["tea", "milk"]
    # Four bought tea and two milk.
    assert ranker.contributions(asked, ranking) == [
        {"trending": 2.0, "again": 0.5},
        {"trending": pytest.approx(1.0), "again": pytest.approx(0.25)},
    ]
    assert ranking.scores.tolist() == pytest.approx([2.5, 1.25])


def test_a_source_starts_from_its_anchor() -> None:
    did = history(("purchase", "beer", 9), ("purchase", "milk", 3), ("add_to_cart", "cake", 2), ("view", "tea", 1))
    anchored = {
        anchor: ranked({"sources": [{"source": "related", "anchor": anchor, "relations": {
            "beer": ["salt"], "milk": ["coal"], "cake": ["milk"], "tea": ["beer"]}}]}, did, context=context)
        for anchor, context in (
            ("last_purchase", indices([])), ("cart", indices([])), ("recent_views", indices([])),
            ("page", indices(["cake"])), ("history", indices([])),
        )
    }  # fmt: skip
    assert anchored == {
        "last_purchase": ["coal"],
        "cart": ["milk"],
        "recent_views": ["beer"],
        "page": ["milk"],
        "history": ["beer", "milk", "coal", "salt"],
    }


def test_what_left_the_cart_is_no_anchor() -> None:
    recipe = {"sources": [{"source": "related", "anchor": "cart", "relations": {"tea": ["milk"], "cake": ["salt"]}}]}
    did = history(("add_to_cart", "tea", 3), ("add_to_cart", "cake", 2), ("remove_from_cart", "tea", 1))
    assert ranked(recipe, did) == ["salt"]
    assert ranked(recipe, history(("add_to_cart", "tea", 3), ("purchase", "tea", 1))) == []


def test_a_source_looks_back_no_further_than_it_says() -> None:
    recipe = {"sources": [{"source": "recently_viewed", "lookback_days": 2}]}
    assert ranked(recipe, history(("view", "tea", 3), ("view", "milk", 1.5), ("view", "cake", 1))) == ["cake", "milk"]


def test_popular_in_asks_for_the_values_of_the_anchor() -> None:
    recipe = {"sources": [{"source": "popular_in", "dimension": "kind"}]}
    assert ranked(recipe, history(("view", "beer", 1))) == ["tea", "milk", "beer"]
    assert ranked(recipe, history(("view", "salt", 1))) == ["cake"]


def test_what_was_bought_or_seen_lately_is_removed_and_what_was_long_ago_is_not() -> None:
    did = history(("purchase", "tea", 20), ("view", "beer", 9), ("purchase", "milk", 5), ("view", "cake", 1))
    assert set(ranked(EVERYTHING | {"exclude_bought_days": 10}, did)) == SHOWN - {"milk"}
    assert set(ranked(EVERYTHING | {"exclude_seen_days": 2}, did)) == SHOWN - {"cake"}


def test_a_price_window_is_relative_to_the_items_on_the_page() -> None:
    recipe = EVERYTHING | {"price_window": [0.5, 1.5]}
    assert set(ranked(recipe, context=indices(["tea"]))) == {"beer", "coal"}  # 2 to 6, and tea is on the page
    assert set(ranked(recipe)) == SHOWN


def test_a_filter_may_ask_about_the_visitor_and_the_moment() -> None:
    recipe = EVERYTHING | {"filter": "price < profile.average_price * 1.5 AND kind <> context.refused"}
    values = {"average_price": 2.0, "context.refused": "drink"}
    assert set(ranked(recipe, values=values)) == {"salt"}  # below 3, and no drink
    assert ranked(recipe) == []  # nothing is known, so the condition does not hold
    assert filled("a = 'profile.x' AND b = profile.x AND c = context.y", {"x": "it's", "context.y": -2}) == (
        "a = 'profile.x' AND b = 'it''s' AND c = (-2)"
    )


def test_what_is_known_of_a_visitor_is_only_ever_a_value() -> None:
    recipe = EVERYTHING | {"filter": "kind = profile.x"}
    assert ranked(recipe, values={"x": "drink' OR 'a' = 'a"}) == []


def test_a_booster_adds_its_weight_where_it_applies() -> None:
    recipe = EVERYTHING | {"boosters": [{"name": "cheap", "where": "price <= 1", "weight": 5}]}
    assert ranked(recipe, n=2) == ["milk", "tea"]
    recipe = EVERYTHING | {"boosters": [{"name": "ours", "items": ["cake"], "weight": 5}]}
    assert ranked(recipe, n=2) == ["cake", "tea"]
    recipe = EVERYTHING | {"boosters": [{"name": "liked", "affinity": "kind", "weight": 5}]}
    assert KINDS[ranked(recipe, history(("purchase", "salt", 1), ("purchase", "cake", 1)))[0]] == "food"


def test_pinned_items_come_first_and_buried_ones_last_where_they_may_be_shown() -> None:
    recipe = EVERYTHING | {"pinned": ["z-hidden", "salt", "cake"], "buried": ["tea", "z-sold-out"]}
    assert ranked(recipe) == ["salt", "cake", "milk", "beer", "coal", "tea"]


def test_a_list_has_no_more_of_one_value_than_it_may_and_says_so() -> None:
    ranking = pipeline(**EVERYTHING, at_most={"kind": 1}).rank(Query(History.empty(), NOW, recipe="it"))
    assert [KINDS[name] for name in ids(ranking)] == ["drink", "food", "fuel"]
    assert ranking.shortfall_reason is not None
    assert "3 would be more than 1 of one kind" in ranking.shortfall_reason


def test_an_item_to_rank_beyond_a_limit_is_among_the_removed() -> None:
    asked = Query(History.empty(), NOW, n=3, recipe="it", only=indices(["tea", "milk", "salt"]))
    ranking = pipeline(**TRENDING, at_most={"kind": 1}).rank(asked)
    assert ids(ranking) == ["tea", "salt"]
    assert ranking.removed == {int(indices(["milk"])[0]): "beyond 1 of kind drink"}


def test_the_place_of_exploration_goes_to_each_candidate_as_often_as_its_probability_says() -> None:
    explorer = pipeline(**TRENDING, explore={"place": 2, "probability": 0.5})
    shown: dict[str, int] = {}
    for seed in range(1_000):
        ranking = explorer.rank(Query(History.empty(), NOW, n=2, recipe="it", seed=seed))
        assert ranking.explored is not None
        name = ids(ranking)[1]
        shown[name] = shown.get(name, 0) + 1
        # Without chance milk is second; chance takes cake or beer, each with 1/4.
        assert ranking.explored.probability == (0.5 if name == "milk" else 0.25)
    assert shown.keys() == {"milk", "cake", "beer"}
    assert shown["milk"] == pytest.approx(500, abs=4 * 16)
    assert shown["cake"] == pytest.approx(250, abs=4 * 14)


def test_shuffled_lists_follow_the_model_of_luce() -> None:
    shuffler = pipeline(**TRENDING, shuffle=0.5)
    firsts = [ids(shuffler.rank(Query(History.empty(), NOW, n=1, recipe="it", seed=seed)))[0] for seed in range(1_000)]
    scores = pipeline(**TRENDING).rank(Query(History.empty(), NOW, recipe="it")).scores
    share = np.exp(scores / 0.5) / np.exp(scores / 0.5).sum()
    assert firsts.count("tea") == pytest.approx(1_000 * share[0], abs=4 * 16)


def test_without_a_seed_nothing_is_left_to_chance() -> None:
    recipe = TRENDING | {"shuffle": 5.0, "explore": {"place": 1, "probability": 1.0}}
    assert ranked(recipe) == ranked(TRENDING)


def test_why_not_names_the_filter_the_source_the_limit_or_the_rank() -> None:
    ranker = pipeline(**TRENDING, at_most={"kind": 2})
    asked = Query(History.empty(), NOW, n=1, recipe="it", exclude=indices(["beer"]))
    names = ["tea", "beer", "z-hidden", "coal", "milk"]
    assert dict(zip(names, ranker.why_not(asked, ranker.rank(asked), indices(names)), strict=True)) == {
        "tea": "It is in the list, at place 1.",
        "beer": "It is excluded by the request.",
        "z-hidden": "It is hidden.",
        "coal": "None of trending proposes it for this history.",
        "milk": "It scores 0.5: 1 of the 3 candidates that pass the filters score higher.",
    }


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({}, "needs 'sources', a 'ranker' or 'fallbacks'"),
        ({"sources": [{"source": "trending"}, {"source": "trending"}]}, "two parts of a score are called trending"),
        ({"sources": [{"source": "popular_in"}]}, "'dimension' belongs to the source 'popular_in'"),
        ({"sources": [{"source": "related"}]}, "'relations' belong to the source 'related'"),
        (TRENDING | {"boosters": [{"name": "b", "weight": 1}]}, "exactly one of 'where', 'affinity' and 'items'"),
        (TRENDING | {"price_window": [2, 1]}, "is not above the second"),
        (TRENDING | {"colour": 1}, "Extra inputs"),
        (TRENDING | {"filter": "prize < 2"}, "prize"),
        (TRENDING | {"filter": "prize < profile.x"}, "prize"),
        (TRENDING | {"boosters": [{"name": "b", "weight": 1, "where": "prize < 2"}]}, "prize"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        pipeline(**recipe)


def test_the_version_of_a_recipe_is_its_content() -> None:
    one, same = (Recipe.model_validate(EVERYTHING) for _ in range(2))
    assert one.version == same.version != Recipe.model_validate(TRENDING).version


source_lists = st.lists(
    st.sampled_from(["collaborative", "affinity", "trending", "new", "recently_viewed", "similar", "model"]),
    max_size=4,
    unique=True,
).map(lambda names: [{"source": name, "weight": 1 + len(name)} for name in names])
some_names = st.lists(st.sampled_from([*SHOWN, "z-hidden", "z-sold-out"]), max_size=3, unique=True)
recipes = st.fixed_dictionaries(
    {
        "sources": source_lists,
        "fallbacks": st.just([{"source": "trending"}]),
        "fill": st.booleans(),
        "boosters": st.sampled_from([[], [{"name": "b", "where": "price > profile.p", "weight": -0.7}]]),
        "at_most": st.sampled_from([{}, {"kind": 1}, {"kind": 2, "tags": 1}]),
        "shuffle": st.sampled_from([0.0, 0.3]),
        "pinned": some_names,
        "buried": some_names,
        "exclude_bought": st.booleans(),
    },
    optional={
        "ranker": st.sampled_from(["model", "popularity"]),
        "explore": st.fixed_dictionaries({"place": st.integers(1, 3), "probability": st.sampled_from([0.5, 1.0])}),
        "filter": st.just("price <= profile.p"),
    },
)


@settings(max_examples=150, deadline=None)
@given(
    recipe=recipes,
    user_id=st.sampled_from([*BASKETS, "nobody"]),
    n=st.integers(1, 8),
    only=st.none() | st.lists(st.sampled_from(sorted(PRICES)), max_size=6),
    page=some_names,
    price=st.sampled_from([1.0, 4.0]),
    seed=st.integers(0, 2**60),
)
def test_the_laws_of_every_recipe(
    recipe: dict[str, Any],
    user_id: str,
    n: int,
    only: list[str] | None,
    page: list[str],
    price: float,
    seed: int,
) -> None:
    ranker = pipeline(**recipe)
    listed = {} if only is None else {"only": indices(only)}
    context = indices(page)
    asked = Query(
        bundle().history(user_id), NOW, n, "it", context=context, values={"p": price}, seed=seed, **listed
    )  # fmt: skip
    ranking = ranker.rank(asked)
    found = ids(ranking)

    allowed = SHOWN - set(page)
    if only is not None:
        allowed &= set(only)
    if recipe["exclude_bought"]:
        allowed -= set(BASKETS.get(user_id, []))
    if "filter" in recipe:
        allowed = {name for name in allowed if PRICES[name] <= price}
    assert len(found) <= n
    assert len(set(found)) == len(found)
    assert set(found) <= allowed
    for dimension, limit in recipe["at_most"].items():
        values = [value for row in SHOP if row["item_id"] in found for value in row.get(dimension, [])]
        assert all(values.count(value) <= limit for value in values)
    assert (ranking.shortfall_reason is None) == (len(found) == n)
    if (recipe["fill"] or only is not None) and not recipe["at_most"]:
        assert len(found) == min(n, len(allowed))
    if only is not None and n >= len(only):
        assert set(found) | {bundle().items.id(item) for item in ranking.removed} == set(only)

    parts = ranker.contributions(asked, ranking)
    assert [reduce(add, one.values(), 0.0) for one in parts] == ranking.scores.tolist()
    assert len(ranking.scorers) == len(found)
    assert all(reason.text for reason in ranker.reasons(asked, ranking))
    missing = indices(sorted(set(PRICES) - set(found)))
    assert all(ranker.why_not(asked, ranking, missing))
    again = pipeline(**recipe).rank(asked)
    assert (ids(again), again.scores.tolist()) == (found, ranking.scores.tolist())
