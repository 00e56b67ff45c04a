"""Named ways to make a ranking."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import Field

from features.errors import NotFound
from features.settings import Settings

MODEL: Final = "model"
"""In a recipe, stands for the scorer that the bundle names as its model."""


class Recipe(Settings):
    """What proposes and scores, and what is removed."""

    scorers: tuple[str, ...] = Field(min_length=1)
    """Asked in turn: where the first has too few items, the next ones fill the rest of the list."""
    exclude_bought: bool = False
    """Whether to remove what the profile ever bought."""
    filter: str | None = None
    """A SQL condition that every returned item meets."""
    fill: bool = False
    """Whether to end a list that is still short with any items that pass the filters, the latest published first."""


class Recipes(Settings):
    """The recipes that requests may name."""

    recipes: dict[str, Recipe]

    def __getitem__(self, name: str) -> Recipe:
        """Return the recipe ``name``.

        Raises:
            NotFound: there is none.
        """
        if name not in self.recipes:
            raise NotFound(f"There is no recipe {name!r}. Recipes: {', '.join(self.recipes)}.")
        return self.recipes[name]


BUILT_IN: Final = Path(__file__).with_name("recipes.toml")
