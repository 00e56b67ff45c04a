"""Items of the catalog."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from serving.wire.messages import Answer


class Item(Answer):
    """One item of the catalog."""

    model_version: str
    item_id: str
    in_catalog: bool = Field(description="False for what only events name.")
    item_type: str | None
    title: str | None
    url: str | None
    image_url: str | None
    price: float | None
    list_price: float | None
    stock: float | None
    visible: bool | None
    published_at: datetime | None
    expires_at: datetime | None
    dimensions: dict[str, list[str]]
