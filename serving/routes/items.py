"""The items of the catalog, and their changes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from features.catalog import Row, parse
from features.errors import InvalidInput, NotFound
from serving.answers import items as answers
from serving.catalog_changes import Changes, Outcome, changes, written
from serving.routes.parts import answered, assembly, json_of
from serving.wire import items as wire
from serving.wire.messages import Id, printable

router = APIRouter()


@router.get("/v1/items/{item_id:path}", response_model=wire.Item)
async def item(request: Request, item_id: Id) -> Response:
    """Return what the catalog says of an item."""
    parts = assembly(request)
    served = parts.champion.served() if parts.champion.ready else None
    return answered(answers.item(served, parts.reader, item_id))


@router.post("/v1/items", response_model=wire.CatalogAnswer, openapi_extra=wire.CHANGES_BODY)
async def change_items(request: Request) -> Response:
    """Add, replace, patch and delete up to 1,000 items at once; bad ones come back with index, field and reason."""
    given = changes(await json_of(request), wire.MAX_ITEMS)
    return answered(_answer(await _written(request, given), given))


@router.put("/v1/items/{item_id:path}", response_model=wire.CatalogAnswer, openapi_extra=wire.ITEM_BODY)
async def put_item(request: Request, item_id: Id) -> Response:
    """Add an item, or replace it as a whole."""
    given = Changes(put=[(0, _parsed(await json_of(request), item_id))])
    return answered(_answer(await _written(request, given), given))


@router.patch("/v1/items/{item_id:path}", response_model=wire.CatalogAnswer, openapi_extra=wire.ITEM_BODY)
async def patch_item(request: Request, item_id: Id) -> Response:
    """Change some fields of an item: its price, its stock, whether it is visible."""
    given = Changes(patch=[(0, _parsed(await json_of(request), item_id))])
    return answered(_answer(await _written(request, given, item_id), given))


@router.delete("/v1/items/{item_id:path}", response_model=wire.CatalogAnswer)
async def delete_item(request: Request, item_id: Id) -> Response:
    """Take an item out of the catalog."""
    given = Changes(delete=[(0, item_id)])
    return answered(_answer(await _written(request, given, item_id), given))


def _parsed(record: Any, item_id: str) -> Row:
    """Return the item of the address; the body may repeat its id, and no other."""
    if isinstance(record, dict) and record.get("item_id", item_id) != item_id:
        raise InvalidInput(f"item_id: the address names {item_id!r}, and the body {record['item_id']!r}.")
    return parse({**record, "item_id": item_id} if isinstance(record, dict) else record)


async def _written(request: Request, given: Changes, needed: str | None = None) -> Outcome:
    """Return what became of ``given``, once it is durable; the item ``needed`` must have been there."""
    parts = assembly(request)
    outcome = await parts.writer.committed(lambda: written(parts.catalog, given), len(given))
    if needed is not None and outcome.unknown:
        raise NotFound(f"There is no item {needed!r} in the catalog.")
    return outcome


def _answer(outcome: Outcome, given: Changes) -> wire.CatalogAnswer:
    rejected = [
        wire.RejectedItem(part=part, index=index, field=printable(error.field), reason=printable(error.reason))
        for part, index, error in [*given.rejected, *outcome.unknown]
    ]
    return wire.CatalogAnswer(
        catalog_version=outcome.version,
        added=outcome.added,
        changed=outcome.changed,
        unchanged=outcome.unchanged,
        deleted=outcome.deleted,
        rejected=rejected,
    )
