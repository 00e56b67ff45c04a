"""The log of all events: what arrives live in SQLite, what is past in Parquet, read as one."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.database import open_database, transaction
from features.errors import Corrupt, Unavailable
from features.events import Event
from features.fields import EPOCH, as_json, microseconds
from features.history_ids import HistoryIds, cover
from features.identity import LINKING, identity_settings
from features.layout import Layout
from features.profile_store import SQLiteProfileStore
from features.profiles import folded

if TYPE_CHECKING:
    import duckdb

SCHEMA: Final = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("event_type", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string()),
        pa.field("timestamp", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("quantity", pa.float64(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("session_id", pa.string()),
        pa.field("ranking_id", pa.string()),
        pa.field("decision_id", pa.string()),
        pa.field("same_as", pa.string()),
        pa.field("context", pa.string(), nullable=False),
    ]
)
"""The columns of Parquet files of events; ``context`` is JSON text. Files of earlier versions lack the later ones."""

NUMBERED: Final = pa.schema(
    [pa.field("row", pa.int64(), nullable=False), SCHEMA.field("event_id").with_nullable(True), *list(SCHEMA)[1:]]
)
"""The columns of events to append from a file: ``row`` is their place in it, each once; ``event_id`` may be null."""

BATCH_ROWS: Final = 50_000
_COLUMNS: Final = ", ".join("timestamp_us" if name == "timestamp" else name for name in SCHEMA.names)
_INSERT: Final = (
    f"INSERT INTO events ({_COLUMNS}) VALUES ({', '.join('?' * len(SCHEMA))}) ON CONFLICT (event_id) DO NOTHING"
)


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of events that were given to the log.

    Attributes:
        new: How many it did not have.
        repeated: How many it had already, and left as they were.
        conflicts: Rows of ``NUMBERED`` whose ``event_id`` names another event already; they were left out.
        is_new: Of live events, for each in the order given whether it is one of the new.
        version: The number of the last of the new live events; 0 where none is new.
    """

    new: int
    repeated: int
    conflicts: pa.Table = field(default_factory=lambda: pa.Table.from_batches([], NUMBERED), repr=False)
    is_new: tuple[bool, ...] = ()
    version: int = 0


class EventLog:
    """The log of one run-time folder.

    An ``event_id`` occurs once: in the table ``events`` of the database, or in one of the Parquet files that its table
    ``history_files`` names. A Parquet file is written first and named last, in one transaction, so a process that is
    killed leaves the log as it was, or complete.

    Attributes:
        profiles: What the live events and the folded files of the history tell of each visitor.
    """

    def __init__(self, layout: Layout, database: sqlite3.Connection | None = None) -> None:
        """Open the log, or use the open ``database``; raises what ``open_database`` does."""
        self._layout = layout
        self._database = database or open_database(layout.database)
        self._archived = HistoryIds(layout.history / "ids")
        self.profiles = SQLiteProfileStore(self._database, identity_settings(layout))

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def append(self, events: Iterable[Event]) -> Appended:
        """Add ``events``, and what they tell to the profiles, in one durable transaction.

        Those whose ``event_id`` the log has change nothing.
        """
        given = list(events)
        with transaction(self._database):
            # inside the transaction: no import can finish between the look and the writing
            known = self._in_history(given)
            unknown = [event for event in given if event.event_id not in known] if known else given
            before = self._last_sequence()
            inserted = self._database.executemany(_INSERT, map(_row, unknown)).rowcount
            if inserted == len(given):
                new, is_new = given, (True,) * len(given)
            else:
                added = "SELECT event_id FROM events WHERE sequence > ?"
                fresh = {event_id: None for (event_id,) in self._database.execute(added, [before])}
                is_new = tuple(fresh.pop(event.event_id, 0) is None for event in given)  # the first of equal ids
                new = [event for event, one in zip(given, is_new, strict=True) if one]
            last = self._last_sequence() if new else 0
            if new:
                self.profiles.add(folded(new, self.profiles.numbers).items(), last)
                for event in new:
                    if event.same_as is not None and event.event_type in LINKING:
                        when_us, holds = microseconds(event.timestamp), LINKING[event.event_type]
                        self.profiles.link(event.user_id, event.same_as, when_us, holds, last)
        return Appended(len(new), len(given) - len(new), is_new=is_new, version=last)

    def append_tables(self, tables: Iterable[pa.Table]) -> Appended:
        """Add the rows of ``tables``, of the columns ``NUMBERED``, to the history: all of them, or none if killed.

        A row without ``event_id`` gets one derived from its content and from how often that content has occurred among
        ``tables`` before: equal lines of a file are different events, and the same file again repeats them.

        Memory is bounded, whatever the number of rows.

        Raises:
            Unavailable: another process is adding to the history.
            ValueError: two rows have the same number.
        """
        with self._history_lock() as folder, closing(_duckdb(folder)) as engine:
            staged = folder / "staged.parquet"
            with pq.ParquetWriter(staged, NUMBERED, compression="lz4", use_dictionary=False) as writer:
                for table in tables:
                    writer.write_table(table.cast(NUMBERED))
            live_until = self._last_sequence()
            known = self.tables(folder)
            engine.read_parquet(str(staged)).create_view("staged")
            engine.execute(_CONTENTS)
            engine.execute(_ARRIVALS)
            engine.execute(_REPEATED)
            _mark_known(engine, known, folder)
            counts = "SELECT count(*), count(DISTINCT row), count(*) FILTER (is_new) FROM arrivals"
            ((total, rows, new),) = engine.execute(counts).fetchall()
            if rows != total:
                raise ValueError(f"{total} rows carry only {rows} different numbers; each must have its own.")
            conflicts = engine.sql(_CONFLICTS).to_arrow_table().cast(NUMBERED)
            files = self._write_days(engine.sql(_NEW).to_arrow_reader(BATCH_ROWS))
            with transaction(self._database):
                # what has arrived live in the meantime under the same ids is the repetition
                late = self._database.execute("SELECT event_id FROM events WHERE sequence > ?", [live_until])
                both = _held([path for path, _ in files], [event_id for (event_id,) in late])
                self._database.executemany("DELETE FROM events WHERE event_id = ?", [[one] for one in both])
                self._database.executemany("INSERT INTO folded_events VALUES (?)", [[one] for one in both])
                self._name_files(files, folded=False)
            self._cover_ids()
        return Appended(new, total - new - len(conflicts), conflicts)

    def archive(self, before: datetime) -> int:
        """Move the live events from before ``before`` to the history; return how many there were.

        Events that the profiles do not know yet, since a version without profiles took them in, stay until they do.

        Raises:
            Unavailable: another process is adding to the history.
        """
        past = "timestamp_us < ? AND sequence <= ? AND sequence > (SELECT unfolded_until FROM profile_fold)"
        with self._history_lock():
            bounds = [microseconds(before), self._last_sequence()]
            query = f"SELECT {_COLUMNS} FROM events WHERE {past} ORDER BY timestamp_us, event_id"
            files = self._write_days(_batches(self._database.execute(query, bounds)))
            with transaction(self._database):
                self._name_files(files, folded=True)
                self._database.execute(f"DELETE FROM events WHERE {past}", bounds)
            self._cover_ids()
        return sum(events for _, events in files)

    def erase(self, user_ids: Sequence[str]) -> int:
        """Delete the events of ``user_ids``, live and in the history; return how many there were.

        Raises:
            Unavailable: another process is adding to the history.
        """
        gone, erased = pa.array(user_ids, pa.string()), 0
        with self._history_lock():
            replaced: list[tuple[Path, str, Path, int]] = []
            for name, events in self._database.execute("SELECT path, events FROM history_files").fetchall():
                path = self._layout.history / name
                theirs = pc.is_in(pq.read_table(path, columns=["user_id"], partitioning=None)["user_id"], gone)
                if pc.any(theirs).as_py():
                    kept = pq.read_table(path, partitioning=None).filter(pc.invert(theirs))
                    replaced.append((path, name, self._write_beside(path, kept), len(kept)))
                    erased += events - len(kept)
            live = f"DELETE FROM events WHERE user_id IN ({', '.join('?' * len(user_ids))})"
            self._database.execute("PRAGMA secure_delete = ON")  # or the file would keep what is deleted from it
            with transaction(self._database):
                erased += self._database.execute(live, user_ids).rowcount
                for _, name, new, events in replaced:
                    there = "DELETE FROM history_files WHERE path = ? RETURNING folded"
                    ((folded,),) = self._database.execute(there, [name]).fetchall()
                    self._name_files([(new, events)], bool(folded))
            self._database.execute("PRAGMA secure_delete = OFF")
            for path, *_ in replaced:
                path.unlink()
        return erased

    def _write_beside(self, path: Path, events: pa.Table) -> Path:
        """Write ``events``, those that stay of the history file ``path``, to a file beside it."""
        new = path.with_name(f"{path.stem}-1.parquet")
        pq.write_table(
            events,
            new,
            compression="zstd",
            use_dictionary=[name for name in _REPETITIVE if name in events.column_names],
        )
        _make_durable(new)
        _make_durable(new.parent)
        return new

    def events_of(self, user_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the events of ``user_ids`` in order of time, as ``events.parse`` takes them."""
        with tempfile.TemporaryDirectory(dir=self._layout.root) as folder:
            theirs = [("user_id", "in", list(user_ids))]
            found = [pq.read_table(path, partitioning=None, filters=theirs) for path in self.tables(Path(folder))]
            events = (
                pa.concat_tables([SCHEMA.empty_table(), *found], promote_options="default")
                .sort_by("timestamp")
                .to_pylist()
            )
        return [
            {name: value for name, value in event.items() if value is not None}
            | {"timestamp": event["timestamp"].isoformat(), "context": json.loads(event["context"])}
            for event in events
        ]

    def tables(self, folder: Path) -> list[Path]:
        """Return the Parquet files that hold every event of this moment, each once; columns as in ``SCHEMA``.

        Live events are written to a file in ``folder``, which is the caller's to delete; the files of the history never
        change. They lie in folders ``day=YYYY-MM-DD``: tell the reader not to make a column of it, and to match columns
        by name, for files of earlier versions lack the later ones. Empty for no events.

        Raises:
            Corrupt: a file of the history is missing.
        """
        connection = open_database(self._layout.database)  # one of its own: its view must not move while it reads
        with closing(connection):
            connection.execute("BEGIN")
            named = connection.execute("SELECT path FROM history_files ORDER BY path")
            paths = [self._layout.history / path for (path,) in named]
            live = folder / "live.parquet"
            rows = 0
            if missing := next((path for path in paths if not path.exists()), None):
                raise Corrupt(f"The history lacks the file {missing}. Put it back from a backup.")
            with pq.ParquetWriter(live, SCHEMA) as writer:
                for batch in _batches(connection.execute(f"SELECT {_COLUMNS} FROM events ORDER BY sequence")):
                    writer.write_batch(batch)
                    rows += batch.num_rows
        if rows:
            return [*paths, live]
        live.unlink()
        return paths

    def __len__(self) -> int:
        """Return how many events there are."""
        live = "SELECT count(*) FROM events"
        past = "SELECT coalesce(sum(events), 0) FROM history_files"
        return int(self._database.execute(f"SELECT ({live}) + ({past})").fetchone()[0])

    def _last_sequence(self) -> int:
        return int(self._database.execute("SELECT coalesce(max(sequence), 0) FROM events").fetchone()[0])

    def _in_history(self, events: Sequence[Event]) -> set[str]:
        """Return the ids of those of ``events`` that the history has."""
        later = "SELECT number, path FROM history_files WHERE number > ? ORDER BY number"
        if self._database.execute(later, [self._archived.until]).fetchone():
            self._archived.refresh()
            if files := self._database.execute(later, [self._archived.until]).fetchall():
                self._archived.add([self._layout.history / path for _, path in files], files[-1][0])
        likely = set(self._archived.likely([event.event_id for event in events]))
        if not likely:
            return set()
        # what comes again has the same timestamp as before, as a rule: the other days are hardly ever read
        days = {_day(event.timestamp) for event in events if event.event_id in likely}
        paths = [self._layout.history / path for (path,) in self._database.execute("SELECT path FROM history_files")]
        held = _held([path for path in paths if path.parent.name in days], list(likely))
        return held | _held([path for path in paths if path.parent.name not in days], list(likely - held))

    def _cover_ids(self) -> None:
        files = self._database.execute("SELECT number, path FROM history_files").fetchall()
        cover(self._layout.history / "ids", {number: self._layout.history / path for number, path in files})

    def _name_files(self, files: list[tuple[Path, int]], folded: bool) -> None:
        """Make ``files`` part of the history; ``folded`` says whether the profiles know their events."""
        self._database.executemany(
            "INSERT INTO history_files (path, events, folded) VALUES (?, ?, ?)",
            [(path.relative_to(self._layout.history).as_posix(), events, folded) for path, events in files],
        )

    def _write_days(self, batches: Iterable[pa.RecordBatch]) -> list[tuple[Path, int]]:
        """Write ``batches``, which are in order of time, to one file for each day; return them with their rows."""
        number = int(self._database.execute("SELECT coalesce(max(number), 0) FROM history_files").fetchone()[0]) + 1
        files: list[tuple[Path, int]] = []
        writer, path = None, None
        for batch in batches:
            for day, part in _days(batch):
                folder = self._layout.history / _day(day)
                if path is None or path.parent != folder:
                    if writer:
                        writer.close()
                    folder.mkdir(exist_ok=True)
                    path = folder / f"{number + len(files):08d}.parquet"
                    writer = pq.ParquetWriter(path, SCHEMA, compression="zstd", use_dictionary=_REPETITIVE)
                    files.append((path, 0))
                assert writer is not None
                writer.write_batch(part)
                files[-1] = (path, files[-1][1] + part.num_rows)
        if writer:
            writer.close()
        for path, _ in files:
            _make_durable(path)
            _make_durable(path.parent)
        _make_durable(self._layout.history)
        return files

    @contextmanager
    def _history_lock(self) -> Iterator[Path]:
        """Keep other processes from adding to the history; gives an empty folder for working files."""
        history = self._layout.history
        history.mkdir(parents=True, exist_ok=True)
        with (history / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Unavailable(
                    f"Another import or archive is writing to {history}. Try again when it has ended."
                ) from None
            self._remove_remains()
            folder = history / ".working"
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder)

    def _remove_remains(self) -> None:
        """Delete what a killed process has left behind."""
        history = self._layout.history
        shutil.rmtree(history / ".working", ignore_errors=True)
        named = {path for (path,) in self._database.execute("SELECT path FROM history_files")}
        for path in history.glob("day=*/*.parquet"):
            if path.relative_to(history).as_posix() not in named:
                path.unlink()


def unfolded_live_events(database: sqlite3.Connection) -> Iterator[pa.RecordBatch]:
    """Return the live events that the profiles do not know; columns as in ``SCHEMA``."""
    unfolded = "sequence <= (SELECT unfolded_until FROM profile_fold)"
    return _batches(database.execute(f"SELECT {_COLUMNS} FROM events WHERE {unfolded} ORDER BY sequence"))


_REPETITIVE: Final = [name for name in SCHEMA.names if name not in ("event_id", "timestamp", "value")]

# No field but the context may hold control characters, and JSON escapes them: chr(31) separates without ambiguity.
# A field of a later version is added only where it has a value (concat_ws skips nulls): ids once derived stay the same.
_CONTENT: Final = """md5(concat_ws(chr(31), event_type, user_id, coalesce(item_id, ''), epoch_us(timestamp), quantity,
    coalesce(value::VARCHAR, ''), coalesce(session_id, ''), coalesce(ranking_id, ''), context,
    'decision_id=' || decision_id, 'same_as=' || same_as))"""
# The content is worked out only where it decides: of rows without an id, and of ids that occur again. It goes to a
# table first, since DuckDB 2.0.0 reads wrong values of a column without a dictionary where a filter asks for nulls.
_CONTENTS: Final = f"""
    CREATE TABLE contents AS
    SELECT row, event_id, CASE WHEN event_id IS NULL THEN {_CONTENT} END AS content FROM staged
"""
_ARRIVALS: Final = """
    CREATE TABLE arrivals AS
    SELECT row, event_id, true AS is_new, false AS is_conflict FROM contents WHERE content IS NULL
    UNION ALL
    SELECT row, CASE occurrence WHEN 1 THEN content ELSE md5(content || occurrence) END, true, false
    FROM (SELECT row, content, row_number() OVER (PARTITION BY content ORDER BY row) AS occurrence
        FROM contents WHERE content IS NOT NULL)
"""
_REPEATED: Final = f"""
    UPDATE arrivals SET is_new = false, is_conflict = differs
    FROM (SELECT row, row = min(row) OVER same AS is_first, content <> arg_min(content, row) OVER same AS differs
        FROM (SELECT row, again.event_id, {_CONTENT} AS content
            FROM staged JOIN (SELECT row, event_id FROM arrivals
                SEMI JOIN (SELECT event_id FROM arrivals GROUP BY event_id HAVING count(*) > 1) USING (event_id))
                AS again USING (row))
        WINDOW same AS (PARTITION BY event_id)) AS compared
    WHERE compared.row = arrivals.row AND NOT is_first
"""
_KNOWN: Final = f"""
    UPDATE arrivals SET is_new = false, is_conflict = differs
    FROM (SELECT row, {_CONTENT} <> held_content AS differs
        FROM staged JOIN (SELECT row, held_content
            FROM arrivals JOIN (SELECT event_id, {_CONTENT} AS held_content
                FROM read_parquet(?, hive_partitioning = false, union_by_name = true)) USING (event_id))
            USING (row)) AS compared
    WHERE compared.row = arrivals.row
"""
_CONFLICTS: Final = """
    SELECT staged.* REPLACE (arrivals.event_id AS event_id)
    FROM staged JOIN arrivals USING (row) WHERE is_conflict ORDER BY row
"""
_NEW: Final = f"""
    SELECT {", ".join("arrivals.event_id" if name == "event_id" else name for name in SCHEMA.names)}
    FROM staged JOIN arrivals USING (row) WHERE is_new ORDER BY timestamp, arrivals.event_id
"""


def _mark_known(engine: duckdb.DuckDBPyConnection, known: list[Path], folder: Path) -> None:
    """Tell of each arrival whether the files ``known`` have it, or another event of the same id."""
    if not known:
        return
    all_columns = folder / "columns.parquet"  # files of earlier versions may lack some
    pq.write_table(pa.Table.from_batches([], SCHEMA), all_columns)  # `empty_table` would import pandas
    engine.execute(_KNOWN, [[str(path) for path in (all_columns, *known)]])


def _duckdb(folder: Path) -> duckdb.DuckDBPyConnection:
    """Return an engine that spills to ``folder`` what exceeds its memory."""
    import duckdb  # here: a service that starts needs none of it

    engine = duckdb.connect(config={"memory_limit": "1GB", "temp_directory": str(folder / "spill")})
    engine.execute("SET preserve_insertion_order = false; SET TimeZone = 'UTC'")
    return engine


def _held(paths: list[Path], event_ids: list[str]) -> set[str]:
    """Return those of ``event_ids`` that the Parquet files hold."""
    held: set[str] = set()
    if not event_ids:
        return held
    wanted = pa.array(event_ids, pa.string())
    for path in paths:
        there = pq.read_table(path, columns=["event_id"])["event_id"]
        held.update(there.filter(pc.is_in(there, wanted)).to_pylist())
    return held


def _days(batch: pa.RecordBatch) -> Iterator[tuple[datetime, pa.RecordBatch]]:
    """Return the parts of ``batch``, which is in order of time, day by day, in the columns of ``SCHEMA``."""
    batch = pa.RecordBatch.from_arrays(
        [column.cast(kind) for column, kind in zip(batch.columns, SCHEMA.types, strict=True)], schema=SCHEMA
    )
    days = pl.Series(batch["timestamp"]).dt.epoch("d").to_numpy()  # Arrow's own way would import pandas
    starts = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
    for start, end in pairwise(starts):
        if end > start:
            yield EPOCH + timedelta(days=int(days[start])), batch.slice(start, end - start)


def _row(event: Event) -> tuple[Any, ...]:
    return (
        event.event_id,
        event.event_type,
        event.user_id,
        event.item_id,
        microseconds(event.timestamp),
        event.quantity,
        event.value,
        event.session_id,
        event.ranking_id,
        event.decision_id,
        event.same_as,
        as_json(event.context),
    )


def _batches(rows: Any) -> Iterator[pa.RecordBatch]:
    """Return the rows of a query for ``_COLUMNS`` in bounded batches."""
    while some := rows.fetchmany(BATCH_ROWS):
        columns = zip(*some, strict=True)
        yield pa.RecordBatch.from_arrays(
            [pa.array(column, kind) for column, kind in zip(columns, SCHEMA.types, strict=True)], schema=SCHEMA
        )


def _day(moment: datetime) -> str:
    return f"day={moment.astimezone(UTC):%Y-%m-%d}"


def _make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
