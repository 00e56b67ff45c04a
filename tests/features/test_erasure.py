"""What is erased is nowhere any more, and nothing else is missing."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from features import erasure, profile_job
from features.database import open_database
from features.errors import NotFound
from features.event_log import EventLog
from features.events import Event
from features.layout import Layout
from features.snapshot_job import build
from tests.features.test_profile_job import rows

DAY = datetime(2026, 11, 20, tzinfo=UTC)


def event(event_id: str, user_id: str, days_ago: float, **rest) -> Event:
    return Event(event_id, rest.pop("event_type", "view"), user_id, DAY - timedelta(days=days_ago), "i", **rest)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Return a folder in which ann-secret, also known as cookie-secret, and bob did things, live and in the past."""
    layout = Layout(tmp_path / "var")
    with closing(EventLog(layout)) as log:
        past = [event("a", "ann-secret", 9), event("b", "bob", 9), event("c", "cookie-secret", 8), event("d", "bob", 7)]
        log.append_tables([rows(past)])
        profile_job.fold(layout)
        known = {"email": "ann@secret.example"}
        log.append(
            [
                event("e", "cookie-secret", 0, event_type="identify", same_as="ann-secret", context=known),
                event("f", "bob", 0),
            ]
        )
    with closing(open_database(layout.database)) as database:
        database.execute(
            "INSERT INTO decisions VALUES (1, 'd1', 'ann-secret', 0, 'home', NULL, NULL, NULL, 1, '{}', '{}', '{}')"
        )
    build(layout)
    layout.rejects.mkdir()
    (layout.rejects / "events-x.jsonl").write_text('{"given": {"user_id": "ann-secret"}}\n{"given": {}}\n')
    return layout


def mentions(layout: Layout) -> list[str]:
    """Return the files that still hold a text of the person's."""
    return [path.name for path in layout.root.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]


def test_a_person_is_erased_under_all_ids_and_from_every_file(layout: Layout, tmp_path: Path):
    assert mentions(layout)
    erased = erasure.erase(layout, "cookie-secret", "erased-1")
    assert erased.identities == ("ann-secret", "cookie-secret")
    assert (erased.events, len(erased.snapshots), erased.bundles) == (3, 1, ())
    assert mentions(layout) == []
    assert not layout.latest_snapshot.exists()
    with closing(EventLog(layout)) as log:
        assert len(log) == 3
        assert {one["event_id"] for one in log.events_of(["bob"])} == {"b", "d", "f"}
        assert log.profiles.user_ids() == ["bob"]
    with closing(open_database(layout.database)) as database:
        assert database.execute("SELECT user_id FROM decisions").fetchall() == [("erased-1",)]
    with pytest.raises(NotFound):
        erasure.erase(layout, "cookie-secret", "erased-2")


def test_the_log_without_them_makes_the_same_profiles_and_a_snapshot(layout: Layout):
    erasure.erase(layout, "ann-secret", "erased-1")
    with closing(EventLog(layout)) as log:
        before = log.profiles.person("bob").profile
    assert profile_job.rebuild(layout) == 3
    with closing(EventLog(layout)) as log:
        assert log.profiles.person("bob").profile == before
        assert log.append([event("b", "bob", 9)]).repeated == 1
    assert build(layout).users.ids() == ["bob"]


def test_bundles_that_hold_them_are_named(layout: Layout):
    bundle = layout.bundles / "0123456789abcdef"
    bundle.mkdir(parents=True)
    build(layout).users.save(bundle / "users.npy")
    assert erasure.erase(layout, "ann-secret", "erased-1").bundles == (bundle,)


def test_an_export_holds_everything(layout: Layout):
    about = json.loads(json.dumps(erasure.export(layout, "ann-secret", DAY)))
    assert about["identities"] == ["ann-secret", "cookie-secret"]
    assert [one["event_id"] for one in about["events"]] == ["a", "c", "e"]
    assert about["events"][2]["context"] == {"email": "ann@secret.example"}
    assert about["values"]["attributes.email"] == "ann@secret.example"
    assert about["values"]["item_views"] == 2
    assert [one["decision_id"] for one in about["decisions"]] == ["d1"]
    assert len(about["links"]) == 1
    with pytest.raises(NotFound):
        erasure.export(layout, "nobody", DAY)
