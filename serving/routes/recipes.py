"""Recipes: how rankings are made."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from serving.recipes import Recipe
from serving.routes.parts import answered, assembly
from serving.wire import recipes as wire

router = APIRouter()

Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]


@router.get("/v1/recipes", response_model=wire.RecipeList)
async def recipes(request: Request) -> Response:
    """Return the recipes that requests may name."""
    current = assembly(request).recipes.current()
    return answered(wire.RecipeList(recipes=[_named(request, name, one) for name, one in current.recipes.items()]))


@router.get("/v1/recipes/{name}", response_model=wire.NamedRecipe)
async def recipe(request: Request, name: Name) -> Response:
    """Return one recipe."""
    return answered(_named(request, name, assembly(request).recipes.current()[name]))


@router.put("/v1/recipes/{name}", response_model=wire.NamedRecipe)
async def put_recipe(request: Request, name: Name, body: Recipe) -> Response:
    """Put a recipe in place; every worker answers by it from its next request on."""
    parts = assembly(request)
    if parts.champion.ready:
        parts.champion.served().pipeline.prepare(body)
    values = body.model_dump(mode="json", exclude_defaults=True)
    now = parts.moment()
    await parts.writer.committed(lambda: parts.recipes.put(name, body.version, values, now))
    return answered(_named(request, name, body))


@router.delete("/v1/recipes/{name}", status_code=204)
async def delete_recipe(request: Request, name: Name) -> Response:
    """Take back a recipe that was put in place; a built-in one of that name counts again."""
    parts, now = assembly(request), assembly(request).moment()
    await parts.writer.committed(lambda: parts.recipes.withdraw(name, now))
    return Response(status_code=204)


def _named(request: Request, name: str, one: Recipe) -> wire.NamedRecipe:
    champion = assembly(request).champion
    available = bool(champion.served().pipeline.prepare(one).tiers) if champion.ready else None
    given = one.model_dump(mode="json", exclude_defaults=True)
    return wire.NamedRecipe(name=name, version=one.version, available=available, recipe=given)
