"""What came of each decision: its exposure joined to later clicks, purchases and opens.

A decision is exposed when it is first seen, not when it is made: at the earliest event that names it. What a decision
has earned lies within a window that begins there, fixed by its goal; so it is the same whatever period is reported, and
final once the window is over.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

import polars as pl
from pydantic import Field, model_validator

from features.database import open_database
from features.event_log import EventLog
from features.layout import Layout
from features.settings import Settings

CLICKS: Final = ("click", "email_click", "push_open")
"""Events that are a click on what was decided, where they name the decision."""
OPENS: Final = ("email_open", "push_open")
UNSUBSCRIBE: Final = "unsubscribe"
PURCHASE: Final = "purchase"

DECISIONS: Final = pl.Schema(
    {"decision_id": pl.String, "user_id": pl.String, "exposed_at_us": pl.Int64, "clicked_at_us": pl.Int64}
)
"""Exposed decisions of one campaign or experiment; ``clicked_at_us`` is null where nobody clicked on it."""
OUTCOMES: Final = pl.Schema(
    {
        "event_id": pl.String,
        "user_id": pl.String,
        "timestamp_us": pl.Int64,
        "event_type": pl.String,
        "value": pl.Float64,
        "decision_id": pl.String,
    }
)
"""Events that may be what a decision has earned; ``decision_id`` (or the ranking's) is null where they name none."""


class Goal(Settings):
    """What a campaign or an experiment is for."""

    reward: Literal["click", "conversion", "revenue", "open"] = "click"
    """What a decision earns: 1 for a click that names it; 1 for a purchase; the value of the purchases, less what is
    given back; or 1 for an opened e-mail or push message, less ``unsubscribe_cost`` where the person unsubscribes."""
    window_days: float = Field(default=7.0, gt=0, le=365)
    """How long after it was seen (or clicked on) a decision earns."""
    after: Literal["exposure", "click"] = "exposure"
    """What a purchase must follow: having seen the decision, or having clicked on it."""
    unsubscribe_cost: float = Field(default=0.0, ge=0)
    """How many opens a subscriber is worth who is lost."""

    @model_validator(mode="after")
    def _fits_together(self) -> Goal:
        if self.after == "click" and self.reward not in ("conversion", "revenue"):
            raise ValueError(f"after = 'click' is said of purchases; the reward is {self.reward!r}")
        if self.unsubscribe_cost and self.reward != "open":
            raise ValueError(f"unsubscribe_cost goes with the reward 'open'; the reward is {self.reward!r}")
        return self

    @property
    def window_us(self) -> int:
        """The window in microseconds."""
        return timedelta(days=self.window_days) // timedelta(microseconds=1)

    @property
    def event_types(self) -> tuple[str, ...]:
        """The events that a decision earns by."""
        if self.reward == "open":
            return (*OPENS, UNSUBSCRIBE)
        return CLICKS if self.reward == "click" else (PURCHASE,)


OUTCOME_TYPES: Final = tuple(dict.fromkeys([*CLICKS, *OPENS, UNSUBSCRIBE, PURCHASE]))
"""All events that some goal counts."""
BY_WINDOW: Final = frozenset({PURCHASE, UNSUBSCRIBE})
"""Of them, those that are credited without naming a decision, to the latest one within the window."""


def earned(decisions: pl.DataFrame, outcomes: pl.DataFrame, goal: Goal) -> pl.DataFrame:
    """Return ``decisions`` with the column ``reward``, float64, in their order.

    An event that names a decision is credited to it. A purchase or unsubscription that names none of ``decisions`` is
    credited to the person's latest one at or before it (last touch). Either counts only within the window. Clicks and
    opens must name their decision.

    Args:
        decisions: Columns as in ``DECISIONS``, others are kept; each decision once, all of the persons concerned that
            were exposed (or clicked on) from one window before the earliest until the latest of interest.
        outcomes: Columns as in ``OUTCOMES``, each event once.
        goal: Which events count, when, and for how much.
    """
    touch = "exposed_at_us" if goal.after == "exposure" else "clicked_at_us"
    numbered = decisions.with_row_index("place")
    touched = numbered.select("place", "decision_id", "user_id", touched_us=pl.col(touch)).drop_nulls("touched_us")
    counted = outcomes.filter(pl.col("event_type").is_in(goal.event_types)).select(OUTCOMES.names())
    named = counted.join(numbered.select("decision_id"), on="decision_id", how="semi")
    by_id = named.join(touched.drop("user_id"), on="decision_id")
    others = counted.join(named, on="event_id", how="anti").filter(pl.col("event_type").is_in(BY_WINDOW))
    # Of decisions seen in the same microsecond the later one counts, so that the answer is one.
    by_window = others.sort("timestamp_us").join_asof(
        touched.drop("decision_id").sort("touched_us", "place"),
        left_on="timestamp_us",
        right_on="touched_us",
        by="user_id",
        strategy="backward",
        check_sortedness=False,
    )
    columns = ["place", "event_type", "timestamp_us", "touched_us", "value"]
    credited = pl.concat([by_id.select(columns), by_window.drop_nulls("place").select(columns)])
    since_us = pl.col("timestamp_us") - pl.col("touched_us")
    inside = credited.filter((since_us >= 0) & (since_us <= goal.window_us))
    rewards = inside.group_by("place").agg(reward=_reward(goal))
    return (
        numbered.join(rewards, on="place", how="left", maintain_order="left")
        .with_columns(pl.col("reward").fill_null(0.0))
        .drop("place")
    )


def _reward(goal: Goal) -> pl.Expr:
    if goal.reward == "revenue":
        return pl.col("value").fill_null(0.0).sum()
    if goal.reward == "open":
        lost = (pl.col("event_type") == UNSUBSCRIBE).any().cast(pl.Float64)
        return pl.col("event_type").is_in(OPENS).any().cast(pl.Float64) - goal.unsubscribe_cost * lost
    return pl.lit(1.0)


def log_of(layout: Layout, read: Callable[[Path], pl.DataFrame], schema: pl.Schema) -> tuple[pl.DataFrame, pl.Expr]:
    """Return what ``read`` takes out of each Parquet file of the log, and the column ``user_id`` by persons.

    The latter has of each id the name that all ids of its person share: one may decide under one and buy under another.

    Args:
        layout: The run-time folder.
        read: Returns events in a file, such as ``outcomes_in``.
        schema: That of what it returns.

    Raises:
        Corrupt: a file of the history is missing.
    """
    with closing(open_database(layout.database)) as database, closing(EventLog(layout)) as log:
        persons = dict(database.execute("SELECT user_id, person FROM profiles WHERE person IS NOT NULL").fetchall())
        with tempfile.TemporaryDirectory(prefix=".report-", dir=layout.root) as folder:
            events = pl.concat([schema.to_frame(), *map(read, log.tables(Path(folder)))])
    return events, pl.col("user_id").replace(persons)


def outcomes_in(path: Path) -> pl.DataFrame:
    """Return the events in a Parquet file of the log that name a decision, or may be what one has earned.

    Columns as in ``OUTCOMES``; ``decision_id`` is the decision's or else the ranking's.
    """
    rows = pl.scan_parquet(path, hive_partitioning=False)
    there = rows.collect_schema().names()  # files of earlier versions lack the later columns
    named = pl.coalesce([pl.col(name) for name in ("decision_id", "ranking_id") if name in there])
    return (
        rows.with_columns(decision_id=named, timestamp_us=pl.col("timestamp").dt.epoch("us"))
        .filter(pl.col("decision_id").is_not_null() | pl.col("event_type").is_in(OUTCOME_TYPES))
        .select(OUTCOMES.names())
        .cast(OUTCOMES)
        .collect()
    )
