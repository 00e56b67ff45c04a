"""What was shown to whom, and everything that it takes to make the same list again."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any, Final, Protocol

import numpy as np
from pydantic_core import to_json

from features.database import open_database, transaction
from features.errors import NotFound
from features.fields import EPOCH, microseconds
from features.interactions import COLUMNS, History
from features.layout import Layout
from features.remembered import forget_older_half
from serving.recipes import Recipe
from serving.repeating import repeating

log = logging.getLogger("attune")

MIGRATIONS: Final = Path(__file__).parent / "migrations"
WRITE_EVERY_S: Final = 0.1
ROWS_AT_ONCE: Final = 16
"""So many rows are inserted by one statement, for after each the thread waits for its turn with those who answer."""
MAX_WAITING: Final = 5_000
"""So many may wait for the disk, some 5 KB each; beyond them whoever makes a ranking waits as well."""
HISTORIES_KNOWN: Final = 10_000
"""Of so many histories a worker knows by what name they are kept, and does not keep them once more."""

_COLUMNS: Final = (
    "ranking_id, made_at_us, kind, user_id, request, bundle_id, catalog_version, recipe_version, profile_version, "
    "history, known, items, scores, explored"
)


@dataclass(frozen=True, slots=True, eq=False)
class LoggedRanking:
    """A ranking as it was shown.

    Attributes:
        ranking_id: Its name.
        made_at: The moment of the request, aware UTC.
        kind: ``recommend``, ``rank`` or ``similar``.
        user_id: Who asked; None where nobody was named.
        request: The request, in JSON.
        bundle_id: The bundle that answered.
        catalog_version: The last change of the catalog that it knew.
        recipe_version: The content of the recipe, by hash.
        profile_version: The last event that the visitor's profile held.
        history: What the visitor had done, in items of the bundle.
        known: What expressions asked of the visitor and of the request's context, with the answers.
        items: The ids of the list.
        scores: One for each.
        explored: Place, whether chance drew the item there, and how likely that was; None where nothing was explored.
    """

    ranking_id: str
    made_at: datetime
    kind: str
    user_id: str | None
    request: str
    bundle_id: str
    catalog_version: int
    recipe_version: str
    profile_version: int
    history: History
    known: dict[str, Any]
    items: list[str]
    scores: list[float]
    explored: tuple[int, bool, float] | None


class RankingLog(Protocol):
    """Keeps every ranking that was shown; ``tests/contracts/test_ranking_log.py`` holds each kind of log to it."""

    def append(self, ranking: LoggedRanking, recipe: Recipe) -> None:
        """Keep ``ranking``, whose name is new, made by ``recipe``."""

    def ranking(self, ranking_id: str) -> LoggedRanking:
        """Return the ranking ``ranking_id``.

        Raises:
            NotFound: there is none.
        """

    def recipe(self, recipe_version: str) -> str:
        """Return the recipe whose content has the hash ``recipe_version``, in JSON.

        Raises:
            NotFound: no ranking was made by it.
        """

    def explored(self, recipe: str, since: datetime | None, most: int) -> list[str]:
        """Return the ids of the latest rankings that were asked for by the name ``recipe`` and explored a place.

        Args:
            recipe: The name in the request.
            since: Those made before it are left out.
            most: How many, at most; the oldest of them comes first.
        """


class MemoryRankingLog:
    """A log that lives as long as its process."""

    def __init__(self) -> None:
        self._rankings: dict[str, LoggedRanking] = {}
        self._recipes: dict[str, str] = {}

    def append(self, ranking: LoggedRanking, recipe: Recipe) -> None:
        """Keep ``ranking``, made by ``recipe``."""
        self._rankings[ranking.ranking_id] = ranking
        self._recipes[ranking.recipe_version] = recipe.model_dump_json(exclude_defaults=True)

    def ranking(self, ranking_id: str) -> LoggedRanking:
        """Return the ranking ``ranking_id``, or raise NotFound."""
        if ranking_id not in self._rankings:
            raise NotFound(f"There is no ranking {ranking_id!r}.")
        return self._rankings[ranking_id]

    def recipe(self, recipe_version: str) -> str:
        """Return the recipe of that content in JSON, or raise NotFound."""
        if recipe_version not in self._recipes:
            raise NotFound(f"No ranking was made by a recipe of version {recipe_version!r}.")
        return self._recipes[recipe_version]

    def explored(self, recipe: str, since: datetime | None, most: int) -> list[str]:
        """Return the ids of the latest rankings by that recipe that explored a place, the oldest first."""
        found = [
            name
            for name, one in self._rankings.items()
            if one.explored is not None
            and json.loads(one.request).get("recipe") == recipe
            and (since is None or one.made_at >= since)
        ]
        return found[-most:]


class SQLiteRankingLog:
    """The rankings of one run-time folder; several processes may write at once.

    Rankings are written in the background within ``WRITE_EVERY_S``: a list is never late because of a disk. What is
    written outlives the process at once, and a loss of power when the system has put it on the disk, as a rule within
    half a minute: that may cost the end of this log, nothing of the events.
    """

    def __init__(self, layout: Layout) -> None:
        """Open the log, or begin it; raises what ``open_database`` does."""
        self._database = open_database(layout.rankings, any_thread=True, migrations=MIGRATIONS)
        # Waiting for the disk ten times a second would keep it, and so the machine, busier than writing does.
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._reading = open_database(layout.rankings, any_thread=True, migrations=MIGRATIONS)
        self._waiting: list[tuple[LoggedRanking, Recipe]] = []
        self._writing = Lock()
        self._recipes: set[str] = set()
        self._histories: dict[bytes, bytes] = {}  # the name of each, by its hash

    def close(self) -> None:
        """Write what waits, and close the database."""
        self.write()
        self._database.close()
        self._reading.close()

    def append(self, ranking: LoggedRanking, recipe: Recipe) -> None:
        """Keep ``ranking``, made by ``recipe``; it is on the disk a moment later."""
        self._waiting.append((ranking, recipe))
        if len(self._waiting) >= MAX_WAITING:
            self.write()

    def write(self) -> None:
        """Write what waits, in one transaction."""
        with self._writing:
            some, self._waiting = self._waiting, []
            if not some:
                return
            new = {one.recipe_version: recipe for one, recipe in some if one.recipe_version not in self._recipes}
            recipes = {version: recipe.model_dump_json(exclude_defaults=True) for version, recipe in new.items()}
            rows, histories = [], {}
            names: dict[bytes, bytes] = {}
            for one, _ in some:
                history = _packed(one.history)
                hashed = blake2b(history, digest_size=16).digest()
                name = self._histories.get(hashed) or names.setdefault(hashed, one.ranking_id.encode())
                histories[name] = history  # what is known may have been erased
                rows.append(_row(one, name))
            with transaction(self._database):
                self._put("INSERT OR IGNORE INTO recipe_versions", 2, list(recipes.items()))
                self._put("INSERT OR IGNORE INTO histories", 2, list(histories.items()))
                self._put(f"INSERT INTO rankings ({_COLUMNS})", 14, rows)
            self._recipes.update(recipes)
            if len(self._histories) + len(names) > HISTORIES_KNOWN:
                forget_older_half(self._histories)
            self._histories.update(names)

    def _put(self, insert: str, n_columns: int, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert ``rows``, the last few of them one by one."""
        row = f"({', '.join('?' * n_columns)})"
        whole = len(rows) // ROWS_AT_ONCE * ROWS_AT_ONCE
        many = f"{insert} VALUES {', '.join([row] * ROWS_AT_ONCE)}"
        for start in range(0, whole, ROWS_AT_ONCE):
            self._database.execute(many, [*chain.from_iterable(rows[start : start + ROWS_AT_ONCE])])
        self._database.executemany(f"{insert} VALUES {row}", rows[whole:])

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write every ``WRITE_EVERY_S`` in a thread until the context is left, and then what is still waiting."""

        def write() -> None:
            try:
                self.write()
            except sqlite3.Error:
                log.exception("Rankings could not be logged; those that waited are lost.")

        try:
            with repeating(write, WRITE_EVERY_S, "rankings"):
                yield
        finally:
            self.close()

    def ranking(self, ranking_id: str) -> LoggedRanking:
        """Return the ranking ``ranking_id``.

        Raises:
            NotFound: there is none.
        """
        for waiting, _ in list(self._waiting):
            if waiting.ranking_id == ranking_id:
                return waiting
        find = f"SELECT {_COLUMNS} FROM rankings WHERE ranking_id = ?"
        with self._writing:
            row = self._reading.execute(find, [ranking_id]).fetchone()
            if row is None:
                raise NotFound(f"There is no ranking {ranking_id!r}.")
            ((history,),) = self._reading.execute("SELECT history FROM histories WHERE name = ?", [row[9]]).fetchall()
        known, items, scores = (json.loads(text) for text in row[10:13])
        explored = None if row[13] is None else json.loads(row[13])
        return LoggedRanking(
            ranking_id=row[0],
            made_at=EPOCH + timedelta(microseconds=row[1]),
            kind=row[2],
            user_id=row[3],
            request=row[4],
            bundle_id=row[5],
            catalog_version=row[6],
            recipe_version=row[7],
            profile_version=row[8],
            history=_unpacked(history),
            known=known,
            items=items,
            scores=scores,
            explored=None if explored is None else (explored[0], explored[1], explored[2]),
        )

    def recipe(self, recipe_version: str) -> str:
        """Return the recipe whose content has the hash ``recipe_version``, in JSON.

        Raises:
            NotFound: no ranking was made by it.
        """
        self.write()
        find = "SELECT recipe FROM recipe_versions WHERE recipe_version = ?"
        with self._writing:
            row = self._reading.execute(find, [recipe_version]).fetchone()
        if row is None:
            raise NotFound(f"No ranking was made by a recipe of version {recipe_version!r}.")
        return str(row[0])

    def explored(self, recipe: str, since: datetime | None, most: int) -> list[str]:
        """Return the ids of the latest rankings by that recipe that explored a place, the oldest first."""
        self.write()
        query = (
            "SELECT ranking_id FROM rankings WHERE explored IS NOT NULL AND request ->> '$.recipe' = ?"
            " AND made_at_us >= ? ORDER BY rowid DESC LIMIT ?"
        )
        since_us = microseconds(since) if since else 0
        with self._writing:
            rows = self._reading.execute(query, (recipe, since_us, most)).fetchall()
        return [ranking_id for (ranking_id,) in reversed(rows)]


def _row(one: LoggedRanking, history: bytes) -> tuple[Any, ...]:
    return (
        one.ranking_id,
        microseconds(one.made_at),
        one.kind,
        one.user_id,
        one.request,
        one.bundle_id,
        one.catalog_version,
        one.recipe_version,
        one.profile_version,
        history,
        json.dumps(one.known) if one.known else "{}",
        to_json(one.items).decode(),
        to_json(one.scores).decode(),
        None if one.explored is None else json.dumps(one.explored),
    )


def _packed(history: History) -> bytes:
    return b"".join(getattr(history, name).tobytes() for name in COLUMNS)


def _unpacked(packed: bytes) -> History:
    n, at, arrays = len(packed) // sum(dtype.itemsize for dtype in COLUMNS.values()), 0, []
    for dtype in COLUMNS.values():
        arrays.append(np.frombuffer(packed, dtype, n, at))
        at += n * dtype.itemsize
    return History(*arrays)
