"""Recipes."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from serving.wire.messages import Answer


class NamedRecipe(Answer):
    """A recipe in force."""

    name: str
    version: str = Field(description="Hash of the content.")
    available: bool | None = Field(default=None, description="Whether the bundle now served can answer it.")
    recipe: dict[str, Any] = Field(description="What differs from the defaults; the keys are those of recipes.toml.")


class RecipeList(Answer):
    """The recipes that requests may name."""

    recipes: list[NamedRecipe]
