"""What came of decisions, and what policies know by it: a fold of the decisions and events, kept up as events arrive.

Every event is taken once, by whichever worker holds the transaction: the fold moves its watermark, the last event's
``sequence``, in the same transaction as what it adds. What a decision has earned is worked out anew from all that is
known whenever an event touches it, so the order in which events arrive changes nothing.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import polars as pl

from evaluation.attribution import CLICKS, OUTCOME_TYPES, OUTCOMES, earned, outcomes_in
from features.database import open_database, transaction
from features.definitions import Definitions
from features.errors import Corrupt
from features.event_log import EventLog
from features.layout import Layout
from models.evidence import ArmEvidence, Evidence
from serving.campaigns import Campaign

MOST_EVENTS: Final = 5_000
"""Taken in one transaction, so that others need not wait long."""
_EVENTS: Final = pl.Schema({**OUTCOMES})
"""As of outcomes; ``decision_id`` is the decision or else the ranking that an event names."""
_COLUMNS: Final = "event_id, user_id, timestamp_us, event_type, value, coalesce(decision_id, ranking_id)"


class DecisionFold:
    """The fold of one run-time folder, over a connection of ``open_database``."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._definitions = Definitions(database)
        self._campaigns: dict[tuple[str, str], Campaign] = {}

    def watermark(self) -> int:
        """Return the ``sequence`` of the last event that was taken."""
        return int(self._database.execute("SELECT sequence FROM decision_fold").fetchone()[0])

    def advance(self) -> int:
        """Take the next events, inside an open transaction; return how many there were, 0 where all are taken."""
        query = f"SELECT sequence, {_COLUMNS} FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?"
        rows = self._database.execute(query, (self.watermark(), MOST_EVENTS)).fetchall()
        if rows:
            linking = "SELECT user_id, same_as FROM events WHERE sequence BETWEEN ? AND ? AND same_as IS NOT NULL"
            linked = self._database.execute(linking, (rows[0][0], rows[-1][0])).fetchall()
            self._take(pl.DataFrame([row[1:] for row in rows], _EVENTS, orient="row"))
            self._relink(sorted({user for pair in linked for user in pair}))
            self._database.execute("UPDATE decision_fold SET sequence = ?", (rows[-1][0],))
        return len(rows)

    def restart(self, events: Iterable[pl.DataFrame]) -> None:
        """Take all ``events`` of the log, of the columns ``OUTCOMES``, from the beginning, inside a transaction."""
        for table in ("decision_outcomes", "outcome_events", "policy_evidence"):
            self._database.execute(f"DELETE FROM {table}")
        for some in events:
            self._take(some)
        last = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'"
        self._database.execute(f"UPDATE decision_fold SET sequence = ({last})")

    def evidence(self) -> dict[tuple[str, str], Evidence]:
        """Return what is known of the experiences, by campaign and ``Campaign.evidence_key``."""
        rows = self._database.execute("SELECT campaign, contexts, evidence FROM policy_evidence")
        return {(campaign, contexts): Evidence.from_json(json.loads(text)) for campaign, contexts, text in rows}

    def _take(self, events: pl.DataFrame) -> None:
        owners, moments = self._expose(events.drop_nulls("decision_id"))
        users = set(owners.values())
        kept = events.filter(pl.col("event_type").is_in(OUTCOME_TYPES))
        # What names a decision is its person's, whatever the id that it was done under.
        owner = pl.col("decision_id").replace_strict(owners, default=None, return_dtype=pl.String)
        kept = kept.with_columns(user_id=pl.coalesce(owner, "user_id"))
        kept = kept.filter(pl.col("user_id").is_in(self._decided_for(kept["user_id"].unique().to_list(), users)))
        self._database.executemany(
            f"INSERT INTO outcome_events ({', '.join(OUTCOMES.names())}) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            kept.select(OUTCOMES.names()).iter_rows(),
        )
        users |= set(kept["user_id"])
        if users:
            moments += kept["timestamp_us"].to_list()
            self._reward(sorted(users), min(moments), max(moments))

    def _expose(self, events: pl.DataFrame) -> tuple[dict[str, str], list[int]]:
        """Note when the decisions that ``events`` name were seen and clicked on; return whose, and the moments."""
        owners: dict[str, str] = {}
        moments: list[int] = []
        seen = events.group_by("decision_id", maintain_order=True).agg(
            pl.col("timestamp_us").min(),
            clicked=pl.col("timestamp_us").filter(pl.col("event_type").is_in(CLICKS)).min(),
        )
        for decision_id, exposed_us, clicked_us in seen.iter_rows():
            found = self._database.execute(
                "SELECT number, user_id, exposed_at_us, clicked_at_us FROM decisions LEFT JOIN decision_outcomes"
                " USING (number) WHERE decision_id = ?",
                (decision_id,),
            ).fetchone()
            if found is None:
                continue
            number, user, *before = found
            exposed, clicked = (
                min((one for one in both if one is not None), default=None)
                for both in zip(before, (exposed_us, clicked_us), strict=True)
            )
            self._database.execute(
                "INSERT INTO decision_outcomes VALUES (?, ?, ?, NULL)"
                " ON CONFLICT DO UPDATE SET exposed_at_us = excluded.exposed_at_us,"
                " clicked_at_us = excluded.clicked_at_us",
                (number, exposed, clicked),
            )
            owners[decision_id] = user
            moments += [one for one in (*before, exposed_us, clicked_us) if one is not None]
        return owners, moments

    def _decided_for(self, users: Sequence[str], also: set[str]) -> list[str]:
        """Return those of ``users`` for whom, under any of their ids, there is a decision of a campaign."""
        query = "SELECT 1 FROM decisions WHERE user_id = ? AND campaign IS NOT NULL LIMIT 1"
        persons = self._persons(users)
        decided = {
            persons.get(user, user)
            for user in {*users, *persons}
            if user in also or self._database.execute(query, (user,)).fetchone()
        }
        return [user for user in users if persons.get(user, user) in decided]

    def _persons(self, users: Sequence[str]) -> dict[str, str]:
        """Return of each id of the people who have more than one, and one of ``users``, what stands for the person."""
        rows = self._database.execute(
            "SELECT user_id, person FROM profiles WHERE person IN (SELECT person FROM profiles WHERE person IS NOT NULL"
            f" AND user_id IN ({', '.join('?' * len(users))}))",
            users,
        )
        return dict(rows.fetchall())

    def _relink(self, users: list[str]) -> None:
        """Work out anew all that decisions have earned for ``users``, whose ids were linked or parted."""
        everybody = sorted({*users, *self._persons(users)})
        first_us, last_us = self._database.execute(
            "SELECT min(exposed_at_us), max(exposed_at_us) FROM decisions JOIN decision_outcomes USING (number)"
            f" WHERE user_id IN ({', '.join('?' * len(everybody))})",
            everybody,
        ).fetchone()
        if first_us is not None:
            self._reward(everybody, first_us, last_us)

    def _reward(self, users: list[str], first_us: int, last_us: int) -> None:
        """Work out anew what those decisions for ``users``, under all their ids, have earned that events of this period
        touch.
        """
        persons = self._persons(users)
        users = sorted({*users, *persons})
        of_person = pl.col("user_id").replace(persons)
        marks = ", ".join("?" * len(users))
        kinds = self._database.execute(
            f"SELECT DISTINCT campaign, campaign_version FROM decisions WHERE user_id IN ({marks})"
            " AND campaign IS NOT NULL ORDER BY 1, 2",
            users,
        )
        families: dict[tuple[str, str], list[Campaign]] = {}
        for name, version in kinds.fetchall():
            campaign = self._campaign(name, version)
            families.setdefault((name, campaign.goal.model_dump_json()), []).append(campaign)
        for (name, _), versions in families.items():
            goal = versions[0].goal
            # An event moves credit between decisions at most one window before it; theirs depend on what lies around.
            margin = 3 * goal.window_us
            decisions = pl.DataFrame(
                self._database.execute(
                    "SELECT number, decision_id, user_id, exposed_at_us, clicked_at_us, reward, experience,"
                    " campaign_version, context FROM decisions JOIN decision_outcomes USING (number)"
                    f" WHERE user_id IN ({marks}) AND campaign = ? AND exposed_at_us BETWEEN ? AND ?"
                    f" AND campaign_version IN ({', '.join('?' * len(versions))}) ORDER BY number",
                    (*users, name, first_us - margin, last_us + margin, *(one.version for one in versions)),
                ).fetchall(),
                _DECISIONS,
                orient="row",
            )
            outcomes = pl.DataFrame(
                self._database.execute(
                    f"SELECT {', '.join(OUTCOMES.names())} FROM outcome_events WHERE user_id IN ({marks})"
                    " AND timestamp_us BETWEEN ? AND ?",
                    (*users, first_us - margin, last_us + margin),
                ).fetchall(),
                OUTCOMES,
                orient="row",
            )
            decisions = decisions.rename({"reward": "before"}).with_columns(of_person)
            rewarded = earned(decisions, outcomes.with_columns(of_person), goal)
            near = pl.col("exposed_at_us").is_between(first_us - goal.window_us, last_us + goal.window_us)
            changed = rewarded.filter((near & (pl.col("reward") != pl.col("before"))) | pl.col("before").is_null())
            self._learn(name, changed)

    def _learn(self, name: str, changed: pl.DataFrame) -> None:
        """Keep the new rewards of ``changed`` decisions of the campaign ``name``, and what they teach."""
        taught: dict[str, list[Evidence]] = {}
        for row in changed.iter_rows(named=True):
            self._database.execute(
                "UPDATE decision_outcomes SET reward = ? WHERE number = ?", (row["reward"], row["number"])
            )
            if row["experience"] is None:
                continue
            campaign = self._campaign(name, row["campaign_version"])
            known = json.loads(row["context"])
            context = [known[expression] for expression in campaign.context]
            after, before = row["reward"], row["before"]
            arm = ArmEvidence.of(after, context) if before is None else ArmEvidence.of_change(before, after, context)
            taught.setdefault(campaign.evidence_key, []).append(Evidence({row["experience"]: arm}))
        for key, parts in taught.items():
            held = self._database.execute(
                "SELECT evidence FROM policy_evidence WHERE campaign = ? AND contexts = ?", (name, key)
            ).fetchone()
            before = Evidence() if held is None else Evidence.from_json(json.loads(held[0]))
            self._database.execute(
                "INSERT INTO policy_evidence VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET evidence = excluded.evidence",
                (name, key, json.dumps((before + Evidence.total(parts)).as_json())),
            )

    def _campaign(self, name: str, version: str) -> Campaign:
        if (name, version) not in self._campaigns:
            definition = self._definitions.find("campaign", name, version)
            if definition is None or definition.text is None:
                raise Corrupt(
                    f"Decisions name the version {version} of the campaign {name!r}, which was never defined."
                )
            self._campaigns[name, version] = Campaign.of(json.loads(definition.text), f"campaign {name}")
        return self._campaigns[name, version]


_DECISIONS: Final = pl.Schema(
    {
        "number": pl.Int64,
        "decision_id": pl.String,
        "user_id": pl.String,
        "exposed_at_us": pl.Int64,
        "clicked_at_us": pl.Int64,
        "reward": pl.Float64,
        "experience": pl.String,
        "campaign_version": pl.String,
        "context": pl.String,
    }
)


def rebuild(layout: Layout) -> None:
    """Make the fold anew from all decisions and events of the log, the history included; nobody can write meanwhile.

    Raises:
        Corrupt: a file of the history is missing.
    """
    with (
        closing(open_database(layout.database)) as database,
        closing(EventLog(layout)) as log,
        tempfile.TemporaryDirectory(prefix=".fold-", dir=layout.root) as folder,
        transaction(database),
    ):
        DecisionFold(database).restart(map(outcomes_in, log.tables(Path(folder))))
