"""Profiles of imported events are those that live events would have made, and a rebuild finds the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features import profile_job
from features.database import open_database
from features.event_log import NUMBERED, EventLog
from features.events import Event
from features.fields import as_json
from features.layout import Layout
from features.profiles import Profile

DAY = datetime(2026, 11, 20, tzinfo=UTC)


def shop_events(n: int = 300, users: int = 7) -> list[Event]:
    """Return events of all sorts, in random order."""
    rng = np.random.default_rng(0)
    types = ["view", "purchase", "search", "identify", "quiz_taken", "email_sent"]
    contexts: Sequence[dict] = [
        {},
        {"device": "mobile", "campaign": "autumn"},
        {"persona": "lawyer", "local_time": "2026-11-20T07:30"},
        {"query": "lamp", "device": "desktop"},
    ]
    return [
        Event(
            f"e{k}",
            str(rng.choice(types)),
            f"u{rng.integers(users)}",
            DAY - timedelta(hours=int(rng.integers(500)), microseconds=int(rng.integers(10**6))),
            item_id=None if rng.random() < 0.2 else f"i{rng.integers(20)}",
            quantity=float(rng.choice([1, 2, -1, 0.5])),
            value=None if rng.random() < 0.5 else round(float(rng.normal(20, 10)), 2),
            session_id=None if rng.random() < 0.2 else f"s{rng.integers(40)}",
            context=contexts[int(rng.integers(len(contexts)))],
        )
        for k in range(n)
    ]


def rows(events: Iterable[Event]) -> pa.Table:
    """Return ``events`` as the rows of a file."""
    fields = [name for name in NUMBERED.names if name not in ("row", "context")]
    return pa.Table.from_pylist(
        [
            {"row": row, "context": as_json(event.context)} | {name: getattr(event, name) for name in fields}
            for row, event in enumerate(events, 1)
        ],
        NUMBERED,
    )


def profiles(layout: Layout) -> dict[str, bytes]:
    """Return each profile as the database has it, items and names by what they stand for left aside."""
    with closing(open_database(layout.database)) as database:
        return dict(database.execute("SELECT user_id, profile FROM profiles ORDER BY user_id"))


def numbered(layout: Layout) -> EventLog:
    """Return an empty log in which everything that ``shop_events`` names has its number already."""
    log = EventLog(layout)
    for item in range(20):
        log.profiles.numbers.item(f"i{item}")
    log.profiles.numbers.event_type("quiz_taken")
    for field, name in [("device", "mobile"), ("device", "desktop"), ("campaign", "autumn")]:
        log.profiles.numbers.named(field, name)
    return log


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "var")


def test_what_is_imported_makes_the_profiles_that_live_events_make(tmp_path: Path):
    live, imported, both = (Layout(tmp_path / name) for name in ("live", "imported", "both"))
    events = shop_events()
    with closing(numbered(live)) as log:
        for start in range(0, len(events), 17):
            log.append(events[start : start + 17])
    with closing(numbered(imported)) as log:
        log.append_tables([rows(events)])
    assert profile_job.fold(imported) == len(events)
    with closing(numbered(both)) as log:
        log.append(events[:100])
        log.append_tables([rows(events[50:200])])
        profile_job.fold(both)
        log.append(events[150:])
    assert len(profiles(live)) == 7
    assert profiles(imported) == profiles(live)
    assert profiles(both) == profiles(live)


def test_a_rebuild_finds_the_profiles_that_are_there(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(profile_job, "EVENTS_AT_ONCE", 40)  # many groups of files
    events = shop_events()
    with closing(EventLog(layout)) as log:
        log.append_tables([rows(events[:200])])
        profile_job.fold(layout)
        log.append(events[200:])
        log.archive(DAY - timedelta(days=5))
    before = profiles(layout)
    assert profile_job.rebuild(layout) == len(events)
    assert profiles(layout) == before


def test_folding_twice_adds_nothing(layout: Layout):
    with closing(EventLog(layout)) as log:
        log.append_tables([rows(shop_events(50))])
    assert profile_job.fold(layout) == 50
    before = profiles(layout)
    assert profile_job.fold(layout) == 0
    assert profiles(layout) == before


def test_an_event_that_arrives_live_while_it_is_imported_is_counted_once(layout: Layout):
    with closing(EventLog(layout)) as log, closing(EventLog(layout)) as other:
        write = log._write_days

        def write_days(batches):
            files = write(batches)
            other.append([Event("a", "view", "u", DAY)])
            return files

        log._write_days = write_days  # type: ignore[method-assign]
        log.append_tables([rows([Event("a", "view", "u", DAY), Event("b", "view", "u", DAY)])])
        profile_job.fold(layout)
        assert log.profiles.person("u").profile.values(DAY)["page_views"] == 2
    profile_job.rebuild(layout)
    with closing(EventLog(layout)) as log:
        assert log.profiles.person("u").profile.values(DAY)["page_views"] == 2


def test_a_fold_that_fails_leaves_the_profiles_as_they_were(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    with closing(EventLog(layout)) as log:
        log.append_tables([rows(shop_events(50))])
    calls = iter(range(100))

    def failing(*arguments):
        if next(calls) == 3:
            raise MemoryError
        return Profile.empty()

    with monkeypatch.context() as patched:
        patched.setattr(Profile, "of_rows", failing)
        with pytest.raises(MemoryError):
            profile_job.fold(layout)
    assert profiles(layout) == {}
    assert profile_job.fold(layout) == 50


def test_live_events_of_a_version_without_profiles_are_folded_too(layout: Layout):
    with closing(EventLog(layout)) as log:
        log.append([Event("a", "view", "u", DAY)])
    before = profiles(layout)
    with closing(open_database(layout.database)) as database:  # as the migration leaves such a database
        database.execute("DELETE FROM profiles")
        database.execute("UPDATE profile_fold SET unfolded_until = 1")
    with closing(EventLog(layout)) as log:
        log.append([Event("b", "view", "v", DAY)])
        assert log.archive(DAY + timedelta(days=1)) == 1  # what is not folded yet stays
    assert profile_job.fold(layout) == 1
    assert profiles(layout)["u"] == before["u"]
