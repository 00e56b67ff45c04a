"""The choice of a small blend that loses little against a large one and answers in a fraction of its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator

from models.blend import Blend
from models.distilled import Distilled, DistilledSettings
from models.scorer import Features, Scorer
from models.weighted_sum import WeightedSum
from training.lessons import Lessons

KEEPS: Final = 0.97
"""Share of the large blend's value that a small one must keep on the validation, to keep .95 of it elsewhere."""
MOST_PARTS: Final = 3
CANDIDATES: Final = 60
"""So many the part proposes that does best alone."""
MORE_CANDIDATES: Final = 20
"""So many each of the others proposes."""
ROWS: Final = 300_000
"""Rows of lessons that a small blend learns from, at most."""
SIZES: Final = tuple(
    DistilledSettings(
        objective="lambdarank",
        candidates={},
        trees=trees,
        leaves=leaves,
        learning_rate=rate,
        least_rows=100,
        recent_interactions=recent,
    )
    for trees, leaves, rate, recent in ((30, 8, 0.15, 20), (60, 12, 0.1, 20), (60, 12, 0.1, 50))
)
"""How large the trees are, and how much of a history is looked at; the ``candidates`` are filled in."""


@dataclass(frozen=True, slots=True, eq=False)
class Distillation:
    """A small blend, and how it compares.

    Attributes:
        blend: The small blend.
        value: What it reached.
        kept: That, as a share of what the large one reached.
    """

    blend: Distilled
    value: float
    kept: float


def distilled(
    parts: Mapping[str, Scorer], lessons: Lessons, answered: Callable[[Blend], float], full: float, rng: Generator
) -> Distillation:
    """Return the smallest blend that keeps ``KEEPS`` of the value ``full``, or else the best one.

    Parts are added one by one, each time the one with which a small blend answers best; after each, larger trees and
    longer histories are tried.

    Args:
        parts: Of the large blend, fitted on what is known when the questions are asked.
        lessons: What the large blend learned from.
        answered: Returns how well a blend answers the questions; higher is better.
        full: What the large blend reaches.
        rng: Draws the seeds of trees.
    """
    few = _first(lessons, ROWS)
    # The sum of all parts would need them all, where their merger is a table of its own.
    left = [name for name in parts if name != WeightedSum.name]
    chosen: list[str] = []
    best: Distillation | None = None
    while left and len(chosen) < MOST_PARTS:
        found = []
        for name in left:
            blend = _grown(parts, [*chosen, name], few, SIZES[0], rng)
            found.append((answered(blend), name, blend))
        value, name, blend = max(found, key=lambda one: one[0])
        chosen.append(name)
        left.remove(name)
        for size in SIZES:
            if size is not SIZES[0]:
                blend = _grown(parts, chosen, few, size, rng)
                value = answered(blend)
            if best is None or value > best.value:
                best = Distillation(blend, value, value / full if full else 1.0)
            if best.kept >= KEEPS:
                return best
    assert best is not None
    return best


def columns_of_parts(parts: Mapping[str, Scorer], some: Sequence[str], columns: Features) -> Features:
    """Return those of the ``columns`` of a blend of ``parts`` that are of the parts ``some``."""
    names = sorted(parts)
    of_part = np.repeat(np.arange(len(names)), [len(parts[name].feature_names) for name in names])
    return np.ascontiguousarray(columns[:, np.isin(of_part, [names.index(name) for name in some])])


def refitted(parts: Mapping[str, Scorer], lessons: Lessons, config: DistilledSettings, rng: Generator) -> Distilled:
    """Return the small blend of those ``parts`` that ``config`` names, learned from the lessons of a large one."""
    some = {name: parts[name] for name in config.candidates}
    few = _first(lessons, ROWS)
    columns = columns_of_parts(parts, list(some), few.columns)
    return Distilled.fit(some, columns, few.right, config, rng, few.list_lengths)


def _grown(
    parts: Mapping[str, Scorer], some: Sequence[str], lessons: Lessons, size: DistilledSettings, rng: Generator
) -> Distilled:
    counts = dict.fromkeys(some, MORE_CANDIDATES) | {some[0]: CANDIDATES}
    return refitted(parts, lessons, size.model_copy(update={"candidates": counts}), rng)


def _first(lessons: Lessons, rows: int) -> Lessons:
    """Return the first lists of ``lessons``, of so many rows at most."""
    n = max(1, int(np.searchsorted(np.cumsum(lessons.list_lengths), rows, side="right")))
    end = int(lessons.list_lengths[:n].sum())
    return Lessons(lessons.columns[:end], lessons.right[:end], lessons.list_lengths[:n], lessons.relevant[:n])
