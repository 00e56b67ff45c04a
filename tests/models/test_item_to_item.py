from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.item_to_item import ItemToItem, ItemToItemSettings
from tests.worlds import NOW, event, item, snapshot

RNG = np.random.default_rng(0)
COSINE = {"own_exponent": 0.5, "neighbour_exponent": 0.5, "half_life_days": 1e9}


def test_the_strength_is_the_cosine_of_who_chose_the_two(tmp_path: Path) -> None:
    events = [event("ann", "tea"), event("ann", "milk"), event("bob", "tea"), event("bob", "milk"), event("eve", "tea")]
    shop = snapshot(tmp_path / "snapshot", events, [])
    model = ItemToItem.fit(shop, ItemToItemSettings(**COSINE), RNG)
    tea_only = shop.interactions.of(shop.users.index("eve"))
    score = model.scores(tea_only, shop.items.indices(["milk", "tea"]), NOW)
    assert score.tolist() == pytest.approx([2 / np.sqrt(2 * 3), 0])


def test_who_chose_a_lot_tells_less_by_each_pair(tmp_path: Path) -> None:
    events = [event("ann", one) for one in ("tea", "milk")]
    events += [event("bob", one) for one in ("tea", "salt", "oil", "rice")]
    shop = snapshot(tmp_path / "snapshot", events, [])
    plain = {"own_exponent": 0, "neighbour_exponent": 0, "half_life_days": 1e9, "length_exponent": 1.0}
    model = ItemToItem.fit(shop, ItemToItemSettings(**plain), RNG)
    tea_only = shop.interactions.of(shop.users.index("ann"))
    tea_only = tea_only[:1] if shop.items.id(int(tea_only.item[0])) == "tea" else tea_only[1:]
    score = model.scores(tea_only, shop.items.indices(["milk", "salt"]), NOW)
    assert score.tolist() == pytest.approx([1 / 2, 1 / 4])


def test_an_item_nobody_chose_resembles_those_of_the_same_kind(tmp_path: Path) -> None:
    catalog = [item(name, kind=[kind]) for name, kind in (("tea", "drink"), ("cola", "drink"), ("salt", "spice"))]
    events = [event("ann", "tea"), event("ann", "salt"), event("bob", "cola", event_type="view", quantity=0.0)]
    shop = snapshot(tmp_path / "snapshot", [*events, event("bob", "new", 0.5)], [*catalog, item("new", kind=["drink"])])
    seen = ItemToItem.fit(shop, ItemToItemSettings(), RNG)
    assert shop.items.id(int(seen.candidates(shop.interactions.of(1)[-1:], 1, NOW)[0])) == "cola"  # bob chose both

    shop = snapshot(tmp_path / "cold", events[:2], [*catalog, item("new", kind=["drink"])])
    model = ItemToItem.fit(shop, ItemToItemSettings(), RNG)
    start, end = model.indptr[shop.items.index("new") :][:2]
    assert {shop.items.id(int(one)) for one in model.indices[start:end]} == {"tea", "cola"}


def test_no_list_of_neighbours_is_longer_than_asked_and_the_strongest_come_first(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    events = [event(f"u{user}", f"i{one}") for user in range(30) for one in draw.permutation(20)[:8]]
    model = ItemToItem.fit(snapshot(tmp_path / "s", events, []), ItemToItemSettings(neighbours=5), RNG)
    for start, end in zip(model.indptr[:-1], model.indptr[1:], strict=True):
        assert end - start <= 5
        assert (np.diff(model.strength[start:end]) <= 0).all()


def test_the_reason_names_the_item_of_the_history_that_goes_best(tmp_path: Path) -> None:
    events = [event(user, one) for user in ("ann", "bob", "eve") for one in ("tea", "milk")]
    events += [event("dan", "tea", 3.0), event("dan", "salt", 2.0), event("ann", "salt", 2.0)]
    shop = snapshot(tmp_path / "snapshot", events, [])
    model = ItemToItem.fit(shop, ItemToItemSettings(**COSINE), RNG)
    reason = model.reason(shop.interactions.of(shop.users.index("dan")), shop.items.index("milk"), NOW)
    assert reason is not None
    assert reason.items[0] == shop.items.index("tea")


def test_of_a_long_history_a_column_tells_the_score_of_its_latest_interactions_alone(tmp_path: Path) -> None:
    # Milk goes with tea for ann and bob, salt with oil for eve; of dan's history oil is the latest.
    events = [event(user, one) for user in ("ann", "bob") for one in ("tea", "milk")]
    events += [event("eve", "oil"), event("eve", "salt"), event("dan", "tea", 3.0), event("dan", "oil", 1.0)]
    shop = snapshot(tmp_path / "snapshot", events, [])
    dan, items = shop.interactions.of(shop.users.index("dan")), shop.items.indices(["milk", "salt"])
    model = ItemToItem.fit(shop, ItemToItemSettings(**COSINE, latest=1), RNG)
    milk, salt = model.features(dan, items, NOW).tolist()
    assert milk == pytest.approx([2 / np.sqrt(3 * 2), 0, milk[2], milk[3]])
    assert salt == pytest.approx([1 / np.sqrt(2 * 1), 1 / np.sqrt(2 * 1), salt[2], salt[3]])
    whole = ItemToItem.fit(shop, ItemToItemSettings(**COSINE, latest=2), RNG).features(dan, items, NOW)
    assert whole[:, 0].tolist() == whole[:, 1].tolist()
