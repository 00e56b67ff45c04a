from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from features.catalog import Catalog, parse
from features.layout import Layout
from serving.cards import Cards
from serving.live_catalog import LiveCatalog
from tests.serving.shop import bundle_of


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with closing(Catalog(Layout(tmp_path / "var"))) as catalog:
        yield catalog


@pytest.fixture
def live(tmp_path: Path, catalog: Catalog) -> LiveCatalog:
    return LiveCatalog(bundle_of(tmp_path), catalog)


def read(cards: Cards, items: list[int]) -> list[tuple[str, float | None]]:
    """Return ids and prices as lists show them, which must agree about the ids."""
    shown = cards.of(items)
    rows = [json.loads(f"{{{card}}}") for card in shown.json]
    assert [row["item_id"] for row in rows] == shown.item_ids
    return [(row["item_id"], row.get("price")) for row in rows]


@pytest.mark.parametrize("kept", [1, 2, 3, 100])
def test_lists_show_the_same_however_few_cards_are_kept(live: LiveCatalog, kept: int) -> None:
    cards = Cards(live, kept)
    for items in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 0], [], list(range(len(live)))):
        assert read(cards, items) == [(live.id(item), live.row(item)["price"]) for item in items]
        assert sum(map(bool, cards._cards)) == cards._n <= kept


def test_a_change_and_an_item_that_is_added_show(live: LiveCatalog, catalog: Catalog) -> None:
    cards, tea = Cards(live, 2), live.find("tea")
    assert tea is not None
    assert read(cards, [tea, 0]) == [("tea", 4.0), ("beer", 3.0)]
    catalog.put([parse({"item_id": "tea", "price": 4.5}), parse({"item_id": "wine", "price": 8.0})])
    live.refresh()
    wine = live.find("wine")
    assert wine is not None
    assert read(cards, [wine, tea, 0]) == [("wine", 8.0), ("tea", 4.5), ("beer", 3.0)]
