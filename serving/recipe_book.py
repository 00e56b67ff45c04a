"""The recipes in force: the built-in ones, and those put in place by the API."""

from __future__ import annotations

import json
import sqlite3

from features.errors import NotFound
from serving.recipes import Recipe, Recipes

_STORED = "SELECT name, recipe FROM recipes WHERE recipe IS NOT NULL ORDER BY name"
_PUT = """
    INSERT INTO recipes VALUES (:name, :recipe, (SELECT coalesce(max(revision), 0) + 1 FROM recipes))
    ON CONFLICT (name) DO UPDATE SET recipe = excluded.recipe, revision = excluded.revision
"""


class RecipeBook:
    """Recipes of the file and of the database; those of the database go before those of the same name.

    Every worker sees a change from its next request on.
    """

    def __init__(self, built_in: Recipes, reading: sqlite3.Connection, writing: sqlite3.Connection) -> None:
        """Read over one connection and write over another, which is used inside of an open transaction alone."""
        self._built_in = built_in
        self._database, self._writing = reading, writing
        self._stamp = self._revision = -1
        self._current = built_in

    def current(self) -> Recipes:
        """Return the recipes as they are at this moment; the same object until one changes."""
        stamp = self._database.execute("PRAGMA data_version").fetchone()[0]
        if stamp != self._stamp:
            self._stamp = stamp
            revision = self._database.execute("SELECT coalesce(max(revision), 0) FROM recipes").fetchone()[0]
            if revision != self._revision:
                stored = {name: json.loads(recipe) for name, recipe in self._database.execute(_STORED).fetchall()}
                recipes = {name: Recipe.of(recipe, f"the recipe {name!r}") for name, recipe in stored.items()}
                self._current = Recipes(recipes=self._built_in.recipes | recipes)
                self._revision = revision
        return self._current

    def put(self, name: str, recipe: Recipe) -> None:
        """Put ``recipe`` in place under ``name``, in the transaction that is open."""
        self._writing.execute(_PUT, {"name": name, "recipe": recipe.model_dump_json(exclude_defaults=True)})

    def take_back(self, name: str) -> None:
        """Take the recipe ``name`` out of the database; a built-in one of that name counts again.

        Raises:
            NotFound: the database has none of that name.
        """
        found = self._writing.execute("SELECT 1 FROM recipes WHERE name = ? AND recipe IS NOT NULL", [name]).fetchone()
        if found is None:
            raise NotFound(f"No recipe {name!r} was put in place by the API; built-in ones are changed in the file.")
        self._writing.execute(_PUT, {"name": name, "recipe": None})
