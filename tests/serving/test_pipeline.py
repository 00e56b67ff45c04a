from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache, reduce
from operator import add
from pathlib import Path
from tempfile import mkdtemp
from typing import ClassVar
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import serving.pipeline
from features.errors import InvalidInput, NotFound
from features.interactions import History, IntArray
from models.bundle import Bundle
from models.popularity import Popularity, PopularitySettings
from models.scorer import Scores
from serving.pipeline import Pipeline
from serving.query import Query
from serving.recipes import BUILT_IN, Recipe, Recipes, SourceSettings
from tests.serving.shop import BASKETS, SHOP, SHOWN, bundle_of
from tests.worlds import NOW, event, item, snapshot


@cache
def shop() -> Pipeline:
    return Pipeline(bundle_of(Path(mkdtemp()) / "snapshot"), Recipes.read(BUILT_IN))


def query(user_id: str, **rest: object) -> Query:
    for name in ("context", "exclude", "only"):
        if name in rest:
            rest[name] = shop().bundle.items.indices(rest[name])
    return Query(shop().bundle.history(user_id), NOW, **rest)


def ranked(user_id: str, **rest: object) -> list[str]:
    return [shop().bundle.items.id(i) for i in shop().rank(query(user_id, **rest)).items]


def test_the_model_comes_first_then_what_is_popular_then_the_rest_of_the_catalog() -> None:
    ranking = shop().rank(query("dan"))
    assert [shop().bundle.items.id(i) for i in ranking.items] == ["milk", "cake", "tea", "beer", "coal", "salt"]
    assert ranking.scorers == ("item-to-item",) * 2 + ("trending",) * 2 + ("catalog",) * 2


def test_somebody_unknown_gets_what_is_popular() -> None:
    assert ranked("nobody", n=2) == ["tea", "milk"]


def test_discover_leaves_out_what_was_bought() -> None:
    assert ranked("ann", recipe="discover") == ["cake", "beer", "coal", "salt"]


def test_an_item_of_the_context_counts_as_viewed_and_is_not_returned() -> None:
    ranking = shop().rank(query("nobody", context=["tea"], n=2))
    assert [shop().bundle.items.id(i) for i in ranking.items] == ["milk", "cake"]
    assert set(ranking.scorers) == {"item-to-item"}


def test_a_filter_on_a_dimension_of_single_values_compares_text_and_on_another_asks_a_list() -> None:
    assert set(ranked("ann", filter="kind = 'drink'")) == {"beer", "milk", "tea"}
    assert ranked("ann", filter="kind = 'drink' AND price < 2") == ["milk"]
    assert set(ranked("ann", filter="'cold' = ANY(tags)")) == {"beer", "milk"}
    assert set(ranked("ann", filter="array_contains(tags, 'hot') OR kind IN ('fuel')")) == {"coal", "tea"}


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "cannot be used"),
        ("price <", "cannot be used"),
        ("prize < 5", 'unable to find column "prize".*Columns: item_id'),
        ("price", "yes or no for each item"),
        ("MAX(price) > 5", "calls MAX"),
        ("kind IN (SELECT kind FROM items)", "other tables"),
        ("EXISTS (SELECT 1)", "calls EXISTS"),
        ("kind IN (SELECT * FROM read_csv('/etc/passwd'))", "calls read_csv"),
        ("read_csv('/etc/passwd') = 1", "calls read_csv"),
        ("lpad(title, 1000000000, 'x') = 'x'", "calls lpad"),
        ("\"lpad\"(title, 1000000000, 'x') = 'x'", "calls"),
        ("price > SUM(price) OVER (ORDER BY price)", "calls"),
        ("unnest(tags) = 'cold'", "calls unnest"),
        ("CAST(kind AS INT) = 1", "calls CAST"),
        ("price < 5; DROP TABLE items", "cannot be used"),
        ("NOT " * 400 + "true", "cannot be used"),
        ("(" * 200 + "true" + ")" * 200, "cannot be used"),
        ("price = 1 OR " * 200 + "price = 1", "2000 are allowed"),
        ("kind = 1", "cannot be used"),
        ("tags = 'cold'", "cannot be used"),
        ("*", "cannot be used"),
    ],
)
def test_a_filter_that_is_not_a_condition_on_items_is_refused(expression: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        ranked("ann", filter=expression)


def test_a_refused_filter_names_the_columns_of_the_catalog_alone() -> None:
    with pytest.raises(InvalidInput) as refused:
        ranked("ann", filter="prize < 5")
    assert 'unable to find column "prize". Columns: ' in str(refused.value)
    assert "list_of" not in str(refused.value)


def test_a_parenthesis_inside_of_a_text_calls_nothing() -> None:
    assert ranked("ann", filter="title = 'read_csv(''x'')'") == []


def test_a_list_to_rank_comes_back_whole_but_for_what_a_filter_removes() -> None:
    asked = query("dan", only=["salt", "z-hidden", "milk", "z-sold-out", "coal", "cake", "salt"], n=7)
    ranking = shop().rank(asked)
    names = shop().bundle.items.id
    assert [names(i) for i in ranking.items] == ["milk", "cake", "salt", "coal"]
    assert {names(i): reason for i, reason in ranking.removed.items()} == {
        "z-hidden": "hidden",
        "z-sold-out": "out of stock",
    }


def test_every_removal_names_its_reason() -> None:
    asked = query("dan", recipe="discover", only=sorted({*SHOWN, "z-expired", "z-future", "z-unlisted"}), n=9,
                  exclude=["beer"], context=["coal"], filter="price <> 9")  # fmt: skip
    names = shop().bundle.items.id
    assert {names(i): reason for i, reason in shop().rank(asked).removed.items()} == {
        "z-unlisted": "not in the catalog",
        "z-future": "not published yet",
        "z-expired": "expired",
        "beer": "excluded by the request",
        "coal": "on the page already",
        "tea": "bought before",
        "cake": "outside of the filter price <> 9",
    }


def test_a_short_list_says_why() -> None:
    assert shop().rank(query("dan", n=6)).shortfall_reason is None
    reason = shop().rank(query("dan", n=10, exclude=["tea"])).shortfall_reason
    assert reason == (
        "5 of 10 items: 5 of 11 items pass the filters (removed: 1 not in the catalog, 1 hidden, 1 out of stock, "
        "1 not published yet, 1 expired, 1 excluded by the request)."
    )
    reason = shop().rank(query("nobody", recipe="similar")).shortfall_reason
    assert reason is not None
    assert reason.endswith(", and of the others none scores above 0 for this history (collaborative, affinity).")


def test_unknown_recipes_and_recipes_that_the_bundle_cannot_answer_are_named() -> None:
    with pytest.raises(NotFound, match=r"'nonsense'.*for_you, discover"):
        shop().rank(query("dan", recipe="nonsense"))
    with pytest.raises(
        NotFound, match=r"'buy_again' needs buy_again.*can answer: for_you, discover.*, popular, similar"
    ):
        shop().rank(query("dan", recipe="buy_again"))


def test_of_many_recipes_that_were_tried_those_in_force_keep_their_plans() -> None:
    pipeline = Pipeline(shop().bundle, shop().recipes)
    in_force = dict(pipeline._plans)
    with patch.object(serving.pipeline, "PLANS_KEPT", len(in_force) + 2):
        for n in range(1, 10):
            pipeline.prepare(Recipe(sources=(SourceSettings(source="trending"),), exclude_bought_days=n))
            assert len(pipeline._plans) <= len(in_force) + 2
    assert in_force.items() <= pipeline._plans.items()


def test_a_recipe_whose_filter_does_not_fit_the_catalog_is_refused_at_once() -> None:
    recipes = Recipes.of({"recipes": {"bad": {"ranker": "model", "filter": "prize < 5"}}}, "test")
    with pytest.raises(InvalidInput, match="prize"):
        Pipeline(shop().bundle, recipes)


def test_a_catalog_without_attributes_is_enough(tmp_path: Path) -> None:
    world = snapshot(tmp_path / "snapshot", [event("ann", "tea")], [item("milk")])
    popularity = Popularity.fit(world, PopularitySettings(), np.random.default_rng(0))
    pipeline = Pipeline(Bundle.of(world, [popularity], "popularity", NOW, "test"), Recipes.read(BUILT_IN))
    ranking = pipeline.rank(Query(History.empty(), NOW, filter="price = 1"))
    assert [world.items.id(i) for i in ranking.items] == ["milk"]


def test_the_latest_published_items_fill_the_list_first(tmp_path: Path) -> None:
    days = {"old": 3, "new": 1, "middle": 2}
    items = [item(name, published_at=NOW - timedelta(days=d)) for name, d in days.items()]
    world = snapshot(tmp_path / "snapshot", [event("ann", "z-unlisted")], [*items, item("undated")])
    popularity = Popularity.fit(world, PopularitySettings(), np.random.default_rng(0))
    pipeline = Pipeline(Bundle.of(world, [popularity], "popularity", NOW, "test"), Recipes.read(BUILT_IN))
    ranking = pipeline.rank(Query(History.empty(), NOW))
    assert [world.items.id(i) for i in ranking.items] == ["new", "middle", "old", "undated"]


class ProposingTwo(Popularity):
    """Proposes the two most popular items, however many are wanted, like a blend; it keeps how many it was to score."""

    n_scored: ClassVar[list[int]] = []

    def proposed(self, history: History, n: int, now: datetime) -> IntArray:
        return self.candidates(history, 2, now)

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        self.n_scored.append(len(items))
        return super().scores(history, items, now)


@pytest.mark.parametrize(
    ("n", "shuffle", "n_scored"),
    [
        (2, 0.0, [2]),  # what it proposes is enough
        (3, 0.0, [2, 6]),  # it is not: the six that are shown are looked at
        (2, 0.01, [6]),  # chance may lift any of them
    ],
)
def test_a_ranker_of_a_small_catalog_scores_its_candidates_and_all_others_where_these_could_join(
    n: int, shuffle: float, n_scored: list[int], tmp_path: Path
) -> None:
    events = [event(user_id, name) for user_id, names in BASKETS.items() for name in names]
    world = snapshot(tmp_path / "snapshot", events, SHOP)
    ranker = ProposingTwo.fit(world, PopularitySettings(), np.random.default_rng(0))
    bundle = Bundle.of(world, [ranker], "popularity", NOW, "test")
    pipeline = Pipeline(bundle, Recipes(recipes={"two": Recipe(ranker="popularity", shuffle=shuffle)}))
    ProposingTwo.n_scored.clear()
    with patch.object(serving.pipeline, "SPARE_CANDIDATES", 0):  # with as many to spare all of them are wanted
        ranking = pipeline.rank(Query(History.empty(), NOW, recipe="two", n=n, seed=1))
    assert [bundle.items.id(i) for i in ranking.items][:2] == ["tea", "milk"]
    assert len(ranking.items) == n
    assert set(ranking.scorers) == {"popularity"}
    assert ProposingTwo.n_scored == n_scored


KINDS = {row["item_id"]: row.get("kind", [None])[0] for row in SHOP}
names = st.lists(st.sampled_from([*SHOWN, "z-hidden", "z-unlisted", "z-expired"]), max_size=5, unique=True)


@settings(deadline=None)
@given(
    user_id=st.sampled_from([*BASKETS, "nobody"]),
    recipe=st.sampled_from(["for_you", "discover", "popular", "similar"]),
    n=st.integers(1, 12),
    context=names,
    exclude=names,
    only=st.none() | names,
    kind=st.none() | st.sampled_from(["drink", "food", "nonsense"]),
    by_candidates=st.booleans(),
)
def test_the_laws_of_a_ranking(
    user_id: str,
    recipe: str,
    n: int,
    context: list[str],
    exclude: list[str],
    only: list[str] | None,
    kind: str | None,
    by_candidates: bool,
) -> None:
    few, spare = (0, 0) if by_candidates else (2_000, 50)  # with the usual limits a tiny world never asks twice
    with patch.multiple(serving.pipeline, FEW_ITEMS=few, SPARE_CANDIDATES=spare):
        check_the_laws(user_id, recipe, n, context, exclude, only, kind)


def check_the_laws(
    user_id: str,
    recipe: str,
    n: int,
    context: list[str],
    exclude: list[str],
    only: list[str] | None,
    kind: str | None,
) -> None:
    condition = {} if kind is None else {"filter": f"kind = '{kind}'"}
    listed = {} if only is None else {"only": only}
    asked = query(user_id, recipe=recipe, n=n, context=context, exclude=exclude, **condition, **listed)
    ranking = shop().rank(asked)
    found = [shop().bundle.items.id(i) for i in ranking.items]

    allowed = SHOWN - set(context) - set(exclude)
    if only is not None:
        allowed &= set(only)
    if kind is not None:
        allowed = {name for name in allowed if KINDS[name] == kind}
    if recipe == "discover":
        allowed -= set(BASKETS.get(user_id, []))

    assert len(found) <= n
    assert len(set(found)) == len(found)
    assert set(found) <= allowed
    if recipe != "similar" or only is not None:
        assert len(found) == min(n, len(allowed))
    assert (ranking.shortfall_reason is None) == (len(found) == n)
    assert len(ranking.scores) == len(ranking.scorers) == len(found)
    for name in set(ranking.scorers):
        scores = ranking.scores[[name == other for other in ranking.scorers]]
        assert (np.diff(scores) <= 0).all()
        assert (scores > 0).all() or name == "catalog"
    parts = shop().contributions(asked, ranking)
    assert [reduce(add, one.values(), 0.0) for one in parts] == ranking.scores.tolist()
    assert all(reason.text for reason in shop().reasons(asked, ranking))
    assert [shop().bundle.items.id(i) for i in shop().rank(asked).items] == found
