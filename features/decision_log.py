"""What was decided: the decisions' part of the log."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from features.fields import EPOCH, as_json, microseconds

_DAY_US: Final = 86_400_000_000
_COLUMNS: Final = (
    "decision_id, user_id, decided_at_us, zone, campaign, campaign_version, experience, propensity, probabilities, "
    "context, variants"
)


@dataclass(frozen=True, slots=True)
class Decision:
    """A choice that was made for somebody.

    Attributes:
        decision_id: Names it; of a ranking whose recipe an experiment chose, the ``ranking_id``.
        user_id: For whom.
        decided_at: When, aware UTC.
        zone: For which place.
        campaign: Of which campaign; None for a ranking, and where an experiment left nothing to show.
        campaign_version: Which definition of it.
        experience: What was chosen; None for those in a holdout, who are shown nothing.
        propensity: The probability with which it was, above 0 and at most 1.
        probabilities: That of every experience on offer; empty where there was no choice by chance.
        context: The numbers that the policy knew, by expression.
        variants: Of each experiment that had a part in it, the variant.
    """

    decision_id: str
    user_id: str
    decided_at: datetime
    zone: str
    campaign: str | None = None
    campaign_version: str | None = None
    experience: str | None = None
    propensity: float = 1.0
    probabilities: Mapping[str, float] = field(default_factory=dict)
    context: Mapping[str, float] = field(default_factory=dict)
    variants: Mapping[str, str] = field(default_factory=dict)


class DecisionLog(Protocol):
    """Keeps every decision; ``tests/contracts/test_decision_log.py`` holds each kind of log to it."""

    def append(self, decision: Decision) -> None:
        """Add ``decision``, whose id is new."""

    def find(self, decision_id: str) -> Decision | None:
        """Return the decision, or None where there is none of that id."""

    def count(self, user_ids: Sequence[str], campaign: str, after: datetime) -> int:
        """Return how many decisions of ``campaign`` there are for ``user_ids`` after ``after``."""

    def count_of_days(self, campaign: str, now: datetime, days: float) -> int:
        """Return how many decisions of ``campaign`` there are on the last ``days`` days (UTC), today included."""


class MemoryDecisionLog:
    """A log that lives as long as its process."""

    def __init__(self) -> None:
        self._decisions: dict[str, Decision] = {}

    def append(self, decision: Decision) -> None:
        """Add ``decision``."""
        self._decisions[decision.decision_id] = decision

    def find(self, decision_id: str) -> Decision | None:
        """Return the decision, or None where there is none of that id."""
        return self._decisions.get(decision_id)

    def count(self, user_ids: Sequence[str], campaign: str, after: datetime) -> int:
        """Return how many decisions of ``campaign`` there are for ``user_ids`` after ``after``."""
        return sum(
            one.user_id in user_ids and one.campaign == campaign and one.decided_at > after
            for one in self._decisions.values()
        )

    def count_of_days(self, campaign: str, now: datetime, days: float) -> int:
        """Return how many decisions of ``campaign`` there are on the last ``days`` days (UTC), today included."""
        first = _first_day(now, days)
        return sum(
            one.campaign == campaign and microseconds(one.decided_at) // _DAY_US >= first
            for one in self._decisions.values()
        )


class SQLiteDecisionLog:
    """The decisions of one run-time folder, over a connection of ``open_database``."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def append(self, decision: Decision) -> None:
        """Add ``decision``, inside the transaction that the caller has opened."""
        moment_us = microseconds(decision.decided_at)
        row = (
            decision.decision_id,
            decision.user_id,
            moment_us,
            decision.zone,
            decision.campaign,
            decision.campaign_version,
            decision.experience,
            decision.propensity,
            _json(decision.probabilities),
            _json(decision.context),
            _json(decision.variants),
        )
        self._database.execute(f"INSERT INTO decisions ({_COLUMNS}) VALUES ({', '.join('?' * len(row))})", row)
        if decision.campaign is not None:
            self._database.execute(
                "INSERT INTO campaign_days VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET decisions = decisions + 1",
                (decision.campaign, moment_us // _DAY_US),
            )

    def find(self, decision_id: str) -> Decision | None:
        """Return the decision, or None where there is none of that id."""
        row = self._database.execute(f"SELECT {_COLUMNS} FROM decisions WHERE decision_id = ?", (decision_id,))
        found = row.fetchone()
        return None if found is None else _decision(found)

    def count(self, user_ids: Sequence[str], campaign: str, after: datetime) -> int:
        """Return how many decisions of ``campaign`` there are for ``user_ids`` after ``after``."""
        query = (
            f"SELECT count(*) FROM decisions WHERE user_id IN ({_marks(user_ids)}) AND campaign = ?"
            " AND decided_at_us > ?"
        )
        return int(self._database.execute(query, (*user_ids, campaign, microseconds(after))).fetchone()[0])

    def count_of_days(self, campaign: str, now: datetime, days: float) -> int:
        """Return how many decisions of ``campaign`` there are on the last ``days`` days (UTC), today included."""
        query = "SELECT coalesce(sum(decisions), 0) FROM campaign_days WHERE campaign = ? AND day >= ?"
        return int(self._database.execute(query, (campaign, _first_day(now, days))).fetchone()[0])


def _first_day(now: datetime, days: float) -> int:
    return microseconds(now) // _DAY_US - int(-(-days // 1)) + 1


def _decision(row: tuple[Any, ...]) -> Decision:
    decision_id, user_id, decided_at_us, *rest, probabilities, context, variants = row
    texts = (json.loads(text) for text in (probabilities, context, variants))
    return Decision(decision_id, user_id, EPOCH + timedelta(microseconds=decided_at_us), *rest, *texts)


def _json(values: Mapping[str, object]) -> str:
    return as_json(dict(values))


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
