"""The catalog: what goes in comes out, and the same again changes nothing."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.catalog import FIELDS, Catalog, Upserted, problem_of_dimensions
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
