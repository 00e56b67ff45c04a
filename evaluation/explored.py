"""What other rankings would have earned at the places that were left to chance.

A list whose place ``k`` is explored has its own item there with probability ``1 - e``, and each of ``m`` candidates
that are not in the list with ``e / m``. So the log tells what a ranking would have earned at that place whose item
there is one of these, if a place's reward depends on its own item only (the item-position model; Li et al., "Offline
evaluation of ranking policies with click models", KDD 2018). Of items that stand elsewhere in the list, and of the
other places, which chance never touched, it tells nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import polars as pl
from pydantic import Field

from evaluation.attribution import CLICKS, PURCHASE, log_of
from evaluation.intervals import Interval
from evaluation.off_policy.analysis import Analysis, AnalysisSettings, analyse
from evaluation.off_policy.estimators import mean_interval, self_normalised
from evaluation.off_policy.logs import LoggedDecisions
from features.errors import InvalidInput
from features.layout import Layout

IMPRESSION: Final = "impression"
DAY_US: Final = 86_400_000_000
EXPLORED: Final = pl.Schema(
    {
        "ranking_id": pl.String,
        "user_id": pl.String,
        "made_at_us": pl.Int64,
        "item_id": pl.String,
        "drawn": pl.Boolean,
        "probability": pl.Float64,
        "target": pl.String,
        "elsewhere": pl.Boolean,
    }
)
"""Explored places, one row each: the item that was there, whether chance drew it and how likely it was, above 0 and at
most 1; the item that the target would have put there, null where its list is shorter; and whether that one stands at
another place of the list as it is without chance."""


class PlaceGoal(AnalysisSettings):
    """What a place is to earn, and when the log is taken to tell."""

    reward: Literal["click", "purchase"] = "click"
    """1 for a click on the item that names the ranking, or for a purchase of the item by the person; else 0."""
    window_days: float = Field(default=7.0, gt=0, le=365)
    """How long after the ranking it may come."""


@dataclass(frozen=True, slots=True)
class Hindsight:
    """What the log says of a target beside what was served.

    Attributes:
        analysis: Of the target, a decision being an explored place.
        difference: What the target's own item earns at the place less what the served recipe's own item does, by
            self-normalised weights; None where the log cannot tell.
        warnings: What a reader must know, a sentence each.
    """

    analysis: Analysis
    difference: Interval | None
    warnings: tuple[str, ...]

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why the log cannot tell, a sentence each; empty where it can."""
        return self.analysis.answers[0].refusals


def hindsight(layout: Layout, explored: pl.DataFrame, goal: PlaceGoal) -> Hindsight:
    """Return what the target of ``explored`` would have earned.

    A list counts where an impression names it. Where none of them has one, each counts: which item chance put there has
    no part in that either way.

    Args:
        layout: The run-time folder whose log tells what came of the lists.
        explored: Columns as in ``EXPLORED``, each list once.
        goal: What counts, and how sure is sure enough.

    Raises:
        InvalidInput: there is no list to learn from, or none that can tell of the target.
        Corrupt: a file of the history is missing.
    """
    if explored.is_empty():
        raise InvalidInput(
            "There is no list of this recipe with an explored place. Give the recipe explore = { place = 3, "
            "probability = 0.1 } and let it answer for a while."
        )
    possible = explored.filter(~pl.col("elsewhere"))
    if possible.is_empty():
        raise InvalidInput(
            f"Of none of the {len(explored):,} lists can the log tell: the item that would be at the explored place "
            "stands elsewhere in each, and chance draws from what is not in the list."
        )
    events, of_person = log_of(layout, _events_in, _EVENTS)
    shown, events = possible.with_columns(of_person), events.with_columns(of_person)
    warnings = []
    if len(possible) < len(explored):
        warnings.append(
            f"{len(explored) - len(possible):,} of {len(explored):,} lists are left out: the item that would be at the "
            "explored place stands elsewhere in them, where the log cannot compare."
        )
    seen = events.filter(pl.col("event_type") == IMPRESSION).select("ranking_id")
    if (with_impression := shown.join(seen, on="ranking_id", how="semi")).is_empty():
        warnings.append("No impression names these lists, so all of them count, seen or not.")
    else:
        shown = with_impression
    shown = shown.with_columns(reward=_rewards(shown, events, goal))
    probability = shown["probability"].to_numpy()
    reward = shown["reward"].to_numpy()
    unit = shown["user_id"].rank("dense").cast(pl.Int64).to_numpy()
    target = (shown["target"] == shown["item_id"]).fill_null(False).cast(pl.Float64).to_numpy()
    places = LoggedDecisions(reward, probability, target, unit)
    analysis = analyse(places, goal)
    own = (~shown["drawn"]).cast(pl.Float64).to_numpy() / probability
    if analysis.answers[0].refusals or not own.any():
        return Hindsight(analysis, None, tuple(warnings))
    terms = self_normalised(places.weight, reward) - self_normalised(own, reward)
    return Hindsight(analysis, mean_interval(terms, unit, goal.confidence), tuple(warnings))


_EVENTS: Final = pl.Schema(
    {
        "user_id": pl.String,
        "timestamp_us": pl.Int64,
        "event_type": pl.String,
        "item_id": pl.String,
        "ranking_id": pl.String,
    }
)


def _events_in(path: Path) -> pl.DataFrame:
    """Return the events in a Parquet file of the log that a list may have earned by, or was seen by."""
    rows = pl.scan_parquet(path, hive_partitioning=False)
    if "ranking_id" not in rows.collect_schema().names():  # a file of an earlier version
        rows = rows.with_columns(ranking_id=pl.lit(None, pl.String))
    return (
        rows.filter(pl.col("ranking_id").is_not_null() | (pl.col("event_type") == PURCHASE))
        .with_columns(timestamp_us=pl.col("timestamp").dt.epoch("us"))
        .select(_EVENTS.names())
        .cast(_EVENTS)
        .collect()
    )


def _rewards(shown: pl.DataFrame, events: pl.DataFrame, goal: PlaceGoal) -> pl.Series:
    types = CLICKS if goal.reward == "click" else (PURCHASE,)
    by = ["ranking_id", "item_id"] if goal.reward == "click" else ["user_id", "item_id"]
    earning = events.filter(pl.col("event_type").is_in(types)).select(*by, "timestamp_us")
    after_us = pl.col("timestamp_us") - pl.col("made_at_us")
    paid = (
        shown.join(earning, on=by)
        .filter((after_us >= 0) & (after_us <= goal.window_days * DAY_US))
        .select("ranking_id", reward=pl.lit(1.0))
        .unique()
    )
    joined = shown.join(paid, on="ranking_id", how="left", maintain_order="left")
    return joined["reward"].fill_null(0.0)
