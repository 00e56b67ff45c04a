"""What is defined of one kind and holds now: recipes, or segments."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from features.definitions import Definition, Definitions
from features.errors import NotFound
from features.segments import Segments
from serving.recipes import Recipe, Recipes

T = TypeVar("T")

RECIPE: Final = "recipe"
SEGMENT: Final = "segment"


class DefinitionBook(Generic[T]):
    """What files define, and what the API puts in place, which goes before what a file says of the same name.

    Every worker sees a change from its next request on.
    """

    def __init__(
        self,
        kind: str,
        made: Callable[[Mapping[str, Any]], T],
        reading: sqlite3.Connection,
        writing: sqlite3.Connection,
    ) -> None:
        """Read over one connection and write over another, which is used inside of an open transaction alone.

        ``made`` returns what the files and the given definitions of the API, by name, come to together; it raises
        ``InvalidInput`` where they do not fit.
        """
        self._kind, self._made = kind, made
        self._definitions, self._writing = Definitions(reading), Definitions(writing)
        self._stamp: int | None = None
        self._last = -1
        self._current: T

    def current(self, stamp: int | None = None) -> T:
        """Return what holds at this moment; the same object until a definition changes.

        As long as ``stamp``, see ``Assembly.stamp``, stays the same, nobody has written and nothing is looked up.
        """
        if stamp is None or stamp != self._stamp:
            last = self._definitions.last()
            if last != self._last:
                self._current = self._made(self._held(self._definitions))
                self._last = last
            self._stamp = stamp
        return self._current

    def put(self, name: str, version: str, values: Mapping[str, Any], now: datetime) -> None:
        """Put ``values`` in place under ``name``, in the transaction that is open.

        Raises:
            InvalidInput: they do not fit with the others.
        """
        self._made({**self._held(self._writing), name: values})
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
        self._writing.put(Definition(self._kind, name, version, text), now)

    def withdraw(self, name: str, now: datetime) -> None:
        """Withdraw what the API has put in place, in the transaction that is open; what a file says counts again.

        Raises:
            NotFound: the API has put nothing in place under that name.
            InvalidInput: another definition needs it.
        """
        others = self._held(self._writing)
        if others.pop(name, None) is None:
            raise NotFound(f"No {self._kind} {name!r} was put in place by the API; those of a file are changed there.")
        self._made(others)
        self._writing.put(Definition(self._kind, name, "", None), now)

    def _held(self, definitions: Definitions) -> dict[str, Any]:
        return {one.name: json.loads(one.text or "") for one in definitions.held([self._kind])}


def recipe_book(built_in: Recipes, reading: sqlite3.Connection, writing: sqlite3.Connection) -> DefinitionBook[Recipes]:
    """Return the recipes in force, ``built_in`` ones included."""

    def made(put: Mapping[str, Any]) -> Recipes:
        recipes = {name: Recipe.of(values, f"the recipe {name!r}") for name, values in put.items()}
        return Recipes(recipes=built_in.recipes | recipes)

    return DefinitionBook(RECIPE, made, reading, writing)


def segment_book(
    of_file: Mapping[str, str], reading: sqlite3.Connection, writing: sqlite3.Connection
) -> DefinitionBook[Segments]:
    """Return the segments in force, the conditions ``of_file`` by name included."""

    def made(put: Mapping[str, Any]) -> Segments:
        return Segments.of_expressions({**of_file, **{name: values["expression"] for name, values in put.items()}})

    return DefinitionBook(SEGMENT, made, reading, writing)
