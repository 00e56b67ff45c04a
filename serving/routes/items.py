"""The items of the catalog."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from serving.answers import items as answers
from serving.routes.parts import answered, serving
from serving.wire import items as wire
from serving.wire.messages import Id

router = APIRouter()


@router.get("/v1/items/{item_id:path}", response_model=wire.Item)
async def item(request: Request, item_id: Id) -> Response:
    """Return what the catalog says of an item."""
    return answered(answers.item(serving(request).pipeline.bundle, item_id))
