"""Learn from the past, and see how well that would have served the time since."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

from evaluation import ranking_metrics
from evaluation.intervals import Interval, bootstrap_interval
from evaluation.ranking_metrics import NO_ITEM
from evaluation.splits import HeldOut, Target, held_out, start_of_last_days
from features.errors import InvalidInput
from features.events import PURCHASE
from features.interactions import IntArray
from features.layout import Layout
from features.snapshot import Snapshot
from features.snapshot_job import before
from models.blend import Blend
from models.bundle import Bundle
from models.scorer import Scores
from serving.pipeline import Pipeline
from serving.query import Query
from serving.recipes import BUILT_IN, Recipes

PLACES: Final = 20
"""How long the rankings are that are judged."""
RECIPES: Final = {"all": "for_you", "new": "discover"}
"""What is to be found, and the recipe that is to find it: any purchase, or those of items never bought before."""
USERS_AT_ONCE: Final = 100
"""How many rankings a worker makes before it reports."""
CURVE_USERS: Final = 300
"""How many users a learning curve is drawn for, at most."""
CURVE_STEP: Final = 10
"""How many trees lie between two points of a learning curve."""
GROUPS: Final = 5
"""Users are told apart by the length of their history in so many groups of one size."""
METRICS: Final = ("recall", "ndcg", "average_precision", "hit_rate", "reciprocal_rank", "novelty")
"""What is measured for each user; the columns of ``rank_held_out``."""


@dataclass(frozen=True, slots=True)
class Backtest:
    """A moment in the past to learn up to, and the purchases since to test on.

    Attributes:
        snapshot: Everything that is known today.
        past: What was known at the start of the held-out period; same vocabularies.
        split: The purchases since.
        days: Length of the held-out period.
    """

    snapshot: Snapshot
    past: Snapshot
    split: HeldOut
    days: int

    @classmethod
    def of(cls, snapshot: Snapshot, days: int, layout: Layout) -> Backtest:
        """Return the test on the last ``days`` days of ``snapshot``; the past is made once and kept.

        Raises:
            InvalidInput: there are no two users who bought before those days and in them.
        """
        manifest = snapshot.manifest
        if "purchase" not in manifest.event_types or manifest.last_event_at is None:
            raise InvalidInput("The snapshot has no purchases, so there is nothing to test on. Import some, and build.")
        start = start_of_last_days(manifest.last_event_at, days)
        split = held_out(snapshot.interactions, len(snapshot.items), start, PURCHASE)
        if len(split.all.users) < 2:
            raise InvalidInput(
                f"Only one user bought something both before {start:%Y-%m-%d} and after it. Intervals over users need "
                "at least two. Hold out another number of days (--holdout-days), or import more purchases."
            )
        folder = layout.backtests / f"{manifest.snapshot_hash}-{start:%Y%m%d}"
        kept = next(folder.glob("*/manifest.json"), None)
        if kept is not None:
            return cls(snapshot, Snapshot.load(kept.parent), split, days)
        return cls(snapshot, before(snapshot, start, folder), split, days)


def rank_held_out(
    backtest: Backtest, bundle: Path, workers: Executor, advance: Callable[[int], None] = lambda users: None
) -> pl.DataFrame:
    """Return how well a bundle fitted on the past ranks for each user at the start of the held-out period.

    Every ranking comes from the pipeline that serves, out of the bundle as it was saved. ``advance`` is told of how
    many users more the ranking is there.

    Returns:
        One row for each target (``all``, ``new``) and user of it. Columns: ``target``, ``user_id``, ``purchases`` (rows
        of the history that are purchases), ``relevant`` (how many items were to be found), one for each of ``METRICS``
        at ``PLACES`` places, ``ranking`` (item indices, best first), ``score`` and ``hit`` of each of its places.
    """
    past, split = backtest.past, backtest.split
    bought_by, n_users = buyers(past), len(past.users)
    is_purchase = past.interactions.all.event_type == PURCHASE
    purchases = np.bincount(past.interactions.users()[is_purchase], minlength=n_users)
    targets = {name: target for name in RECIPES if len((target := getattr(split, name)).users)}
    asked = {
        name: [
            workers.submit(_rankings, bundle, users, split.start, RECIPES[name])
            for users in np.array_split(target.users, range(USERS_AT_ONCE, len(target.users), USERS_AT_ONCE))
        ]
        for name, target in targets.items()
    }
    frames = []
    for name, target in targets.items():
        parts = []
        for part in asked[name]:
            parts.append(part.result())
            advance(len(parts[-1][0]))
        rankings, scores = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        judged = ranking_metrics.judged(rankings, target.relevant)
        frames.append(
            pl.DataFrame(
                {
                    "target": name,
                    "user_id": [past.users.id(user) for user in target.users.tolist()],
                    "purchases": purchases[target.users],
                    "relevant": judged.relevant,
                    "recall": ranking_metrics.recall(judged, PLACES),
                    "ndcg": ranking_metrics.ndcg(judged, PLACES),
                    "average_precision": ranking_metrics.average_precision(judged, PLACES),
                    "hit_rate": ranking_metrics.hit_rate(judged, PLACES),
                    "reciprocal_rank": ranking_metrics.reciprocal_rank(judged, PLACES),
                    "novelty": ranking_metrics.novelty(rankings, bought_by, n_users, PLACES),
                    "ranking": rankings,
                    "score": scores,
                    "hit": judged.hit,
                }
            )
        )
    return pl.concat(frames)


def learning_curve(split: HeldOut, bundle: Path, rng: Generator) -> pl.DataFrame | None:
    """Return how NDCG grows with the trees of a blend fitted on the past, among users of the held-out period.

    The trees have not learned from that period, so the curve turns down where more of them only learn by heart. It is
    of at most ``CURVE_USERS`` users, and of the candidates before any filter: seconds instead of a test for each number
    of trees.

    Returns:
        One row for each target and number of trees: ``target``, ``trees``, ``ndcg`` (mean at ``PLACES``); None where
        the bundle's model is no blend.
    """
    past = _pipeline(bundle).bundle
    blend = past.scorers[past.manifest.model]
    if not isinstance(blend, Blend):
        return None
    rows: list[dict[str, Any]] = []
    for name, recipe in RECIPES.items():
        target: Target = getattr(split, name)
        drawn = np.sort(rng.permutation(len(target.users))[:CURVE_USERS])
        if not len(drawn):
            continue
        candidates, columns = [], []
        for user in target.users[drawn].tolist():
            history = past.interactions.of(user)
            items = blend.proposed(history, PLACES, split.start)
            if recipe == "discover":
                items = np.setdiff1d(items, history.item[history.event_type == PURCHASE])
            candidates.append(items)
            columns.append(blend.features(history, items, split.start))
        ends = np.cumsum([len(items) for items in candidates])
        for trees, scores in blend.staged_scores_of(np.concatenate(columns), CURVE_STEP):
            rankings = np.full((len(drawn), PLACES), NO_ITEM, np.int32)
            for row, (items, of_them) in enumerate(zip(candidates, np.split(scores, ends[:-1]), strict=True)):
                best = items[np.argsort(-of_them, kind="stable")[:PLACES]]
                rankings[row, : len(best)] = best
            judged = ranking_metrics.judged(rankings, target.relevant[drawn])
            rows.append({"target": name, "trees": trees, "ndcg": float(ranking_metrics.ndcg(judged, PLACES).mean())})
    return pl.DataFrame(rows)


def of_targets(found: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return the rows of ``found`` by its column ``target``, in their order."""
    return {str(target): rows for (target,), rows in found.group_by("target", maintain_order=True)}


def by_history(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Return ``rows``, those of fewest purchases before first, in ``GROUPS`` groups of one size; none is empty."""
    ordered = rows.sort("purchases")
    return [ordered[part] for part in np.array_split(np.arange(len(rows)), GROUPS) if len(part)]


def intervals(ranked: pl.DataFrame, seed: int) -> dict[str, dict[str, Interval]]:
    """Return the mean of each of ``METRICS`` over the users of each target that has two; ``seed`` draws resamples."""
    return {
        target: {name: bootstrap_interval(rows[name].to_numpy(), np.random.default_rng(seed)) for name in METRICS}
        for target, rows in of_targets(ranked).items()
        if len(rows) > 1
    }


def variety(ranked: pl.DataFrame, in_catalog: NDArray[np.bool_]) -> dict[str, dict[str, float]]:
    """Return for each target how much of the catalog all users together are shown, and how unequally.

    ``in_catalog`` says of each item whether it may be shown at all; shape (items,).
    """
    found = {}
    for target, rows in of_targets(ranked).items():
        rankings = rows["ranking"].to_numpy()
        shown = ranking_metrics.shown(rankings, len(in_catalog), PLACES)[in_catalog]
        found[target] = {
            "coverage": ranking_metrics.coverage(shown),
            "gini": ranking_metrics.gini(shown),
            "distinct_lists": ranking_metrics.distinct_lists(rankings, PLACES),
        }
    return found


def _rankings(bundle: Path, users: IntArray, now: datetime, recipe: str) -> tuple[IntArray, Scores]:
    """Return the first items for each of ``users`` at ``now``, best first, and their scores; shape (users, PLACES)."""
    pipeline = _pipeline(bundle)
    rankings = np.full((len(users), PLACES), NO_ITEM, np.int32)
    scores = np.zeros((len(users), PLACES), np.float32)
    for row, user in enumerate(users.tolist()):
        query = Query(pipeline.bundle.interactions.of(user), now, n=PLACES, recipe=recipe)
        ranking = pipeline.rank(query)
        rankings[row, : len(ranking.items)] = ranking.items
        scores[row, : len(ranking.items)] = ranking.scores
    return rankings, scores


@lru_cache(1)
def _pipeline(bundle: Path) -> Pipeline:
    return Pipeline(Bundle.load(bundle), Recipes.read(BUILT_IN))


def buyers(snapshot: Snapshot) -> NDArray[np.int64]:
    """Return how many users bought each item; shape (items,)."""
    rows, n_items = snapshot.interactions.all, len(snapshot.items)
    pairs = snapshot.interactions.users().astype(np.int64) * n_items + rows.item
    bought = np.unique(pairs[(rows.event_type == PURCHASE) & (rows.quantity > 0)])
    return np.bincount(bought % n_items, minlength=n_items)
