"""What a shop defines by name: recipes, segments, campaigns and experiments, with all that they ever were."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from features.fields import microseconds

API: Final = "api"
FILE: Final = "file"

_COLUMNS: Final = "kind, name, version, definition, origin"


@dataclass(frozen=True, slots=True)
class Definition:
    """What something was defined as at some time.

    Attributes:
        kind: ``recipe``, ``segment``, ``campaign`` or ``experiment``.
        name: Which one.
        version: Names the content; empty where it is withdrawn.
        text: The definition as JSON; None where it is withdrawn.
        origin: ``FILE`` or ``API``, whoever defined it last.
    """

    kind: str
    name: str
    version: str
    text: str | None
    origin: str = API


class Definitions:
    """The definitions of one run-time folder, over a connection of ``open_database``."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def put(self, definition: Definition, now: datetime) -> bool:
        """Make ``definition`` the one that holds, inside an open transaction; return whether another one did."""
        held = self.find(definition.kind, definition.name)
        if held is not None and (held.version, held.origin) == (definition.version, definition.origin):
            return False
        self._database.execute(
            f"INSERT INTO definitions ({_COLUMNS}, put_at_us) VALUES (?, ?, ?, ?, ?, ?)",
            (
                definition.kind,
                definition.name,
                definition.version,
                definition.text,
                definition.origin,
                microseconds(now),
            ),
        )
        return True

    def last(self) -> int:
        """Return the number of the latest definition, 0 where there is none."""
        return int(self._database.execute("SELECT coalesce(max(number), 0) FROM definitions").fetchone()[0])

    def held(self, kinds: Sequence[str]) -> list[Definition]:
        """Return the definitions of ``kinds`` that hold, by kind and name; not those that are withdrawn."""
        rows = self._database.execute(
            f"SELECT {_COLUMNS} FROM definitions WHERE number IN (SELECT max(number) FROM definitions"
            f" WHERE kind IN ({', '.join('?' * len(kinds))}) GROUP BY kind, name)"
            " AND definition IS NOT NULL ORDER BY kind, name",
            kinds,
        )
        return [Definition(*row) for row in rows]

    def find(self, kind: str, name: str, version: str | None = None) -> Definition | None:
        """Return the latest definition, which may be a withdrawal, or that of ``version``; None where there is none."""
        found = self._database.execute(
            f"SELECT {_COLUMNS} FROM definitions"
            " WHERE kind = ? AND name = ? AND version = coalesce(?, version) ORDER BY number DESC LIMIT 1",
            (kind, name, version),
        ).fetchone()
        return None if found is None else Definition(*found)

    def last_text(self, kind: str, name: str) -> str | None:
        """Return the last definition, that before the withdrawal of one that is withdrawn; None where there is none."""
        found = self._database.execute(
            "SELECT definition FROM definitions WHERE kind = ? AND name = ? AND definition IS NOT NULL"
            " ORDER BY number DESC LIMIT 1",
            (kind, name),
        ).fetchone()
        return None if found is None else str(found[0])

    def names(self, kind: str) -> list[str]:
        """Return every name that was ever defined, in order."""
        rows = self._database.execute("SELECT DISTINCT name FROM definitions WHERE kind = ? ORDER BY name", (kind,))
        return [name for (name,) in rows]
