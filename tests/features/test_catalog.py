"""The catalog: what goes in comes out, and the same again changes nothing."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.catalog import FIELDS, Catalog, InvalidItem, Upserted, parse, problem_of_dimensions
from features.layout import Layout

TEXT = ("item_id", "item_type", "title", "description", "url", "image_url")
TYPES: dict[str, Any] = {
    name: pl.String if name in TEXT else pl.Boolean if name == "visible" else pl.Float64 for name in FIELDS
} | {"published_at": pl.Datetime("us", "UTC"), "expires_at": pl.Datetime("us", "UTC")}


def items(*rows: dict[str, Any], **dimensions: list[list[str] | None]) -> pl.DataFrame:
    """Return checked items; what is not given is missing."""
    full = [dict.fromkeys(FIELDS) | {"item_type": "product", "visible": True} | row for row in rows]
    columns = [pl.Series(name, values, dtype=pl.List(pl.String)) for name, values in dimensions.items()]
    return pl.DataFrame(full, schema=TYPES).with_columns(columns)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(Layout(tmp_path / "var"))


def exported(catalog: Catalog, tmp_path: Path) -> list[dict[str, Any]]:
    catalog.export(tmp_path / "catalog.parquet")
    return pl.read_parquet(tmp_path / "catalog.parquet").to_dicts()


def test_an_item_comes_back_as_it_was_given(catalog: Catalog, tmp_path: Path):
    item = {
        "item_id": "i1",
        "item_type": "article",
        "title": "Zürich",
        "description": "two\nlines",
        "url": "/i1",
        "image_url": "/i1.jpg",
        "price": 9.99,
        "list_price": 12.0,
        "stock": 3.0,
        "visible": False,
        "published_at": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        "expires_at": None,
    }
    catalog.upsert(items(item, category=[["Shoes > Running", "Sale"]]))
    assert exported(catalog, tmp_path) == [item | {"category": ["Shoes > Running", "Sale"]}]


def test_items_are_exported_by_id_and_what_they_lack_is_an_empty_list(catalog: Catalog, tmp_path: Path):
    catalog.upsert(items({"item_id": "b"}, {"item_id": "a"}, size=[["L"], None], brand=[None, ["X"]]))
    rows = exported(catalog, tmp_path)
    assert [(row["item_id"], row["brand"], row["size"]) for row in rows] == [("a", ["X"], []), ("b", [], ["L"])]
    assert list(rows[0])[-2:] == ["brand", "size"]


def test_the_same_again_changes_nothing(catalog: Catalog):
    some = items({"item_id": "a", "price": 1.0}, {"item_id": "b"}, size=[["L"], None])
    assert catalog.upsert(some) == Upserted(new=2, changed=0, unchanged=0)
    assert catalog.upsert(some) == Upserted(new=0, changed=0, unchanged=2)


def test_a_change_in_any_field_is_seen(catalog: Catalog, tmp_path: Path):
    catalog.upsert(items({"item_id": "a", "stock": 1.0}, {"item_id": "b"}, size=[["L"], ["M"]]))
    changed = items({"item_id": "a", "stock": None}, {"item_id": "b"}, {"item_id": "c"}, size=[["L"], ["S"], None])
    assert catalog.upsert(changed) == Upserted(new=1, changed=2, unchanged=0)
    assert [(row["stock"], row["size"]) for row in exported(catalog, tmp_path)] == [
        (None, ["L"]),
        (None, ["S"]),
        (None, []),
    ]


def test_of_rows_with_the_same_id_the_last_holds(catalog: Catalog, tmp_path: Path):
    catalog.upsert(items({"item_id": "a", "title": "old"}, {"item_id": "a", "title": "new"}))
    assert [row["title"] for row in exported(catalog, tmp_path)] == ["new"]


def test_an_empty_catalog_is_exported_with_its_columns(catalog: Catalog, tmp_path: Path):
    catalog.export(tmp_path / "catalog.parquet")
    assert pl.read_parquet(tmp_path / "catalog.parquet").columns == list(FIELDS)


@pytest.mark.parametrize("name", ["item_id", "in_catalog", "dimensions", "Brand", "1st", "a b", "x" * 65])
def test_a_name_that_no_dimension_may_have_is_refused(name: str):
    assert problem_of_dimensions(["brand", name]) is not None


def test_an_ordinary_name_is_good():
    assert problem_of_dimensions(["brand", "size_2"]) is None


def test_a_request_gives_an_item_its_fields_and_dimensions():
    given = {"item_id": "a", "price": 2, "published_at": "1970-01-01T00:00:01Z", "url": None}
    dimensions = {"size": "L", "colour": ["red", "blue"], "brand": []}
    assert parse(given | {"dimensions": dimensions}) == {
        "item_id": "a",
        "price": 2.0,
        "published_at_us": 1_000_000,
        "url": None,
        "dimensions": {"colour": ["red", "blue"], "size": ["L"]},
    }


@pytest.mark.parametrize(
    ("record", "field", "reason"),
    [
        ("lamp", "", "must be an object"),
        ({"title": "Lamp"}, "item_id", "is required"),
        ({"item_id": "a", "price": -1}, "price", "must be a number from 0 to"),
        ({"item_id": "a", "colour": "red"}, "colour", "is not known; allowed are item_id, .*, dimensions"),
        ({"item_id": "a", "dimensions": {"price": "1"}}, "dimensions", "has a name that is not allowed"),
        ({"item_id": "a", "dimensions": {"colour": [1]}}, "dimensions", "must be at most 64 texts"),
        ({"item_id": "a", "dimensions": ["red"]}, "dimensions", "must be an object of names and their values"),
    ],
)
def test_an_item_that_is_not_allowed_is_refused_with_its_field(record: object, field: str, reason: str):
    with pytest.raises(InvalidItem, match=reason) as refused:
        parse(record)
    assert refused.value.field == field


def test_a_patch_changes_only_what_it_gives(catalog: Catalog):
    catalog.put([parse({"item_id": "a", "price": 5, "title": "Lamp", "dimensions": {"colour": "red"}})])
    assert catalog.patch([{"item_id": "a", "stock": 0.0, "visible": False}, {"item_id": "b", "stock": 1.0}]) == ["b"]
    row = catalog.row("a")
    assert row is not None
    assert (row["price"], row["title"], row["stock"], row["visible"]) == (5.0, "Lamp", 0.0, False)
    assert row["dimensions"] == {"colour": ["red"]}
    assert catalog.row("b") is None


def test_an_item_that_was_put_replaces_the_one_before_as_a_whole(catalog: Catalog):
    catalog.put([parse({"item_id": "a", "price": 5})])
    assert catalog.put([parse({"item_id": "a", "title": "Lamp"})]) == Upserted(new=0, changed=1, unchanged=0)
    assert catalog.put([parse({"item_id": "a", "title": "Lamp"})]) == Upserted(new=0, changed=0, unchanged=1)
    row = catalog.row("a")
    assert row is not None
    assert row["price"] is None


def test_each_change_has_a_version_and_the_last_of_an_item_tells_what_it_is(catalog: Catalog):
    catalog.put([parse({"item_id": "a", "stock": 1}), parse({"item_id": "b"})])
    assert catalog.version == 2
    catalog.patch([{"item_id": "a", "stock": 2.0}])
    catalog.patch([{"item_id": "a", "stock": 2.0}])
    assert catalog.delete(["b", "c"]) == ["c"]
    assert [(one.version, one.item_id, one.row and one.row["stock"]) for one in catalog.changes(2)] == [
        (3, "a", 2.0),
        (4, "b", None),
    ]
    assert catalog.changes(4) == []


def test_the_catalog_can_be_had_as_it_was_at_any_version(catalog: Catalog):
    catalog.put([parse({"item_id": "a", "stock": 1, "dimensions": {"size": "L"}}), parse({"item_id": "b", "price": 9})])
    first = {name: catalog.row(name) for name in "ab"}
    catalog.patch([{"item_id": "a", "stock": 0.0, "visible": False, "dimensions": {}}])
    catalog.delete(["b"])
    second = {name: catalog.row(name) for name in "ab"}
    catalog.put([parse({"item_id": "b", "price": 1}), parse({"item_id": "c"})])
    assert {one.item_id: one.row for one in catalog.as_of(2)} == {**first, "c": None}
    assert {one.item_id: one.row for one in catalog.as_of(4)} == {"b": second["b"], "c": None}
    assert second["b"] is None


def test_an_export_says_which_catalog_and_which_version_it_is_of(catalog: Catalog, tmp_path: Path):
    catalog.put([parse({"item_id": "a"})])
    assert catalog.export(tmp_path / "catalog.parquet") == f"{catalog.name}:1"
    other = Catalog(Layout(tmp_path / "other"))
    assert other.name != catalog.name
