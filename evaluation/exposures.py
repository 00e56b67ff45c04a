"""Attune's own log as an analyst reads it: what was shown to whom by which variant, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import pandas as pd
import polars as pl

from evaluation.ab_test.design import Design
from evaluation.attribution import CLICKS, DECISIONS, OUTCOMES, PURCHASE, Goal, earned, log_of, outcomes_in
from evaluation.off_policy.files import Question
from features.database import open_database
from features.definitions import Definitions
from features.errors import InvalidInput, NotFound
from features.fields import EPOCH, microseconds
from features.layout import Layout

HOLDOUT: Final = "holdout"
SHOWN: Final = "shown"
AB: Final = "ab"
"""How a campaign says that it divides people by hashing."""
GLOBAL_HOLDOUT: Final = "global_holdout"
HELD_OUT: Final = "held_out"
TREATED: Final = "treated"
"""Its variants."""
BEFORE_DAYS: Final = 28
"""How far before its first exposure a unit's purchases are summed, as a covariate."""
METRICS: Final[Mapping[str, tuple[str, ...]]] = {
    "click": ("clicked",),
    "conversion": ("converted",),
    "revenue": ("revenue", "converted"),
    "open": ("reward",),
}
"""What a test is read by, for each kind of goal."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a report is about: an experiment or a campaign, as it is defined now.

    Attributes:
        kind: Which of the two.
        name: Its name.
        goal: What it is for.
        choice: How a campaign chooses; None for an experiment.
        shares: The share that each variant was meant to have; empty where that is not fixed.
        control: The variant that the others are compared with, if it says so.
        context: What a policy knew of a decision, as the definition names it.
    """

    kind: Literal["experiment", "campaign"]
    name: str
    goal: Goal
    choice: str | None
    shares: Mapping[str, float]
    control: str | None
    context: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exposures:
    """What was shown, one row each, in the order in which it was first seen.

    Attributes:
        frame: ``decision_id``, ``user_id``, ``zone``, ``campaign``, ``experience``, ``variant``, ``propensity``,
            ``exposed_at``; what came of it within the goal's window: ``clicked`` and ``converted`` (0 or 1),
            ``revenue``, ``reward``; ``revenue_before``, what the unit bought for in the 28 days before its first
            exposure; and one column for each part of the policy's context.
        warnings: What a reader must know, a sentence each.
    """

    frame: pd.DataFrame
    warnings: tuple[str, ...]


def subject_of(layout: Layout, kind: Literal["experiment", "campaign"], name: str) -> Subject:
    """Return the experiment or campaign ``name`` of a run-time folder, as it was last defined.

    Raises:
        NotFound: there is none.
    """
    if kind == "experiment" and name == GLOBAL_HOLDOUT:
        return Subject(kind, name, Goal(reward="conversion"), None, {}, HELD_OUT)
    with closing(open_database(layout.database)) as database:
        definitions = Definitions(database)
        text = definitions.last_text(kind, name)
        if text is None:
            known = definitions.names(kind)
            raise NotFound(f"{layout.database} knows no {kind} {name!r}. It knows: {', '.join(known) or 'none'}.")
    given = json.loads(text)
    goal = Goal.of(given.get("goal", {}), f"The goal of the {kind} {name}")
    if kind == "experiment":
        shares = {variant: float(one.get("share", 1.0)) for variant, one in given["variants"].items()}
        return Subject(kind, name, goal, None, shares, given.get("control") or next(iter(shares)))
    choice, holdout = given.get("choice", "rules"), float(given.get("holdout", 0.0))
    shares = {SHOWN: 1.0}
    if choice == AB:
        shares = {one: float(experience.get("share", 1.0)) for one, experience in given["experiences"].items()}
    total = sum(shares.values())
    shares = {one: share / total * (1 - holdout) for one, share in shares.items()}
    if holdout:
        shares[HOLDOUT] = holdout
    context = tuple(given.get("context", ()))
    return Subject(kind, name, goal, choice, shares, HOLDOUT if holdout else next(iter(shares)), context)


def with_global_holdout(subject: Subject, share: float) -> Subject:
    """Return ``subject``; if it is the global holdout, with the shares that its sides have where ``share`` is held out.

    Raises:
        InvalidInput: nobody or everybody is held out.
    """
    if (subject.kind, subject.name) != ("experiment", GLOBAL_HOLDOUT):
        return subject
    if not 0 < share < 1:
        raise InvalidInput(f"The global holdout is a share between 0 and 1, such as 0.02; given {share}.")
    return replace(subject, shares={HELD_OUT: share, TREATED: 1 - share})


def exposures(
    layout: Layout,
    subject: Subject,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Exposures:
    """Return what was shown by ``subject`` and what came of it.

    All exposures are joined to their outcomes first, and those of the period are taken then: what is said of one does
    not depend on the period.

    Args:
        layout: The run-time folder.
        subject: What the report is about.
        now: The moment of the report, aware UTC: what is younger than the window is not final.
        since: Exposures before it are left out.
        until: Exposures from it on are left out.

    Raises:
        InvalidInput: the period ends before it begins, or nothing was exposed in it.
        Corrupt: a file of the history is missing.
    """
    if since is not None and until is not None and since >= until:
        raise InvalidInput(f"The period from {since.isoformat()} until {until.isoformat()} is empty; swap its ends.")
    with closing(open_database(layout.database)) as database:
        decided = _decided(database, subject)
    if decided.is_empty():
        raise InvalidInput(
            f"The {subject.kind} {subject.name!r} has decided nothing yet, so there is nothing to report."
        )
    events, of_person = log_of(layout, outcomes_in, OUTCOMES)
    seen = (
        events.drop_nulls("decision_id")
        .group_by("decision_id")
        .agg(
            exposed_at_us=pl.col("timestamp_us").min(),
            clicked_at_us=pl.col("timestamp_us").filter(pl.col("event_type").is_in(CLICKS)).min(),
        )
    )
    shown = decided.join(seen, on="decision_id").sort("exposed_at_us", "decision_id")
    if shown.is_empty():
        raise InvalidInput(
            f"None of the {len(decided):,} decisions of the {subject.kind} {subject.name!r} was seen by anybody. Send "
            "an impression event that names the decision_id (or ranking_id) when it is shown, for holdouts as well."
        )
    touches = shown.select(DECISIONS.names()).with_columns(of_person)
    outcomes = events.with_columns(of_person)
    goal = subject.goal
    bought = {"window_days": goal.window_days, "after": goal.after}
    goals = {
        "clicked": Goal(window_days=goal.window_days),
        "converted": Goal.of({"reward": "conversion"} | bought, "The goal"),
        "revenue": Goal.of({"reward": "revenue"} | bought, "The goal"),
        "reward": goal,
    }
    came = {name: earned(touches, outcomes, one)["reward"] for name, one in goals.items()}
    shown = shown.with_columns(**came)
    shown = shown.join(_before(shown, touches, outcomes), on="user_id", how="left", maintain_order="left")
    inside = shown
    if since is not None:
        inside = inside.filter(pl.col("exposed_at_us") >= microseconds(since))
    if until is not None:
        inside = inside.filter(pl.col("exposed_at_us") < microseconds(until))
    if inside.is_empty():
        first, last = (EPOCH + timedelta(microseconds=int(shown["exposed_at_us"][place])) for place in (0, -1))
        raise InvalidInput(
            f"Nothing was exposed in this period; the {len(shown):,} exposures are from {first:%Y-%m-%d %H:%M} to "
            f"{last:%Y-%m-%d %H:%M} (UTC)."
        )
    return Exposures(_frame(inside, subject), tuple(_warnings(inside, decided, subject, now, since, until)))


def design_of(subject: Subject, frame: pd.DataFrame, given: Mapping[str, Any]) -> Design:
    """Return the design by which the exposures of ``subject`` are read as an A/B test; ``given`` goes before.

    Raises:
        InvalidInput: a value is not allowed.
    """
    there = set(frame["variant"])
    ours: dict[str, Any] = {
        "variant": "variant",
        "unit": "user_id",
        "time": "exposed_at",
        "control": subject.control if subject.control in there else None,
        "shares": dict(subject.shares) if there == set(subject.shares) else {},
    }
    if not (given.get("metrics") or given.get("ratios") or given.get("guardrails")):
        ours["metrics"] = METRICS[subject.goal.reward]
    return Design.of(ours | {name: value for name, value in given.items() if value}, "The command line")


def question_of(subject: Subject, given: Mapping[str, Any]) -> Question:
    """Return what to ask of the exposures of a campaign about another policy; ``given`` goes before.

    Raises:
        InvalidInput: a value is not allowed.
    """
    ours = {
        "reward": "reward",
        "propensity": "propensity",
        "action": "experience",
        "unit": "user_id",
        "context": subject.context,
    }
    return Question.of(ours | {name: value for name, value in given.items() if value}, "The command line")


_DECIDED: Final = pl.Schema(
    {
        "decision_id": pl.String,
        "user_id": pl.String,
        "zone": pl.String,
        "campaign": pl.String,
        "experience": pl.String,
        "propensity": pl.Float64,
        "context": pl.String,
        "variant": pl.String,
    }
)


def _decided(database: Any, subject: Subject) -> pl.DataFrame:
    columns = ", ".join(_DECIDED.names()[:-1])
    if subject.kind == "experiment":
        query = f"SELECT {columns}, variants ->> ? FROM decisions WHERE variants ->> ? IS NOT NULL"
        path = f'$."{subject.name}"'
        rows = database.execute(query, (path, path))
    else:
        variant = "experience" if subject.choice == AB else f"CASE WHEN experience IS NOT NULL THEN '{SHOWN}' END"
        query = f"SELECT {columns}, coalesce({variant}, '{HOLDOUT}') FROM decisions WHERE campaign = ?"
        rows = database.execute(query, (subject.name,))
    return pl.DataFrame(rows.fetchall(), _DECIDED, orient="row")


def _before(shown: pl.DataFrame, touches: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """Return for each unit what its person bought for before its first exposure."""
    first = shown.select("user_id", person=touches["user_id"], exposed_at_us="exposed_at_us")
    first = first.group_by("user_id", "person").agg(pl.col("exposed_at_us").min())
    bought = outcomes.filter(pl.col("event_type") == PURCHASE).select("timestamp_us", "value", person="user_id")
    ago_us = pl.col("exposed_at_us") - pl.col("timestamp_us")
    horizon_us = timedelta(days=BEFORE_DAYS) // timedelta(microseconds=1)
    sums = (
        first.join(bought, on="person")
        .filter((ago_us > 0) & (ago_us <= horizon_us))
        .group_by("user_id")
        .agg(revenue_before=pl.col("value").fill_null(0.0).sum())
    )
    return first.select("user_id").join(sums, on="user_id", how="left").fill_null(0.0)


def _frame(shown: pl.DataFrame, subject: Subject) -> pd.DataFrame:
    contexts = [json.loads(text) for text in shown["context"]]
    known = [pl.Series(name, [one.get(name) for one in contexts], dtype=pl.Float64) for name in subject.context]
    exposed = pl.col("exposed_at_us").cast(pl.Datetime("us", "UTC")).alias("exposed_at")
    return shown.with_columns(exposed, *known).drop("context", "exposed_at_us", "clicked_at_us").to_pandas()


def _warnings(
    shown: pl.DataFrame,
    decided: pl.DataFrame,
    subject: Subject,
    now: datetime,
    since: datetime | None,
    until: datetime | None,
) -> list[str]:
    found = []
    young = int((shown["exposed_at_us"] > microseconds(now) - subject.goal.window_us).sum())
    if young:
        found.append(
            f"{young:,} of {len(shown):,} exposures are younger than the window of {subject.goal.window_days:g} days: "
            "what they earn is not final."
        )
    if since is None and until is None and len(shown) < len(decided) / 2:
        found.append(
            f"Only {len(shown):,} of {len(decided):,} decisions were seen by anybody; make sure that impressions are "
            "sent."
        )
    return found
