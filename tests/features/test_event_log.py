"""The log: nothing is lost, nothing is there twice, whatever happens in between."""

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import Corrupt, Unavailable
from features.event_log import NUMBERED, SCHEMA, EventLog
from features.events import Event
from features.layout import Layout

DAY = datetime(2026, 11, 20, tzinfo=UTC)


def event(event_id: str, hours: float = 0, **fields) -> Event:
    return Event(event_id, "view", "u1", DAY + timedelta(hours=hours), item_id="i1", **fields)


def rows(*events: tuple[str | None, float, float], start: int = 1) -> pa.Table:
    """Return rows of a file from row ``start`` on: event_id, hours after ``DAY``, quantity."""
    return pa.Table.from_pylist(
        [
            {
                "row": number,
                "event_id": event_id,
                "event_type": "purchase",
                "user_id": "u1",
                "item_id": "i1",
                "timestamp": DAY + timedelta(hours=hours),
                "quantity": quantity,
                "context": "{}",
            }
            for number, (event_id, hours, quantity) in enumerate(events, start)
        ],
        schema=NUMBERED,
    )


def stored(log: EventLog, folder: Path) -> pa.Table:
    """Return all events of ``log``, in order of their ids."""
    folder.mkdir(exist_ok=True)
    tables = [pq.read_table(path, partitioning=None) for path in log.tables(folder)]
    return pa.concat_tables([SCHEMA.empty_table(), *tables]).sort_by("event_id")


def ids(log: EventLog, folder: Path) -> list[str]:
    return stored(log, folder)["event_id"].to_pylist()


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return EventLog(Layout(tmp_path / "var"))


def test_an_event_comes_back_as_it_was_given(log: EventLog, tmp_path: Path):
    given = Event(
        "e1",
        "purchase",
        "Zoë",
        datetime(2026, 11, 20, 10, 30, 0, 123456, tzinfo=UTC),
        item_id="i1",
        quantity=-2.5,
        value=-9.99,
        session_id="s1",
        ranking_id="r1",
        decision_id="d1",
        same_as="u2",
        context={"b": 'quo"te', "a": True, "c": 1.5},
    )
    log.append([given])
    assert stored(log, tmp_path / "live").to_pylist() == [
        {
            "event_id": "e1",
            "event_type": "purchase",
            "user_id": "Zoë",
            "item_id": "i1",
            "timestamp": given.timestamp,
            "quantity": -2.5,
            "value": -9.99,
            "session_id": "s1",
            "ranking_id": "r1",
            "decision_id": "d1",
            "same_as": "u2",
            "context": '{"a":true,"b":"quo\\"te","c":1.5}',
        }
    ]


def test_live_events_and_history_are_read_as_one(log: EventLog, tmp_path: Path):
    log.append_tables([rows(("a", 0, 1), ("b", 30, 1))])
    log.append([event("c", 60)])
    assert ids(log, tmp_path / "live") == ["a", "b", "c"]
    assert len(log) == 3
    days = {path.parent.name for path in log.tables(tmp_path / "live")}
    assert days == {"day=2026-11-20", "day=2026-11-21", "live"}


def test_an_empty_log_has_no_tables(log: EventLog, tmp_path: Path):
    assert log.tables(tmp_path) == []
    assert list(tmp_path.glob("*.parquet")) == []
    assert log.append([]).new == 0
    assert log.append_tables([]).new == 0
    assert len(log) == 0


def test_a_repeated_event_changes_nothing(log: EventLog, tmp_path: Path):
    assert (log.append([event("a"), event("b"), event("a")]).new) == 2
    again = log.append([event("a", quantity=5.0), event("c")])
    assert (again.new, again.repeated) == (1, 1)
    assert stored(log, tmp_path / "live")["quantity"].to_pylist() == [1.0, 1.0, 1.0]


def test_a_live_event_that_the_history_has_changes_nothing(log: EventLog, tmp_path: Path):
    log.append_tables([rows(("a", 0, 1))])
    log.append([event("b", 1)])
    log.archive(DAY + timedelta(days=1))
    log.append_tables([rows(("c", 48, 1))])  # a file that came after the ids were first read
    appended = log.append([event("a"), event("b"), event("c"), event("d")])
    assert (appended.new, appended.repeated) == (1, 3)
    assert ids(log, tmp_path / "live") == ["a", "b", "c", "d"]


def test_a_row_that_is_live_already_is_a_repetition(log: EventLog, tmp_path: Path):
    log.append([event("a")])
    again = pa.Table.from_pylist(
        [{"row": 1} | stored(log, tmp_path / "live").to_pylist()[0]],
        schema=NUMBERED,
    )
    appended = log.append_tables([again])
    assert (appended.new, appended.repeated, len(appended.conflicts)) == (0, 1, 0)
    assert ids(log, tmp_path / "live") == ["a"]


def test_equal_lines_of_a_file_are_different_events_and_the_same_file_repeats_them(log: EventLog, tmp_path: Path):
    file = rows((None, 0, 1), (None, 0, 1), (None, 0, 2), (None, 0, 1))
    assert log.append_tables([file]).new == 4
    assert len(set(ids(log, tmp_path / "live"))) == 4
    again = log.append_tables([file])
    assert (again.new, again.repeated) == (0, 4)
    longer = log.append_tables([file, rows((None, 0, 1), start=5)])  # an export that has grown by one more of them
    assert (longer.new, longer.repeated) == (1, 4)


def test_a_derived_id_depends_on_content_and_not_on_place_or_batch(tmp_path: Path):
    one, two = EventLog(Layout(tmp_path / "one")), EventLog(Layout(tmp_path / "two"))
    one.append_tables([rows((None, 0, 1), (None, 5, 2))])
    two.append_tables([rows((None, 5, 2)), rows((None, 0, 1), start=2)])
    assert ids(one, tmp_path / "live1") == ids(two, tmp_path / "live2")


def test_the_second_event_of_an_id_is_a_conflict_if_it_differs(log: EventLog, tmp_path: Path):
    appended = log.append_tables([rows(("a", 0, 1), ("a", 0, 1), ("a", 0, 2))])
    assert (appended.new, appended.repeated) == (1, 1)
    assert appended.conflicts["row"].to_pylist() == [3]
    later = log.append_tables([rows(("a", 0, 2), ("a", 0, 1))])
    assert (later.new, later.repeated, later.conflicts["row"].to_pylist()) == (0, 1, [1])
    assert stored(log, tmp_path / "live")["quantity"].to_pylist() == [1.0]


def test_archiving_moves_past_days_and_nothing_else(log: EventLog, tmp_path: Path):
    log.append([event("late", 25), event("first", 1), event("second", 2)])
    assert log.archive(DAY + timedelta(days=1)) == 2
    assert ids(log, tmp_path / "live") == ["first", "late", "second"]
    assert pq.read_table(tmp_path / "live" / "live.parquet")["event_id"].to_pylist() == ["late"]
    assert log.archive(DAY + timedelta(days=1)) == 0


def test_an_archived_event_that_comes_again_is_looked_for_on_its_day_first(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
):
    log.append([event("a"), event("b", 24), event("c", 48)])
    log.archive(DAY + timedelta(days=3))
    read: list[str] = []

    def read_table(path: Path, **given):
        read.append(path.parent.name)
        return pq_read_table(path, **given)

    pq_read_table = pq.read_table
    monkeypatch.setattr(pq, "read_table", read_table)
    assert log.append([event("b", 24), event("new", 24)]).is_new == (False, True)
    assert read == ["day=2026-11-21"]
    assert log.append([event("c", 1)]).is_new == (False,)  # under another time: it is found all the same
    assert read[1:] == ["day=2026-11-20", "day=2026-11-21", "day=2026-11-22"]


def test_an_event_that_arrives_live_during_an_import_of_it_is_there_once(log: EventLog, tmp_path: Path):
    other = EventLog(Layout(tmp_path / "var"))
    write = log._write_days

    def write_days(batches):
        files = write(batches)
        other.append([event("a"), event("b")])  # after the import has looked at what is live
        return files

    log._write_days = write_days  # type: ignore[method-assign]
    log.append_tables([rows(("a", 0, 1))])
    assert ids(log, tmp_path / "live") == ["a", "b"]


def test_two_imports_at_once_are_refused(log: EventLog, tmp_path: Path):
    other = EventLog(Layout(tmp_path / "var"))

    def tables():
        with pytest.raises(Unavailable, match="Another import or archive"):
            other.append_tables([])
        yield rows(("a", 0, 1))

    assert log.append_tables(tables()).new == 1


def test_an_import_that_fails_leaves_nothing_behind(log: EventLog, tmp_path: Path):
    def tables():
        yield rows(("a", 0, 1))
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        log.append_tables(tables())
    assert len(log) == 0
    assert sorted(path.name for path in (tmp_path / "var" / "events").iterdir()) == [".lock"]


def test_a_history_file_that_is_missing_is_named(log: EventLog, tmp_path: Path):
    log.append_tables([rows(("a", 0, 1))])
    (path,) = log.tables(tmp_path)
    path.unlink()
    with pytest.raises(Corrupt, match=path.name):
        log.tables(tmp_path)


def test_any_engine_can_read_the_tables(log: EventLog, tmp_path: Path):
    log.append_tables([rows(("a", 0, 1), ("b", 24, 3))])
    log.append([event("c", 48)])
    paths = [str(path) for path in log.tables(tmp_path)]
    query = "SELECT count(*), sum(quantity) FROM read_parquet(?, hive_partitioning = false)"
    assert duckdb.execute(query, [paths]).fetchall() == [(3, 5.0)]


# Kills its own process at the moment when it calls a function for the n-th time.
DYING = """
import os, signal, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
import features.event_log as module
from features.layout import Layout
sys.path.insert(0, {tests!r})
from test_event_log import DAY, rows, event

def dying(owner, name, call):
    kept, calls = getattr(owner, name), [0]
    def wrapper(*args, **kwargs):
        calls[0] += 1
        if calls[0] == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return kept(*args, **kwargs)
    setattr(owner, name, wrapper)

log = module.EventLog(Layout(Path({var!r})))
dying({owner}, {name!r}, {call})
{job}
"""
IMPORT = "log.append_tables([rows(('a', 0, 1), ('b', 30, 1), ('c', 60, 1))])"
ARCHIVE = "log.archive(DAY + timedelta(days=2))"


def die(tmp_path: Path, owner: str, name: str, call: int, job: str) -> None:
    script = DYING.format(
        tests=str(Path(__file__).parent), var=str(tmp_path / "var"), owner=owner, name=name, call=call, job=job
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        ("module", "_make_durable", 2),  # the first day is written
        ("log", "_name_files", 1),  # every day is written, the transaction is open
    ],
)
def test_a_killed_import_leaves_nothing_and_the_next_one_completes_it(tmp_path: Path, owner: str, name: str, call: int):
    log = EventLog(Layout(tmp_path / "var"))
    log.append_tables([rows(("z", 0, 1))])
    die(tmp_path, owner, name, call, IMPORT)
    assert ids(log, tmp_path / "live") == ["z"]
    assert log.append_tables([rows(("a", 0, 1), ("b", 30, 1), ("c", 60, 1))]).new == 3
    assert ids(log, tmp_path / "live") == ["a", "b", "c", "z"]
    files = sorted((tmp_path / "var" / "events").glob("day=*/*"))
    assert files == sorted(log.tables(tmp_path / "live"))  # and no remains


def test_a_killed_archive_loses_and_doubles_nothing(tmp_path: Path):
    log = EventLog(Layout(tmp_path / "var"))
    log.append([event("a"), event("b", 30), event("c", 60)])
    die(tmp_path, "log", "_name_files", 1, ARCHIVE)
    assert ids(log, tmp_path / "live") == ["a", "b", "c"]
    assert log.archive(DAY + timedelta(days=2)) == 2
    assert ids(log, tmp_path / "live") == ["a", "b", "c"]


def test_files_of_a_version_without_decisions_are_still_known(log: EventLog, tmp_path: Path):
    given = rows((None, 0, 1), ("b", 1, 2))
    log.append_tables([given])
    (path,) = log.tables(tmp_path)
    pq.write_table(pq.read_table(path, partitioning=None).drop_columns("decision_id"), path)
    again = log.append_tables([given, rows(("b", 2, 2), ("c", 3, 1), start=3)])
    assert (again.new, again.repeated, again.conflicts["event_id"].to_pylist()) == (1, 2, ["b"])


def test_an_event_of_another_decision_is_another_event(log: EventLog, tmp_path: Path):
    line = rows((None, 0, 1))
    place = NUMBERED.get_field_index("decision_id")
    of_a_decision = line.set_column(place, NUMBERED.field("decision_id"), pa.array(["d1"]))
    assert log.append_tables([line]).new == 1
    assert log.append_tables([of_a_decision]).new == 1
    assert sorted(map(str, stored(log, tmp_path)["decision_id"].to_pylist())) == ["None", "d1"]
