"""How long the full model and the distilled one take to rank in a large catalog.

``python -m benchmarks.latency [--quick] [--json OUT]``

A made-up shop of 100,000 items (5,000 with ``--quick``). A blend of the parts that do best on the public sets and 250
trees of 15 leaves, and the small blend that is distilled of it, answer the same requests for 20 items through the
pipeline that serves, by turns, in one thread. Counted is computation, not waiting: the time that the thread had a core.
What it takes in recall of later choices is told beside it; how much accuracy real data keep is told by ``python -m
training benchmark``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from time import thread_time
from typing import Annotated, Any, Final, cast

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Json, save
from benchmarks.serving_world import NOW, World, world
from evaluation import ranking_metrics
from evaluation.ranking_metrics import NO_ITEM
from features.command_line import run_alone
from features.snapshot import Snapshot
from models.blend import Blend, BlendSettings
from models.bundle import Bundle
from models.demand import Demand, DemandSettings
from models.history_shape import HistoryShape, HistoryShapeSettings
from models.linear_item_model import LinearItemModel, LinearItemModelSettings
from models.merged import Merged, MergedSettings
from models.popularity import Popularity, PopularitySettings
from models.scorer import Scorer
from models.successors import Successors, SuccessorsSettings
from models.walks import Walks, WalksSettings
from models.weighted_sum import WeightedSum, WeightedSumSettings
from serving.pipeline import Pipeline
from serving.query import Query
from serving.recipes import BUILT_IN, Recipes
from training.datasets import Questions
from training.distillation import distilled, refitted
from training.lessons import lessons_of
from training.protocols import bought_within

DAYS: Final = 14
PLACES: Final = 20
CANDIDATES: Final = 100
LESSONS: Final = 3_000
ASKED: Final = 500
TIMED: Final = 150
ANSWERS_WITHIN_MS: Final = {"for_you": 3.0, "quick": 0.5}
"""What the median of each recipe is allowed to take."""


def parts_of(shop: World, rng: np.random.Generator) -> dict[str, Scorer]:
    """Return the parts of the full blend, fitted on ``shop``, the sum of those that propose last."""
    snapshot = cast("Snapshot", shop)
    parts: dict[str, Scorer] = {
        Successors.name: Successors.fit(snapshot, SuccessorsSettings(), rng),
        Walks.name: Walks.fit(snapshot, WalksSettings(steps=2), rng),
        LinearItemModel.name: LinearItemModel.fit(snapshot, LinearItemModelSettings(), rng),
        Popularity.name: Popularity.fit(snapshot, PopularitySettings(), rng),
        Demand.name: Demand.fit(snapshot, DemandSettings(), rng),
        HistoryShape.name: HistoryShape.fit(snapshot, HistoryShapeSettings(), rng),
    }
    weights = {Successors.name: 1.0, Walks.name: 1.0, LinearItemModel.name: 1.0, Popularity.name: 0.2}
    settings = WeightedSumSettings(weights=weights, n_items=len(shop.items))
    both = {
        WeightedSum.name: WeightedSum.from_arrays(settings, {}, parts),
        Merged.name: Merged.of(parts, MergedSettings(weights=weights), len(shop.items)),
    }
    return {**parts, **both}


def blends(parts: dict[str, Scorer], questions: Questions, rng: np.random.Generator) -> tuple[Blend, Blend]:
    """Return the full blend and the distilled one, learned from ``questions``."""
    counts = dict.fromkeys(parts, 0) | {WeightedSum.name: CANDIDATES}
    lessons = lessons_of(parts, counts, questions.sample(LESSONS, rng), repeats=True)
    told = lessons.telling()
    config = BlendSettings(objective="lambdarank", candidates=counts, trees=250, leaves=15, learning_rate=0.05)
    full = Blend.fit(parts, told.columns, told.right, config, rng, told.list_lengths)

    def answered(blend: Blend) -> float:
        few = questions.sample(ASKED, np.random.default_rng(0))
        rankings = np.full((len(few), PLACES), NO_ITEM, np.int32)
        for number in range(len(few)):
            items = blend.candidates(few.histories.of(number), PLACES, few.asked_at(number))
            rankings[number, : len(items)] = items
        return float(ranking_metrics.ndcg(ranking_metrics.judged(rankings, few.relevant), PLACES).mean())

    def answering_ms(some: Sequence[Blend]) -> list[float]:
        few = questions.sample(TIMED, np.random.default_rng(0))
        took_ms = np.empty((len(some), len(few)))
        for number, (at, blend) in product(range(len(few)), enumerate(some)):
            start_s = thread_time()
            blend.candidates(few.histories.of(number), PLACES, few.asked_at(number))
            took_ms[at, number] = 1000 * (thread_time() - start_s)
        return np.median(took_ms, axis=1).tolist()

    shares = dict.fromkeys(parts, 1 / len(parts))
    small = distilled(parts, told, answered, answering_ms, full, shares, rng)
    return full, refitted(parts, told, small.blend.config, rng)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="A small shop.")] = False,
    out: Json = None,
) -> None:
    """Measure both recipes by turns."""
    rng = np.random.default_rng(0)
    shop = world(*((5_000, 1_000) if quick else (100_000, 20_000)), 30, rng)
    end_s = int(NOW.timestamp())
    stage = bought_within(shop.interactions, len(shop.items), end_s - DAYS * 86_400, end_s)
    past = replace(shop, interactions=stage.known)
    parts = parts_of(past, rng)
    full, small = blends(parts, stage.questions, rng)
    bundle = Bundle.of(cast("Snapshot", past), [*parts.values(), small, full], full.name, NOW, "")
    pipeline = Pipeline(bundle, Recipes.read(BUILT_IN))
    asked = stage.questions.sample(ASKED, rng)
    took_ms: dict[str, list[float]] = {name: [] for name in ANSWERS_WITHIN_MS}
    found: dict[str, list[float]] = {name: [] for name in ANSWERS_WITHIN_MS}
    for number in range(len(asked)):
        for recipe in ANSWERS_WITHIN_MS:
            query = Query(asked.histories.of(number), asked.asked_at(number), n=PLACES, recipe=recipe)
            start_s = thread_time()
            ranking = pipeline.rank(query)
            took_ms[recipe].append(1000 * (thread_time() - start_s))
            found[recipe].append(float(np.isin(asked.relevant[number].indices, ranking.items).mean()))
    table = Table(title=f"{len(shop.items):,} items, {len(asked)} requests, one thread", title_justify="left")
    for column in ("recipe", "median ms", "p99 ms", "allowed ms", f"recall@{PLACES}", "parts", "trees"):
        table.add_column(column, justify="left" if column in ("recipe", "parts") else "right")
    figures: dict[str, Any] = {"latency_items": len(shop.items)}
    for recipe, blend in zip(ANSWERS_WITHIN_MS, (full, small), strict=True):
        median, p99 = np.percentile(took_ms[recipe][1:], [50, 99]).tolist()
        figures[recipe] = {
            "median_ms": median,
            "p99_ms": p99,
            "allowed_ms": ANSWERS_WITHIN_MS[recipe],
            "recall@20": float(np.mean(found[recipe])),
            "parts": sorted(blend.parts),
            "trees": blend.config.trees,
        }
        cells = (f"{median:.3f}", f"{p99:.3f}", f"{ANSWERS_WITHIN_MS[recipe]:.1f}", f"{np.mean(found[recipe]):.4f}")
        table.add_row(recipe, *cells, ", ".join(sorted(blend.parts)), str(blend.config.trees))
    Console(width=120).print(table)
    save(figures, out)


if __name__ == "__main__":
    run_alone(main, "benchmarks.latency")
