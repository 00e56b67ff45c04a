"""Items of the catalog."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import Field

from features.fields import NAME
from serving.wire.messages import Answer

MAX_ITEMS: Final = 1_000
"""How many items one request may change."""


class Item(Answer):
    """One item of the catalog."""

    item_id: str
    in_catalog: bool = Field(description="False for what only events name, and for what was deleted.")
    item_type: str | None
    title: str | None
    description: str | None
    url: str | None
    image_url: str | None
    price: float | None
    list_price: float | None
    stock: float | None
    visible: bool | None
    published_at: datetime | None
    expires_at: datetime | None
    dimensions: dict[str, list[str]]
    catalog_version: int = Field(description="The last change of the catalog that this answer knows of.")
    model_version: str | None = Field(default=None, description="The bundle now served, if it has the item.")


class RejectedItem(Answer):
    """A change of the request that was not made."""

    part: str = Field(description="Where it stands in the request: put, patch or delete.")
    index: int = Field(description="Its place there, from 0 on.")
    field: str = Field(description="The field at fault; empty where it is the whole record.")
    reason: str = Field(description="What is allowed there.")


class CatalogAnswer(Answer):
    """What became of changes: they hold from the next request on, in every path."""

    catalog_version: int = Field(description="The number of the last change of the catalog.")
    added: int
    changed: int
    unchanged: int
    deleted: int
    rejected: list[RejectedItem]


def _text(max_length: int, description: str) -> dict[str, Any]:
    return {"type": ["string", "null"], "minLength": 1, "maxLength": max_length, "description": description}


def _number(description: str, minimum: float = 0) -> dict[str, Any]:
    return {"type": ["number", "null"], "minimum": minimum, "maximum": 1e12, "description": description}


def _time(description: str) -> dict[str, Any]:
    return {"type": ["string", "null"], "format": "date-time", "description": description}


_ID: Final = {"type": "string", "minLength": 1, "maxLength": 128}
_FIELDS: Final[dict[str, Any]] = {
    "item_id": _ID,
    "item_type": {
        "type": ["string", "null"],
        "pattern": f"^{NAME}$",
        "maxLength": 64,
        "description": "product, article ...",
    },
    "title": _text(1024, "What it is called."),
    "description": _text(65_536, "What it is."),
    "url": _text(4096, "Its page."),
    "image_url": _text(4096, "Its picture."),
    "price": _number("What it costs."),
    "list_price": _number("What it costs when nothing is off."),
    "stock": _number("How many there are; unlimited where left out or null.", -1e12),
    "visible": {"type": ["boolean", "null"], "description": "Whether it may be shown; true where left out."},
    "published_at": _time("It is not shown before; with its offset from UTC."),
    "expires_at": _time("It is not shown from then on."),
    "dimensions": {
        "type": ["object", "null"],
        "propertyNames": {"pattern": f"^{NAME}$", "maxLength": 64},
        "additionalProperties": {"type": ["string", "array", "null"], "items": {"type": ["string", "null"]}},
        "examples": [{"category": ["Home > Lamps"], "colour": ["black"]}],
        "description": "Brand, colour, category ...: names, each with a text or a list of texts.",
    },
}
_ITEM: Final[dict[str, Any]] = {"type": "object", "additionalProperties": False, "properties": _FIELDS}
_NAMED: Final[dict[str, Any]] = {**_ITEM, "required": ["item_id"]}
_CHANGES: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "put": {
            "type": "array",
            "maxItems": MAX_ITEMS,
            "items": _NAMED,
            "description": "Items to add or replace as a whole.",
        },
        "patch": {"type": "array", "maxItems": MAX_ITEMS, "items": _NAMED, "description": "Fields to change."},
        "delete": {"type": "array", "maxItems": MAX_ITEMS, "items": _ID, "description": "Ids of items to take out."},
    },
}


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


ITEM_BODY: Final = _body(_ITEM)
"""The body of a request about one item, in OpenAPI; ``features.catalog.parse`` reads it."""
CHANGES_BODY: Final = _body(_CHANGES)
"""The body of a request about several."""
