from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from features.catalog import Catalog, parse
from features.layout import Layout
from models.bundle import Bundle
from serving import live_catalog
from serving.live_catalog import LiveCatalog
from tests.serving.shop import SHOP, bundle_of


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """A catalog of another folder than the bundle was made in."""
    with closing(Catalog(Layout(tmp_path))) as catalog:
        yield catalog


def reading(catalog: Catalog, tmp_path: Path) -> Catalog:
    """Return the catalog over a connection of its own, as another process has it."""
    return Catalog(Layout(tmp_path))


def test_without_a_catalog_it_is_the_bundle_s_own(bundle: Bundle) -> None:
    live = LiveCatalog(bundle)
    assert not live.refresh()
    assert len(live) == live.bundle_size == len(bundle.items)
    sold_out, hidden = live.indices(["z-sold-out", "z-hidden"])
    assert live.stock[sold_out] == 0
    assert np.isnan(live.stock[hidden])
    assert not live.visible[hidden]
    assert live.rows(None).equals(bundle.catalog)


def test_a_change_by_anybody_is_there_at_the_next_refresh(bundle: Bundle, catalog: Catalog, tmp_path: Path) -> None:
    live = LiveCatalog(bundle, reading(catalog, tmp_path))
    tea = live.find("tea")
    assert tea is not None
    assert np.isnan(live.stock[tea])
    catalog.put([parse({"item_id": "tea", "price": 4.5, "stock": 0, "dimensions": {"kind": "drink"}})])
    assert live.refresh()
    assert not live.refresh()
    assert (live.price[tea], live.stock[tea]) == (4.5, 0)
    assert live.row(tea)["price"] == 4.5
    catalog.patch([{"item_id": "tea", "stock": 3.0}])
    catalog.delete(["tea"])
    assert live.refresh()
    assert not live.in_catalog[tea]
    assert live.row(tea)["in_catalog"] is False


def test_an_added_item_comes_after_those_of_the_bundle(bundle: Bundle, catalog: Catalog, tmp_path: Path) -> None:
    live = LiveCatalog(bundle, reading(catalog, tmp_path))
    catalog.put([parse({"item_id": "rum", "price": 20, "published_at": "2026-01-30T00:00:00Z"})])
    live.refresh()
    rum = live.find("rum")
    assert rum == live.bundle_size == len(live) - 1
    assert live.id(rum) == "rum"
    assert live.indices(["rum", "tea", "gin"]).tolist() == [rum, bundle.items.find("tea"), -1]
    assert live.in_catalog[rum]
    assert live.in_catalog.shape == live.price.shape == (len(live),)
    assert rum in live.latest[:2]


def test_rows_are_those_of_the_bundle_with_the_changed_ones_in_their_place(
    bundle: Bundle, catalog: Catalog, tmp_path: Path
) -> None:
    live = LiveCatalog(bundle, reading(catalog, tmp_path))
    catalog.put([parse({"item_id": "rum", "dimensions": {"kind": "drink", "proof": "80"}})])
    catalog.put([parse({"item_id": "tea", "title": "Green tea"})])
    live.refresh()
    rows = live.rows(live.indices(["milk", "rum", "tea"]))
    assert rows["item_id"].to_list() == ["milk", "rum", "tea"]
    assert rows["title"].to_list() == ["Item milk", None, "Green tea"]
    assert rows["kind"].to_list() == [["drink"], ["drink"], []]
    assert rows.schema == bundle.catalog.schema
    assert live.rows(None)["item_id"].to_list() == [*bundle.catalog["item_id"], "rum"]


def test_it_tells_what_has_changed_since_a_version(bundle: Bundle, catalog: Catalog, tmp_path: Path) -> None:
    live = LiveCatalog(bundle, reading(catalog, tmp_path))
    before = live.version
    catalog.put([parse({"item_id": "tea"}), parse({"item_id": "milk"}), parse({"item_id": "tea", "price": 1})])
    live.refresh()
    changed = live.changed_since(before)
    assert changed is not None
    assert [live.id(one) for one in changed] == ["milk", "tea"]
    assert live.changed_since(live.version).tolist() == []
    assert live.changed_since(before - 1) is None


def test_what_the_bundle_holds_already_is_no_change(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "var")
    with closing(Catalog(Layout(tmp_path / "var"))) as own, closing(Catalog(Layout(tmp_path / "other"))) as other:
        assert LiveCatalog(bundle, own).version == len(SHOP)
        assert LiveCatalog(bundle, own).changed_since(len(SHOP)).tolist() == []
        assert LiveCatalog(bundle, other).version == 0


def test_it_can_be_had_as_of_an_earlier_version(bundle: Bundle, catalog: Catalog, tmp_path: Path) -> None:
    catalog.put([parse({"item_id": "tea", "stock": 1}), parse({"item_id": "rum"})])
    catalog.patch([{"item_id": "tea", "stock": 0.0}])
    catalog.delete(["rum"])
    then, now = (LiveCatalog(bundle, reading(catalog, tmp_path), version) for version in (2, None))
    assert [live.stock[live.find("tea")] for live in (then, now)] == [1, 0]
    assert then.in_catalog[then.find("rum")]
    assert now.find("rum") is None
    catalog.patch([{"item_id": "tea", "stock": 7.0}])
    assert not then.refresh()


def test_many_changes_become_columns_and_say_the_same(
    bundle: Bundle, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_catalog, "FEW", 2)
    monkeypatch.setattr(live_catalog, "PORTION", 2)
    live = LiveCatalog(bundle, reading(catalog, tmp_path))
    names = ["tea", "rum", "milk", "pan", "cake"]
    catalog.put([parse({"item_id": one, "price": 7.0, "dimensions": {"kind": ["a", "b"]}}) for one in names])
    catalog.delete(["milk"])
    assert live.refresh()
    assert live.version == catalog.version
    assert len(live) == live.bundle_size + 2
    for one in names:
        index = live.find(one)
        assert index is not None
        row = live.row(index)
        assert (row["item_id"], row["in_catalog"]) == (one, one != "milk")
        assert live.rows(np.array([index], np.int32)).row(0, named=True) == row
        assert one == "milk" or (row["price"], row["kind"]) == (7.0, ["a", "b"])
    assert live.rows(None)["item_id"].to_list()[: live.bundle_size] == bundle.catalog["item_id"].to_list()
    catalog.patch([{"item_id": "tea", "price": 8.0}])
    assert live.refresh()
    assert live.row(live.find("tea") or 0)["price"] == 8.0


@pytest.mark.parametrize("few", [1, 1_000])
def test_columns_say_what_the_rows_say_whatever_has_changed(
    bundle: Bundle, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(live_catalog, "FEW", few)
    live = LiveCatalog(bundle, reading(catalog, tmp_path))
    catalog.put([parse({"item_id": one, "price": 7.0, "dimensions": {"kind": ["a"]}}) for one in ("tea", "milk")])
    for change in (
        lambda: catalog.patch([{"item_id": "tea", "stock": 1.0}, {"item_id": "milk", "stock": None}]),
        lambda: catalog.patch([{"item_id": "tea", "title": "Tea", "dimensions": {"kind": ["a", "b"]}}]),
        lambda: catalog.put([parse({"item_id": "rum"}), parse({"item_id": "cake", "dimensions": {}})]),
        lambda: catalog.delete(["milk"]),
        lambda: None,
    ):
        change()
        live.refresh()
        every = np.arange(len(live), dtype=np.int32)
        rows = [dict(live.row(index)) for index in every.tolist()]
        assert live.rows(every).to_dicts() == rows
        assert live.rows(None).to_dicts() == rows
        assert [live.row(index) for index in every.tolist()] == rows
        assert live.rows(None).schema == bundle.catalog.schema
