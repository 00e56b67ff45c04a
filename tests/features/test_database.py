"""Opening the database: new, of an earlier version, of a later one, and what is none."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from features import database
from features.database import MIGRATIONS, open_database, transaction
from features.errors import Corrupt, InvalidInput, Unavailable


def test_a_new_database_has_every_migration(tmp_path: Path):
    with closing(open_database(tmp_path / "var" / "attune.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == len(list(MIGRATIONS.glob("*.sql")))
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert {"events", "history_files", "items"} <= tables


def test_what_is_committed_is_on_the_disk(tmp_path: Path):
    with closing(open_database(tmp_path / "attune.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
        assert connection.execute("PRAGMA foreign_keys").fetchone()[0] == 1


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_first.sql").write_text("CREATE TABLE a (x INTEGER); -- one; two\nINSERT INTO a VALUES (1);\n")
    monkeypatch.setattr(database, "MIGRATIONS", folder)
    return folder


def test_an_older_database_is_migrated_and_keeps_its_rows(tmp_path: Path, versions: Path):
    open_database(tmp_path / "attune.db").close()
    (versions / "0002_second.sql").write_text("ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 7;\n")
    with closing(open_database(tmp_path / "attune.db")) as connection:
        assert connection.execute("SELECT x, y FROM a").fetchall() == [(1, 7)]


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path, versions: Path):
    open_database(tmp_path / "attune.db").close()
    second = versions / "0002_second.sql"
    second.write_text("CREATE TABLE b (x INTEGER);\nCREATE TABLE a (x INTEGER);\n")
    with pytest.raises(Unavailable):
        open_database(tmp_path / "attune.db")
    second.unlink()
    with closing(open_database(tmp_path / "attune.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("a",)]


def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path, versions: Path):
    (versions / "0002_second.sql").write_text("CREATE TABLE b (x INTEGER);\n")
    open_database(tmp_path / "attune.db").close()
    (versions / "0002_second.sql").unlink()
    with pytest.raises(Corrupt, match=r"has schema 2; this version of Attune knows up to 1\. Update Attune"):
        open_database(tmp_path / "attune.db")


def test_what_is_no_database_is_refused(tmp_path: Path):
    (tmp_path / "attune.db").write_text("Dear diary, " * 100)
    with pytest.raises(InvalidInput, match=r"attune\.db is not a database of Attune"):
        open_database(tmp_path / "attune.db")


def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "attune.db")) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(InvalidInput, match="another program"):
        open_database(tmp_path / "attune.db")
    with closing(sqlite3.connect(tmp_path / "attune.db")) as other:
        assert other.execute("SELECT name FROM sqlite_schema").fetchall() == [("bookmarks",)]


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path):
    (tmp_path / "var").write_text("a file")
    with pytest.raises(Unavailable, match="cannot be opened"):
        open_database(tmp_path / "var" / "attune.db")


def test_an_exception_undoes_the_transaction(tmp_path: Path):
    def failing(connection: sqlite3.Connection) -> None:
        with transaction(connection):
            connection.execute("INSERT INTO history_files (path, events) VALUES ('x', 1)")
            raise KeyError("stop")

    with closing(open_database(tmp_path / "attune.db")) as connection:
        with pytest.raises(KeyError):
            failing(connection)
        assert connection.execute("SELECT count(*) FROM history_files").fetchone()[0] == 0


def test_processes_that_open_a_new_database_at_once_all_succeed(tmp_path: Path):
    errors: list[BaseException] = []

    def opened(path: Path) -> None:
        try:
            open_database(path).close()
        except BaseException as error:
            errors.append(error)

    for attempt in range(50):  # one in 25 failed where the change to WAL was not tried again
        threads = [threading.Thread(target=opened, args=(tmp_path / f"{attempt}.db",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
