"""What is told of items."""

from __future__ import annotations

from features.errors import NotFound
from models.bundle import Bundle
from serving.wire import items as wire


def item(bundle: Bundle, item_id: str) -> wire.Item:
    """Return what the catalog says of an item.

    Raises:
        NotFound: there is no such item.
    """
    row = bundle.catalog.row(index_of(bundle, item_id), named=True)
    dimensions = {name: row[name] or [] for name in bundle.manifest.dimensions}
    return wire.Item(model_version=bundle.manifest.bundle_id, dimensions=dimensions, **row)


def index_of(bundle: Bundle, item_id: str) -> int:
    """Return the index of an item.

    Raises:
        NotFound: there is no such item.
    """
    index = bundle.items.find(item_id)
    if index is None:
        raise NotFound(f"There is no item {item_id!r}.")
    return index


def title_of(bundle: Bundle, index: int) -> str | None:
    """Return the title of the item ``index``, if it has one."""
    title: str | None = bundle.catalog["title"][int(index)]
    return title
