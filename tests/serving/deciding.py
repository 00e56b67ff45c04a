"""A run-time folder that decides, without HTTP: one object for what a worker of the service has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from features.database import open_database, transaction
from features.event_log import EventLog
from features.events import Event
from features.layout import Layout
from serving.decisions import Decisions
from serving.programme import Asked, Plan

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
T = TypeVar("T")

ONE_BANNER = {"zone": "home", "experiences": {"banner": {"content": {"title": "Hello"}}}}


class Worker:
    """A worker that decides in the run-time folder ``var``; several may share one."""

    def __init__(self, var: Path, seed: int = 0, global_holdout: float = 0.0) -> None:
        layout = Layout(var)
        self.writing = open_database(layout.database)
        self.log = EventLog(layout)
        rng = np.random.default_rng(seed)
        self.decisions = Decisions(
            open_database(layout.database),
            self.writing,
            self,
            rng,
            lambda: rng.bytes(16).hex(),
            global_holdout,
        )

    async def committed(self, work: Callable[[], T]) -> T:
        """Return what ``work()`` returns, once it is durable."""
        with transaction(self.writing):
            return work()

    def soon(self, work: Callable[[], Any]) -> bool:
        """Do it at once."""
        with transaction(self.writing):
            work()
        return True

    def define(self, **definitions: dict[str, Any] | None) -> None:
        """Define campaigns, and experiments whose name begins with ``test``."""
        for name, given in definitions.items():
            kind = "experiment" if name.startswith("test") else "campaign"
            asyncio.run(self.decisions.define(kind, name, given, NOW))

    def decide(self, user_id: str = "ann", zone: str = "home", hours: float = 0.0, **asked: Any) -> Plan:
        """Return the decision ``hours`` after ``NOW``."""
        now = NOW + timedelta(hours=hours)
        given = {"values": {}, "user_ids": (user_id,)} | asked
        return asyncio.run(self.decisions.decided(Asked(user_id, zone, now=now, **given)))

    def tell(self, *events: Event, fold: bool = True) -> None:
        """Put events into the log, and take them into what came of decisions."""
        self.log.append(events)
        if fold:
            self.fold()

    def fold(self) -> None:
        """Take what has happened into what came of decisions."""
        asyncio.run(self.decisions.fold())

    def rewards(self) -> dict[str, float | None]:
        """Return what each exposed decision has earned."""
        query = "SELECT decision_id, reward FROM decisions JOIN decision_outcomes USING (number) ORDER BY number"
        with closing(self.writing.execute(query)) as rows:
            return dict(rows.fetchall())

    def evidence(self, campaign: str) -> dict[str, tuple[float, float]]:
        """Return how often each experience was seen, and what it earned."""
        (known,) = [one for (name, _), one in self.decisions._fold.evidence().items() if name == campaign]
        return {arm: (known.arms[arm].count, known.arms[arm].total) for arm in sorted(known.arms)}


def event(event_type: str, plan: Plan | None = None, hours: float = 0.0, user_id: str = "ann", **rest: Any) -> Event:
    """Return an event ``hours`` after ``NOW``; with ``plan``, one that names its decision."""
    decision_id = plan.decision.decision_id if plan and plan.decision else None
    user_id = plan.decision.user_id if plan and plan.decision else user_id
    name = " ".join(map(str, (user_id, event_type, hours, decision_id, *rest.values())))
    return Event(name[:128], event_type, user_id, NOW + timedelta(hours=hours), decision_id=decision_id, **rest)
