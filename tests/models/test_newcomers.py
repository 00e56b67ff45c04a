from pathlib import Path

import numpy as np
import pytest

from features.snapshot import Snapshot
from models.bundle import Bundle
from models.newcomers import Newcomers, NewcomersSettings
from models.popularity import Popularity, PopularitySettings
from models.titles import TitlesSettings
from serving.pipeline import Pipeline
from serving.query import Query
from serving.recipes import BUILT_IN, Recipes
from tests.worlds import NOW, event, item, snapshot

SETTINGS = NewcomersSettings(titles=TitlesSettings(largest_share=0.9))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A shop where tents are followed by lamps; a new tent, a new lamp and a new toy were chosen by nobody."""
    items = [
        item("tent", title="mountain tent", kind=["tent"]),
        item("lamp", title="bright lamp", kind=["lamp"]),
        item("toy", title="wooden toy", kind=["toy"]),
        item("new-tent", title="family tent", kind=["tent"]),
        item("new-lamp", title="small lamp", kind=["lamp"]),
        item("new-toy", title="little toy", kind=["toy"]),
    ]
    events = [event(f"u{user}", name, days) for user in range(4) for name, days in (("tent", 9.0), ("lamp", 2.0))]
    return snapshot(tmp_path_factory.mktemp("shop"), [*events, event("other", "toy", 3.0)], items)


def fitted(shop: Snapshot, **changed: float) -> Newcomers:
    return Newcomers.fit(shop, SETTINGS.model_copy(update=changed), np.random.default_rng(0))


def names(shop: Snapshot, scorer: Newcomers, user: str) -> list[str]:
    history = shop.interactions.of(shop.users.index(user))
    return [shop.items.id(int(one)) for one in scorer.candidates(history, 10, NOW)]


def test_only_what_nobody_chose_is_proposed_the_like_of_the_last_first(shop: Snapshot) -> None:
    assert names(shop, fitted(shop), "u0") == ["new-lamp", "new-tent"]
    assert names(shop, fitted(shop), "other") == ["new-toy"]


def test_the_like_of_what_usually_follows_suits_too(shop: Snapshot) -> None:
    tent = shop.interactions.of(shop.users.index("u0"))[:1]
    new_lamp = np.array([shop.items.index("new-lamp")], np.int32)

    assert fitted(shop).scores(tent, new_lamp, NOW)[0] > 0
    assert fitted(shop, following_weight=0.0).scores(tent, new_lamp, NOW)[0] == 0


def test_the_service_ranks_new_items_by_a_recipe(shop: Snapshot, tmp_path: Path) -> None:
    popularity = Popularity.fit(shop, PopularitySettings(), np.random.default_rng(0))
    Bundle.of(shop, [popularity, fitted(shop)], popularity.name, NOW, "").save(tmp_path / "bundle")
    pipeline = Pipeline(Bundle.load(tmp_path / "bundle"), Recipes.read(BUILT_IN))
    query = Query(shop.interactions.of(shop.users.index("u0")), NOW, n=2, recipe="new_items")

    ranking = pipeline.rank(query)

    assert [shop.items.id(int(one)) for one in ranking.items] == ["new-lamp", "new-tent"]
    assert pipeline.reasons(query, ranking)[0].kind == "new"
    one_click = Query(
        shop.interactions.of(0)[:0], NOW, n=1, recipe="new_items", context=np.array([shop.items.index("toy")], np.int32)
    )
    assert [shop.items.id(int(one)) for one in pipeline.rank(one_click).items] == ["new-toy"]


def test_a_catalog_without_new_items_has_none_to_propose(tmp_path: Path) -> None:
    sold_out = snapshot(tmp_path, [event("u", "a"), event("u", "b", 2.0)], [item("a"), item("b")])
    assert not len(fitted(sold_out).candidates(sold_out.interactions.of(0), 5, NOW))
