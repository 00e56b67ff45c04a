"""Decisions as a worker of the service makes them: by what all workers know, and on record before they are answered."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from features.decision_log import Decision, SQLiteDecisionLog
from features.definitions import API, FILE, Definition, Definitions
from features.errors import InvalidInput, NotFound
from features.fields import EPOCH
from features.settings import Settings
from models.evidence import Evidence
from serving.cadence import FIRST_INTERVAL_DAYS, REMEMBERED, Message
from serving.campaigns import Campaign, CampaignFile, text_of, version_of
from serving.decision_fold import DecisionFold
from serving.experiments import Experiment
from serving.programme import CAMPAIGN, EXPERIMENT, Asked, Plan, Programme
from serving.visitors import Visitor

log = logging.getLogger("attune")

T = TypeVar("T")


class Writer(Protocol):
    """Makes what others give it durable; see ``GroupCommit``."""

    async def committed(self, work: Callable[[], T]) -> T:
        """Return what ``work()`` returns, run inside a transaction, once that is durable."""

    def soon(self, work: Callable[[], Any]) -> bool:
        """Run ``work()`` in a transaction soon; return whether there was room."""


def _shown(item_id: str) -> str | None:
    return None


KINDS: Final[dict[str, type[Settings]]] = {CAMPAIGN: Campaign, EXPERIMENT: Experiment}
_DAY: Final = timedelta(days=1)
_LAST: Final = "SELECT (SELECT coalesce(max(number), 0) FROM definitions), (SELECT sequence FROM decision_fold)"
"""The last definition, and the last event that policies have learned from."""


class Decisions:
    """Makes decisions, and defines campaigns and experiments.

    Whatever another worker has committed is known to the next decision. A decision is planned on what this worker
    reads, and put on record in a transaction that looks again at what may have changed: caps hold exactly.
    """

    def __init__(
        self,
        reading: sqlite3.Connection,
        writing: sqlite3.Connection,
        writer: Writer,
        rng: np.random.Generator,
        new_id: Callable[[], str],
        global_holdout: float = 0.0,
    ) -> None:
        """Take over what is defined and known.

        Args:
            reading: A connection of ``open_database`` that only this object uses.
            writing: The connection that ``writer`` writes to; used only in what it runs.
            writer: Makes decisions durable.
            rng: Draws what policies choose.
            new_id: Returns a name that nothing had before.
            global_holdout: Share of people that are in no experiment and see no campaign.
        """
        self._reading = reading
        self._writing = writing
        self._writer = writer
        self._rng = rng
        self._new_id = new_id
        self._global_holdout = global_holdout
        self._log, self._definitions = SQLiteDecisionLog(reading), Definitions(reading)
        self._fold = DecisionFold(reading)
        self._stamp: int | None = None
        self._last_definition = self._watermark = -1
        self._programme = Programme({}, {})
        self._evidence: dict[tuple[str, str], Evidence] = {}

    @property
    def programme(self) -> Programme:
        """The campaigns and experiments that hold now."""
        self.refresh()
        return self._programme

    def refresh(self, stamp: int | None = None) -> None:
        """Take over what any worker has defined and learned since.

        As long as ``stamp``, see ``Assembly.stamp``, stays the same, nobody has written and nothing is looked up.
        """
        if stamp is not None and stamp == self._stamp:
            return
        self._stamp = stamp
        definition, watermark = self._reading.execute(_LAST).fetchone()
        if definition != self._last_definition:
            self._programme = Programme.of(self._definitions.held(tuple(KINDS)), self._global_holdout)
            self._last_definition = definition
        if watermark != self._watermark:
            self._evidence = self._fold.evidence()
            self._watermark = watermark

    async def decided(self, asked: Asked, unavailable: Callable[[str], str | None] = _shown) -> Plan:
        """Return the decision for ``asked``, which is on record by then.

        Args:
            asked: For whom, where and when.
            unavailable: Returns why an item may not be shown now, or None where it may.

        Raises:
            NotFound: no campaign has this zone, or a variant to test does not exist.
            InvalidInput: an expression of a policy's context is no number for this person.
            Busy: too much waits to be put on record.
        """
        while True:  # where another decision has used up a cap meanwhile, the next plan sees so
            plan = self.programme.planned(asked, self, unavailable, self._new_id(), self._rng)
            if plan.decision is None or plan.on_record:
                return plan
            if await self._writer.committed(partial(recorded, plan, asked, self._writing)):
                return plan

    def recipe(self, recipe: str, visitor: Visitor, now: datetime, ranking_id: str, variants: Mapping[str, str]) -> str:
        """Return what to rank with in place of ``recipe``; what an experiment has chosen goes on record soon.

        The experiments are those of the last ``refresh``.

        Args:
            recipe: What was asked for.
            visitor: Who asks.
            now: The moment, aware UTC.
            ranking_id: What the ranking will be called.
            variants: Variants of experiments to see for testing; these do not count.

        Raises:
            NotFound: a variant to test does not exist.
        """
        programme = self._programme
        if not variants and recipe not in programme.recipes:
            return recipe
        user_ids = visitor.identities or (visitor.user_id,)
        asked = Asked(visitor.user_id, recipe, visitor.values, now, user_ids, variants)
        chosen, counted = programme.recipe(asked, recipe)
        if counted:
            decision = Decision(ranking_id, visitor.user_id, now, recipe, variants=counted)
            self._writer.soon(lambda: SQLiteDecisionLog(self._writing).append(decision))
        return chosen

    async def define(self, kind: str, name: str, given: dict[str, Any] | None, now: datetime) -> Definition:
        """Make ``given`` the definition of a campaign or experiment; None withdraws it. It holds for all workers.

        Raises:
            NotFound: there is none to withdraw.
            InvalidInput: it is not a definition, does not fit with the others, or a file has defined it.
        """
        where = f"{kind} {name}"
        settings = None if given is None else KINDS[kind].of(given, where)
        definition = definition_of(kind, name, settings, API)

        def put() -> None:
            definitions = Definitions(self._writing)
            others = {(one.kind, one.name): one for one in definitions.held(tuple(KINDS))}
            held = others.pop((kind, name), None)
            if held is not None and held.origin == FILE:
                raise InvalidInput(f"The {where} is defined in the service's file of campaigns; change it there.")
            if held is None and settings is None:
                raise NotFound(f"There is no {where} to withdraw.")
            Programme.of([*others.values(), definition])
            definitions.put(definition, now)

        await self._writer.committed(put)
        return definition

    @contextmanager
    def folding(self, pause_s: float) -> Iterator[None]:
        """Take what happens into what came of decisions, every ``pause_s`` seconds, until the block ends."""

        async def fold_again_and_again() -> None:
            while True:
                try:
                    await self.fold()
                except Exception:  # decisions must go on, by what is known so far
                    log.exception("What came of decisions could not be worked out; it is tried again.")
                await asyncio.sleep(pause_s)

        task = asyncio.get_running_loop().create_task(fold_again_and_again())
        try:
            yield
        finally:
            task.cancel()

    async def fold(self) -> None:
        """Take what has happened since into what came of decisions, and learn from it."""
        while self._unfolded():
            await self._writer.committed(lambda: DecisionFold(self._writing).advance())

    def definition(self, kind: str, name: str) -> Definition:
        """Return the definition that holds.

        Raises:
            NotFound: there is none.
        """
        held = self._definitions.find(kind, name)
        if held is None or held.text is None:
            names = [one.name for one in self.definitions(kind)]
            raise NotFound(f"There is no {kind} {name!r}. There are: {', '.join(names) or 'none'}.")
        return held

    def definitions(self, kind: str) -> list[Definition]:
        """Return the definitions of a kind that hold, by name."""
        return self._definitions.held([kind])

    def decision(self, decision_id: str) -> Decision:
        """Return the decision.

        Raises:
            NotFound: there is none.
        """
        found = self._log.find(decision_id)
        if found is None:
            raise NotFound(f"There is no decision {decision_id!r}.")
        return found

    # What a plan needs to know (``programme.Known``):

    def count(self, user_ids: Sequence[str], campaign: str, after: datetime) -> int:
        """Return how many decisions of ``campaign`` there were for ``user_ids`` after ``after``."""
        return self._log.count(user_ids, campaign, after)

    def count_of_days(self, campaign: str, now: datetime, days: float) -> int:
        """Return how many decisions of ``campaign`` there were on the last ``days`` days (UTC), today included."""
        return self._log.count_of_days(campaign, now, days)

    def messages(self, user_ids: Sequence[str], campaign: str) -> tuple[list[Message], Decision | None]:
        """Return the last messages sent, the latest first, and the decision for the next one, if there is one yet."""
        return messages(self._reading, user_ids, campaign)

    def evidence(self, campaign: str, definition: Campaign) -> Evidence:
        """Return what is known of a campaign's experiences."""
        return self._evidence.get((campaign, definition.evidence_key), Evidence())

    def _unfolded(self) -> bool:
        last = self._reading.execute("SELECT max(sequence) FROM events").fetchone()[0]
        return last is not None and last > self._fold.watermark()


def recorded(plan: Plan, asked: Asked, database: sqlite3.Connection) -> bool:
    """Put the decision of ``plan`` on record inside an open transaction; False where a cap leaves no room any more."""
    assert plan.decision is not None
    log, name = SQLiteDecisionLog(database), plan.decision.campaign
    if plan.campaign is not None and name is not None:
        for cap in plan.campaign.per_person:
            if log.count(asked.user_ids, name, asked.now - cap.days * _DAY) >= cap.decisions:
                return False
        for cap in plan.campaign.overall:
            if log.count_of_days(name, asked.now, cap.days) >= cap.decisions:
                return False
        if plan.campaign.cadence is not None:
            next_one = messages(database, asked.user_ids, name)[1]
            if next_one is not None and next_one.experience in plan.campaign.experiences:
                return False
    log.append(plan.decision)
    return True


def messages(
    database: sqlite3.Connection, user_ids: Sequence[str], campaign: str
) -> tuple[list[Message], Decision | None]:
    """Return the last messages sent, the latest first, and the decision for the next one, if there is one yet."""
    marks = ", ".join("?" * len(user_ids))
    rows = database.execute(
        "SELECT decision_id, reward, coalesce(exposed_at_us, (SELECT min(timestamp_us) FROM events"
        " WHERE events.decision_id = decisions.decision_id)) FROM decisions LEFT JOIN decision_outcomes USING (number)"
        f" WHERE user_id IN ({marks}) AND campaign = ? AND experience IS NOT NULL ORDER BY number DESC LIMIT ?",
        (*user_ids, campaign, REMEMBERED + 2),
    ).fetchall()
    pending = SQLiteDecisionLog(database).find(rows[0][0]) if rows and rows[0][2] is None else None
    sent = [(EPOCH + timedelta(microseconds=sent_us), reward) for _, reward, sent_us in rows if sent_us is not None]
    sent.sort(reverse=True)
    found = [
        Message(sent_at, (sent_at - before) / _DAY, (reward or 0.0) > 0)
        for (sent_at, reward), (before, _) in pairwise(sent)
    ]
    if sent and len(rows) < REMEMBERED + 2:
        found.append(Message(sent[-1][0], FIRST_INTERVAL_DAYS, (sent[-1][1] or 0.0) > 0))
    return found, pending


def read_file(path: Path, database: sqlite3.Connection, now: datetime) -> None:
    """Make the campaigns and experiments of a TOML file hold, inside an open transaction.

    What an earlier file defined and this one does not is withdrawn; what the API defined stays.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is not TOML, or does not fit, with what the API defined or by itself.
    """
    given = CampaignFile.read(path)
    definitions = Definitions(database)
    ours = [definition_of(CAMPAIGN, name, one, FILE) for name, one in given.campaigns.items()]
    ours += [definition_of(EXPERIMENT, name, one, FILE) for name, one in given.experiments.items()]
    names = {(one.kind, one.name) for one in ours}
    held = [one for one in definitions.held(tuple(KINDS)) if (one.kind, one.name) not in names]
    Programme.of([*ours, *(one for one in held if one.origin == API)])
    for one in ours:
        definitions.put(one, now)
    for one in held:
        if one.origin == FILE:
            definitions.put(Definition(one.kind, one.name, "", None, FILE), now)


def definition_of(kind: str, name: str, settings: Settings | None, origin: str) -> Definition:
    """Return the definition that ``settings`` are; None withdraws it."""
    if settings is None:
        return Definition(kind, name, "", None, origin)
    return Definition(kind, name, version_of(settings), text_of(settings), origin)


def values_of(definition: Definition) -> dict[str, Any]:
    """Return the keys and values of a definition that is not withdrawn."""
    values: dict[str, Any] = json.loads(definition.text or "{}")
    return values
