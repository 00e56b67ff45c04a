"""What is told of items."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from features.catalog import FIELDS, Catalog
from features.errors import NotFound
from features.fields import EPOCH
from models.bundle import Bundle
from serving.champion import Served
from serving.wire import items as wire


def item(served: Served | None, catalog: Catalog, item_id: str) -> wire.Item:
    """Return what the catalog says of an item now; of one that it does not have, what the bundle said of it.

    Raises:
        NotFound: there is no such item.
    """
    index = None if served is None else served.pipeline.bundle.items.find(item_id)
    bundle = None if index is None or served is None else served.pipeline.bundle
    row: dict[str, Any] | None = catalog.row(item_id)
    in_catalog = row is not None
    if row is not None:
        for name in ("published_at", "expires_at"):
            moment_us = row[f"{name}_us"]
            row[name] = None if moment_us is None else EPOCH + timedelta(microseconds=moment_us)
        dimensions = row["dimensions"]
    elif bundle is not None and index is not None and served is not None:
        row = bundle.catalog.row(index, named=True)
        in_catalog = bool(served.pipeline.catalog.in_catalog[index])
        dimensions = {name: row[name] for name in bundle.manifest.dimensions if row[name]}
    else:
        raise NotFound(f"There is no item {item_id!r}.")
    return wire.Item(
        **{name: row[name] for name in FIELDS},
        in_catalog=in_catalog,
        dimensions=dimensions,
        catalog_version=catalog.version,
        model_version=None if bundle is None else bundle.manifest.bundle_id,
    )


def index_of(bundle: Bundle, item_id: str) -> int:
    """Return the index of an item.

    Raises:
        NotFound: there is no such item.
    """
    index = bundle.items.find(item_id)
    if index is None:
        raise NotFound(f"There is no item {item_id!r}.")
    return index
