from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, get_ident

import pytest

from features.database import open_database
from features.errors import Busy, Unavailable
from serving.group_commit import MAX_WAITING, GroupCommit


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(tmp_path / "attune.db", any_thread=True)) as database:
        database.execute("CREATE TABLE notes (note TEXT UNIQUE)")
        yield database


def during(database: sqlite3.Connection, tmp_path: Path, test: Callable[[GroupCommit], Awaitable[None]]) -> None:
    async def run() -> None:
        writer = GroupCommit(database, tmp_path / "writer.lock")
        with writer.running():
            await test(writer)

    asyncio.run(run())


def notes(tmp_path: Path) -> list[str]:
    with closing(open_database(tmp_path / "attune.db")) as reader:
        return [note for (note,) in reader.execute("SELECT note FROM notes ORDER BY rowid")]


def test_what_was_acknowledged_is_what_others_see(database: sqlite3.Connection, tmp_path: Path) -> None:
    async def test(writer: GroupCommit) -> None:
        me = get_ident()
        assert (
            await writer.committed(lambda: (database.execute("INSERT INTO notes VALUES ('a')"), get_ident())[1]) != me
        )
        assert notes(tmp_path) == ["a"]

    during(database, tmp_path, test)


def test_whatever_waits_goes_into_one_transaction(database: sqlite3.Connection, tmp_path: Path) -> None:
    go_on, commits = Event(), []
    database.set_trace_callback(lambda statement: commits.append(statement) if statement == "COMMIT" else None)

    async def test(writer: GroupCommit) -> None:
        first = asyncio.create_task(writer.committed(go_on.wait))
        await asyncio.sleep(0.05)
        rest = [
            asyncio.create_task(
                writer.committed(lambda note=str(i): database.execute("INSERT INTO notes VALUES (?)", [note]))
            )
            for i in range(20)
        ]
        await asyncio.sleep(0.05)
        go_on.set()
        await asyncio.gather(first, *rest)
        assert notes(tmp_path) == [str(i) for i in range(20)]

    during(database, tmp_path, test)
    assert len(commits) == 2


def test_work_that_fails_is_undone_alone(database: sqlite3.Connection, tmp_path: Path) -> None:
    go_on = Event()

    def bad() -> None:
        database.execute("INSERT INTO notes VALUES ('half')")
        database.execute("INSERT INTO notes VALUES ('a')")

    async def test(writer: GroupCommit) -> None:
        first = asyncio.create_task(writer.committed(go_on.wait))
        works = [
            lambda: database.execute("INSERT INTO notes VALUES ('a')"),
            bad,
            lambda: database.execute("INSERT INTO notes VALUES ('b')"),
        ]
        rest = [asyncio.create_task(writer.committed(work)) for work in works]
        await asyncio.sleep(0.05)
        go_on.set()
        results = await asyncio.gather(first, *rest, return_exceptions=True)
        assert [isinstance(result, sqlite3.IntegrityError) for result in results] == [False, False, True, False]

    during(database, tmp_path, test)
    assert notes(tmp_path) == ["a", "b"]


def test_too_much_waiting_is_refused_at_once_and_nothing_of_it_is_taken(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    go_on, ran = Event(), []

    async def test(writer: GroupCommit) -> None:
        first = asyncio.create_task(writer.committed(go_on.wait, MAX_WAITING - 1))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(writer.committed(lambda: ran.append("second")))
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="10,000 changes wait"):
            await writer.committed(lambda: ran.append("third"))
        assert not writer.soon(lambda: ran.append("third"))
        go_on.set()
        await asyncio.gather(first, second)
        assert writer.soon(lambda: ran.append("fourth"))

    during(database, tmp_path, test)
    assert ran == ["second", "fourth"]


def test_a_database_that_cannot_be_written_to_is_told_to_all_who_wait(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    database.execute("PRAGMA busy_timeout = 50")

    async def test(writer: GroupCommit) -> None:
        with closing(open_database(tmp_path / "attune.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable, match="locked"):
                await writer.committed(lambda: database.execute("INSERT INTO notes VALUES ('a')"))
            other.execute("ROLLBACK")
        await writer.committed(lambda: database.execute("INSERT INTO notes VALUES ('b')"))

    during(database, tmp_path, test)
    assert notes(tmp_path) == ["b"]


def test_who_goes_away_leaves_the_others_their_answers(database: sqlite3.Connection, tmp_path: Path) -> None:
    go_on = Event()

    async def test(writer: GroupCommit) -> None:
        first = asyncio.create_task(writer.committed(go_on.wait))
        gone = asyncio.create_task(writer.committed(lambda: database.execute("INSERT INTO notes VALUES ('a')")))
        last = asyncio.create_task(writer.committed(lambda: "answer"))
        await asyncio.sleep(0.05)
        gone.cancel()
        await asyncio.sleep(0)
        go_on.set()
        assert await last == "answer"
        await first

    during(database, tmp_path, test)
    assert notes(tmp_path) == ["a"]
