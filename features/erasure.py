"""Everything about a person: as a copy for them, or gone, from the log to the matrices."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from features.database import open_database, transaction
from features.errors import NotFound
from features.event_log import EventLog
from features.fields import microseconds
from features.identity import identity_settings
from features.layout import Layout, pointed
from features.profile_store import SQLiteProfileStore
from features.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased.

    Attributes:
        identities: The ids that the person had.
        events: How many events of theirs there were.
        snapshots: Snapshots that held them, which are gone; build anew what is needed.
        bundles: Folders with bundles that hold their history still; fit and promote anew, then delete them.
    """

    identities: tuple[str, ...]
    events: int
    snapshots: tuple[Path, ...]
    bundles: tuple[Path, ...]


def erase(layout: Layout, user_id: str, pseudonym: str) -> Erased:
    """Delete everything about the person behind ``user_id``, under all their ids.

    That is their events, live and in the history, what rejects files quote of them, profiles, links, rankings, and
    every snapshot whose matrices hold them. Decisions stay under ``pseudonym``, which names nobody, so that the
    experiments they were part of stay true. Killed in between, it is completed by doing it again.

    Raises:
        NotFound: nothing is known of ``user_id``.
        Unavailable: an import is going on.
    """
    with closing(EventLog(layout)) as log:
        identities = log.profiles.person(user_id).identities or (user_id,)
        snapshots, bundles = _holding(layout, identities)
        events = log.erase(identities)
        known = _erase_rows(layout, identities, pseudonym)
    if not (known or events or snapshots or bundles):
        raise NotFound(f"Nothing is known of {user_id!r}.")
    _erase_rejects(layout, identities)
    latest = layout.latest_snapshot
    for folder in snapshots:
        if latest.exists() and pointed(latest) == folder.name:
            latest.unlink()
        shutil.rmtree(folder)
    return Erased(identities, events, snapshots, bundles)


def export(layout: Layout, user_id: str, now: datetime) -> dict[str, Any]:
    """Return everything about the person behind ``user_id``, ready for JSON.

    Raises:
        NotFound: nothing is known of them.
    """
    with closing(EventLog(layout)) as log:
        person = log.profiles.person(user_id)
        if not person.identities:
            raise NotFound(f"Nothing is known of {user_id!r}.")
        profile = person.profile
        about: dict[str, Any] = {
            "identities": list(person.identities),
            "values": dict(profile.values(now)),
            "counts": profile.names(log.profiles.named),
            "weekdays": profile.weekdays(),
            "hours": profile.hours(),
            "searches": [text for _, text in profile.texts.searches],
            "events": log.events_of(person.identities),
        }
    for path, tables in ((layout.database, _TABLES), (layout.rankings, (_RANKINGS,))):
        if path.exists():
            with closing(sqlite3.connect(path)) as database:
                database.row_factory = sqlite3.Row
                for table in tables:
                    query = f"SELECT * FROM {table} WHERE user_id IN ({_marks(person.identities)})"
                    about[table] = [_readable(row) for row in database.execute(query, person.identities)]
    return about


_TABLES: Final = ("links", "decisions")
_RANKINGS: Final = "rankings"
ROWS_AT_ONCE: Final = 10_000


def _readable(row: sqlite3.Row) -> dict[str, Any]:
    return {
        name: value.hex() if isinstance(value, bytes) else value for name, value in zip(row.keys(), row, strict=True)
    }


def _erase_rows(layout: Layout, identities: Sequence[str], pseudonym: str) -> int:
    """Delete the rows about ``identities`` from the databases; return how many there were."""
    marks = _marks(identities)
    with closing(open_database(layout.database)) as database:
        database.execute("PRAGMA secure_delete = ON")
        before = database.total_changes
        with transaction(database):
            store = SQLiteProfileStore(database, identity_settings(layout))
            for user_id in identities:
                store.erase(user_id)
            named = f"UPDATE decisions SET user_id = ? WHERE user_id IN ({marks})"
            database.execute(named, (pseudonym, *identities))
            database.execute(f"DELETE FROM outcome_events WHERE user_id IN ({marks})", identities)
        found = database.total_changes - before
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if layout.rankings.exists():
        with closing(sqlite3.connect(layout.rankings, timeout=30, isolation_level=None)) as rankings:
            rankings.execute("PRAGMA secure_delete = ON")
            with transaction(rankings):
                found += rankings.execute(f"DELETE FROM {_RANKINGS} WHERE user_id IN ({marks})", identities).rowcount
                _delete_histories(rankings)
            rankings.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return found


def delete_rankings(layout: Layout, before: datetime) -> int:
    """Delete the rankings made before ``before``; return how many there were.

    A service that runs goes on writing: they go some at a time. The file keeps its size, and has room for new ones.
    """
    if not layout.rankings.exists():
        return 0
    with closing(sqlite3.connect(layout.rankings, timeout=30, isolation_level=None)) as rankings:
        made = [microseconds(before)]
        ends = f"SELECT min(rowid), max(rowid) FROM {_RANKINGS} WHERE made_at_us < ?"
        first_of_all, last = rankings.execute(ends, made).fetchone()
        if last is None:
            return 0
        found = 0
        for first in range(first_of_all, last + 1, ROWS_AT_ONCE):
            rows = [first, first + ROWS_AT_ONCE - 1, *made]
            delete = f"DELETE FROM {_RANKINGS} WHERE rowid BETWEEN ? AND ? AND made_at_us < ?"
            found += rankings.execute(delete, rows).rowcount
        _delete_histories(rankings)
    return found


def _delete_histories(rankings: sqlite3.Connection) -> None:
    """Delete the histories that no ranking had."""
    rankings.execute(f"DELETE FROM histories WHERE name NOT IN (SELECT history FROM {_RANKINGS})")


def _erase_rejects(layout: Layout, identities: Sequence[str]) -> None:
    """Take the lines that quote one of ``identities`` out of the files of rejected rows."""
    quoted = {json.dumps(user_id) for user_id in identities}
    for path in layout.rejects.glob("*.jsonl"):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not any(one in line for one in quoted)]
        if len(kept) < len(lines):
            temporary = path.with_suffix(".tmp")
            temporary.write_text("".join(kept), encoding="utf-8")
            temporary.replace(path)


def _holding(layout: Layout, identities: Sequence[str]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the snapshots, and the bundles, whose users include one of ``identities``."""
    holding = [
        path.parent
        for path in sorted(layout.root.rglob("users.npy"))
        if any(user_id in Vocabulary.load(path) for user_id in identities)
    ]
    ours = (layout.snapshots, layout.backtests)
    snapshots = tuple(folder for folder in holding if any(one in folder.parents for one in ours))
    return snapshots, tuple(folder for folder in holding if folder not in snapshots)


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
