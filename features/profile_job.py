"""From the log to the profiles: what was imported is added to them, or all are made anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from sqlite3 import Connection
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.database import open_database, transaction
from features.errors import Unavailable
from features.event_log import SCHEMA, unfolded_live_events
from features.identity import LINKING, identity_settings
from features.layout import Layout
from features.profile_store import SQLiteProfileStore
from features.profiles import (
    MONEY_STEPS,
    QUANTITY_STEPS,
    WORDED,
    Numbers,
    Profile,
    Rows,
    Texts,
    context_row,
    hour_of,
    session_hash,
    texts_of,
    weekday_of,
)

EVENTS_AT_ONCE: Final = 4_000_000
"""So many events are held in memory, about 1.2 GB, and added in one transaction."""

_COLUMNS: Final = [name for name in SCHEMA.names if name not in ("ranking_id", "decision_id")]


def fold(layout: Layout, progress: Callable[[float], None] = lambda share: None) -> int:
    """Add to the profiles the events that they do not know, those that were imported; return how many there were.

    Each event is added exactly once, whatever is killed in between, and while the service goes on.

    Raises:
        Unavailable: the database is locked by another process.
    """
    with closing(open_database(layout.database)) as database:
        return _fold(layout, database, progress)


def rebuild(layout: Layout, progress: Callable[[float], None] = lambda share: None) -> int:
    """Make all profiles anew from the log, at once for everybody who reads; return how many events there were.

    The result is what the service has, byte for byte.
    """
    with closing(open_database(layout.database)) as database, transaction(database):
        database.execute("DELETE FROM profiles")
        database.execute("DELETE FROM links")
        database.execute("DELETE FROM folded_events")
        database.execute("UPDATE history_files SET folded = 0")
        database.execute("UPDATE profile_fold SET unfolded_until = (SELECT coalesce(max(sequence), 0) FROM events)")
        return _fold(layout, database, progress)


def _fold(layout: Layout, database: Connection, progress: Callable[[float], None]) -> int:
    store = SQLiteProfileStore(database, identity_settings(layout))
    ((version,),) = database.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'")
    live = pa.Table.from_batches(unfolded_live_events(database), SCHEMA).select(_COLUMNS)
    if len(live):
        encoded = _encoded(live, store.numbers, database)
        with transaction(database):
            store.add(_profiles(*encoded), version)
            _link(live, store, version)
            database.execute("UPDATE profile_fold SET unfolded_until = 0")
    files = database.execute(f"SELECT path, events FROM history_files WHERE {_UNFOLDED} ORDER BY path").fetchall()
    done, total = 0, sum(events for _, events in files)
    for paths in _groups(files):
        known = [event_id for (event_id,) in database.execute("SELECT event_id FROM folded_events")]
        events = _read([layout.history / path for path in paths], known)
        encoded = _encoded(events, store.numbers, database)
        with transaction(database):
            marked = database.executemany(f"{_MARK} AND {_UNFOLDED}", [(path,) for path in paths]).rowcount
            if marked < len(paths):
                raise Unavailable("Another process is folding the same events. Try again when it has ended.")
            store.add(_profiles(*encoded), version)
            _link(events, store, version)
            database.execute(
                f"DELETE FROM folded_events WHERE NOT EXISTS (SELECT 1 FROM history_files WHERE {_UNFOLDED})"
            )
        done += len(events)
        progress(done / total)
    return len(live) + done


_UNFOLDED: Final = "folded = 0"
_MARK: Final = "UPDATE history_files SET folded = 1 WHERE path = ?"

Encoded = tuple[list[str], NDArray[np.int32], Rows, dict[int, Texts]]
"""The ids of users, in order; the index of the user of each event, ascending; the events in the order of their rows
for each user; and what they tell in words, by user."""


def _encoded(events: pa.Table, numbers: Numbers, database: Connection) -> Encoded:
    """Return ``events`` as the numbers that ``profile_arrays.folded`` takes, those of one user side by side."""
    timestamp_us = pl.Series(events["timestamp"]).dt.epoch("us").to_numpy()  # Arrow's own way would import pandas
    second = timestamp_us // 1_000_000
    users, user = _dictionary(events["user_id"])
    order = np.argsort(np.array(users, dtype=object), kind="stable")
    rank = np.empty(len(users), np.int32)
    rank[order] = np.arange(len(users), dtype=np.int32)
    types, kind = _dictionary(events["event_type"])
    texts, context = _dictionary(events["context"])
    contexts = [json.loads(text) for text in texts]
    with transaction(database):
        in_context = np.array([context_row(one, numbers) for one in contexts], np.int64).reshape(len(contexts), -1)
        columns = {
            "user": rank[user],
            "second": second,
            "session": _mapped(events["session_id"], session_hash, 0),
            "item": _mapped(events["item_id"], numbers.item, -1),
            "type": np.array([numbers.event_type(name) for name in types], np.int64)[kind],
            "quantity": _steps(events["quantity"], QUANTITY_STEPS),
            "value": _steps(events["value"], MONEY_STEPS),
        }
    local = in_context[context]
    columns["weekday"] = np.where(local[:, 0] < 0, weekday_of(second), local[:, 0])
    columns["hour"] = np.where(local[:, 1] < 0, hour_of(second), local[:, 1])
    columns |= {str(place): local[:, place] for place in range(2, local.shape[1])}
    ordered = pl.DataFrame(columns).sort(list(columns)[:7])
    rows = np.stack([column.to_numpy().astype(np.int64, copy=False) for column in ordered.drop("user")], axis=1)

    worded: dict[int, Texts] = {}
    talking = np.isin(kind, [place for place, name in enumerate(types) if name in WORDED])
    for at in np.flatnonzero(talking).tolist():
        said = texts_of(types[kind[at]], int(timestamp_us[at]), contexts[context[at]])
        worded[int(rank[user[at]])] = worded.get(int(rank[user[at]]), Texts()) + said
    return [users[at] for at in order.tolist()], ordered["user"].to_numpy(), rows, worded


def _profiles(
    users: list[str], user: NDArray[np.int32], rows: Rows, texts: dict[int, Texts]
) -> Iterator[tuple[str, Profile]]:
    starts = np.flatnonzero(np.diff(user, prepend=-1)).tolist()
    for start, end in pairwise([*starts, len(user)]):
        at = int(user[start])
        yield users[at], Profile.of_rows(rows[start:end], texts[at].to_bytes() if at in texts else b"")


def _link(events: pa.Table, store: SQLiteProfileStore, version: int) -> None:
    """Take in which ids ``events`` say are one person."""
    linking = pl.col("event_type").is_in(list(LINKING)) & pl.col("same_as").is_not_null()
    said = pl.DataFrame(events).filter(linking)
    for user_id, same_as, event_type, timestamp_us in said.select(
        "user_id", "same_as", "event_type", pl.col("timestamp").dt.epoch("us")
    ).iter_rows():
        store.link(user_id, same_as, timestamp_us, LINKING[event_type], version)


def _dictionary(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int32]]:
    """Return the different texts of ``column``, and the index of each row's in them, -1 for null."""
    coded = column.combine_chunks().dictionary_encode()
    return coded.dictionary.to_pylist(), pl.Series(coded.indices).fill_null(-1).to_numpy()


def _mapped(column: pa.ChunkedArray, number: Callable[[str], int], missing: int) -> NDArray[np.int64]:
    """Return the number of each row's text, ``missing`` for null."""
    texts, index = _dictionary(column)
    return np.array([*map(number, texts), missing], np.int64)[index]


def _steps(column: pa.ChunkedArray, per_unit: int) -> NDArray[np.int64]:
    return np.rint(pl.Series(column).fill_null(0.0).to_numpy() * per_unit).astype(np.int64)


def _groups(files: Iterable[tuple[str, int]]) -> Iterator[list[str]]:
    """Yield the paths of ``files`` in groups of at most ``EVENTS_AT_ONCE`` events, or of a single file."""
    group: list[str] = []
    held = 0
    for path, events in files:
        if group and held + events > EVENTS_AT_ONCE:
            yield group
            group, held = [], 0
        group.append(path)
        held += events
    if group:
        yield group


def _read(paths: Sequence[Path], known: list[str]) -> pa.Table:
    """Return the events of ``paths`` but those whose ids are ``known``."""
    tables = [pa.Table.from_batches([], SCHEMA).select(_COLUMNS)]  # `empty_table` would import pandas
    for path in paths:
        with pq.ParquetFile(path) as file:
            tables.append(file.read(columns=[name for name in _COLUMNS if name in file.schema_arrow.names]))
    events = pa.concat_tables(tables, promote_options="default")
    return events.filter(pc.invert(pc.is_in(events["event_id"], pa.array(known, pa.string())))) if known else events
