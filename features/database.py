"""The SQLite database of one run-time folder, brought to the newest schema when it is opened."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

from features.errors import Corrupt, InvalidInput, Unavailable

MIGRATIONS = Path(__file__).parent / "migrations"
APPLICATION_ID = 0x41545455  # "ATTU": tells our databases from those of other programs


class Connection(sqlite3.Connection):
    """A connection that counts its transactions, so that what was read in one that was undone can be told.

    Attributes:
        transactions: How many have begun.
    """

    transactions = 0


def open_database(path: Path, any_thread: bool = False, migrations: Path | None = None) -> sqlite3.Connection:
    """Return a connection to the database at ``path``, which is created or migrated where necessary.

    What is committed survives a loss of power. A statement outside of ``transaction`` commits at once. The connection
    is for the thread that opened it, or with ``any_thread`` for one thread after another. The files in ``migrations``,
    in the order of their names, make the schema; by default it is that of the log.

    Raises:
        InvalidInput: the file is not a database of Attune.
        Corrupt: it was written by a newer version.
        Unavailable: it cannot be opened, or another process keeps it locked.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            path, timeout=30, isolation_level=None, check_same_thread=not any_thread, factory=Connection
        )
    except (OSError, sqlite3.OperationalError) as error:
        raise Unavailable(f"The database {path} cannot be opened: {error}.") from None
    try:
        _migrate(connection, path, migrations or MIGRATIONS)
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.OperationalError as error:
        connection.close()
        raise Unavailable(f"The database {path} cannot be used: {error}. Is another process busy with it?") from None
    except sqlite3.DatabaseError as error:
        connection.close()
        raise InvalidInput(
            f"{path} is not a database of Attune: {error}. Move it away, or give another --var."
        ) from None
    except BaseException:
        connection.close()
        raise
    return connection


def data_version(connection: sqlite3.Connection) -> int:
    """Return a number that is another one whenever another connection has written to the database; cheap to ask."""
    return _pragma(connection, "data_version")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Make the statements inside one durable transaction, alone in writing; an exception undoes them.

    Inside of another transaction they become part of it, durable when it is, and an exception undoes only them.
    """
    begin, undo, end = "BEGIN IMMEDIATE", ["ROLLBACK"], "COMMIT"
    if connection.in_transaction:
        begin, undo, end = "SAVEPOINT part", ["ROLLBACK TO part", "RELEASE part"], "RELEASE part"
    elif isinstance(connection, Connection):
        connection.transactions += 1
    connection.execute(begin)
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # SQLite ends it by itself where the disk is full
            for statement in undo:
                connection.execute(statement)
        raise
    connection.execute(end)


def _migrate(connection: sqlite3.Connection, path: Path, folder: Path) -> None:
    migrations = sorted(folder.glob("*.sql"))
    if _pragma(connection, "user_version") == len(migrations):
        return
    with transaction(connection):
        version = _pragma(connection, "user_version")
        if version > len(migrations):
            raise Corrupt(
                f"{path} has schema {version}; this version of Attune knows up to {len(migrations)}."
                " Update Attune, or give another --var."
            )
        has_tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if has_tables and _pragma(connection, "application_id") != APPLICATION_ID:
            raise InvalidInput(f"{path} is a database of another program. Give another --var.")
        for migration in migrations[version:]:
            for statement in _statements(migration.read_text(encoding="utf-8")):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _write_ahead(connection: sqlite3.Connection) -> None:
    # where another connection is open, SQLite refuses the change at once, without the wait of other statements
    for pause_s in [0.01] * 500 + [0.0]:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if not pause_s:
                raise
            sleep(pause_s)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _statements(script: str) -> Iterator[str]:
    # executescript would commit the transaction that is open
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
