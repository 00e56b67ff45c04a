"""What every log of decisions promises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from features.database import open_database
from features.decision_log import Decision, DecisionLog, MemoryDecisionLog, SQLiteDecisionLog

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "memory"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DecisionLog]:
    if request.param == "memory":
        yield MemoryDecisionLog()
        return
    with closing(open_database(tmp_path / "attune.db")) as database:
        yield SQLiteDecisionLog(database)


def decided(name: str, user_id: str = "ann", hours: float = 0.0, campaign: str | None = "sale") -> Decision:
    return Decision(name, user_id, NOW + timedelta(hours=hours), "home", campaign)


def test_a_decision_is_found_as_it_was_made(log: DecisionLog) -> None:
    whole = Decision(
        "d1", "ann", NOW, "home", "sale", "v1", "red", 0.25, {"red": 0.25, "blue": 0.75}, {"x": 1.5}, {"t": "a"}
    )
    log.append(whole)
    log.append(decided("d2", campaign=None))
    assert log.find("d1") == whole
    assert log.find("d2") == decided("d2", campaign=None)
    assert log.find("d3") is None


def test_decisions_of_a_campaign_are_counted_over_the_ids_of_a_person_after_a_moment(log: DecisionLog) -> None:
    for number, (user_id, hours, campaign) in enumerate(
        [("ann", 0, "sale"), ("cookie", 1, "sale"), ("bob", 2, "sale"), ("ann", 3, "other"), ("ann", 4, None)]
    ):
        log.append(decided(f"d{number}", user_id, hours, campaign))
    assert log.count(["ann", "cookie"], "sale", NOW - timedelta(seconds=1)) == 2
    assert log.count(["ann", "cookie"], "sale", NOW) == 1  # after, not at
    assert log.count(["bob"], "sale", NOW) == 1
    assert log.count(["bob"], "other", NOW) == 0


def test_decisions_of_a_campaign_are_counted_by_days_of_utc_today_included(log: DecisionLog) -> None:
    for number, hours in enumerate((0, -12, -13, -36, -37)):  # noon, midnight, and before the two midnights
        log.append(decided(f"d{number}", f"user-{number}", hours))
    log.append(decided("else", campaign="other"))
    assert [log.count_of_days("sale", NOW, days) for days in (0.5, 1, 1.5, 2, 3)] == [2, 2, 4, 4, 5]
    assert log.count_of_days("none", NOW, 9) == 0
