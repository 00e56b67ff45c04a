"""The choice of a small blend that loses little against a large one and answers in a fraction of its time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from time import monotonic
from typing import Final

import numpy as np
from numpy.random import Generator

from models.als import ALS
from models.blend import Blend
from models.demand import Demand
from models.distilled import Distilled, DistilledSettings
from models.embeddings import Embeddings
from models.history_shape import HistoryShape
from models.popularity import Popularity
from models.scorer import Features, Scorer
from models.spectral import Spectral
from models.weighted_sum import WeightedSum
from training.lessons import Lessons

KEEPS: Final = 0.97
"""Share of the large blend's value that a small one must keep on the validation, to keep .95 of it elsewhere."""
MOST_MS: Final = 0.45
"""So long an answer may take, to take half a millisecond when the machine has more to do."""
AT_HAND: Final = (Popularity.name, Demand.name, HistoryShape.name)
"""Parts whose columns cost next to nothing: every small blend has them. To propose they would look at all items."""
LOOKING_AT_ALL: Final = (ALS.name, Embeddings.name, Spectral.name)
"""Parts that would look at all items to propose some: beside another they only tell of what that one proposes."""
MOST_TABLES: Final = 4
MOST_COMPARED: Final = 5
"""Of so many parts, at most, the best is added; they are those that tell most in the large blend."""
MORE_CANDIDATES: Final = 30
"""So many each of the others proposes."""
ROWS: Final = 600_000
"""Rows of lessons that a small blend learns from, at most."""
ROWS_TO_COMPARE: Final = 200_000
"""Rows that it learns from where only its parts are compared with others."""
ROWS_TO_TIME: Final = 20_000
"""Rows that it learns from where only how long an answer takes is looked at: its trees are as large then."""
SHARE_TO_COMPARE: Final = 0.7
"""Share of the time in which parts are compared; in the rest, sizes are."""
SIZES: Final = tuple(
    (
        candidates,
        DistilledSettings(
            objective="lambdarank",
            candidates={},
            trees=trees,
            leaves=16,
            learning_rate=rate,
            least_rows=100,
            recent_interactions=recent,
            threads=2,
        ),
    )
    for candidates, trees, rate, recent in (
        (60, 100, 0.1, 200),
        (60, 150, 0.07, 200),
        (120, 150, 0.07, 200),
        (180, 150, 0.07, 200),
        (60, 150, 0.07, 50),
    )
)
"""How many candidates the first part proposes, and how large the trees are and how much of a history is looked at; the
``candidates`` are filled in. Parts are compared by the first of these."""


@dataclass(frozen=True, slots=True, eq=False)
class Distillation:
    """A small blend, and how it compares.

    Attributes:
        blend: The small blend.
        value: What it reached; 0 while it was not looked at, because it answers too late.
        kept: That, as a share of what the large one reached.
        answering_ms: How long an answer took.
    """

    blend: Distilled
    value: float
    kept: float
    answering_ms: float


def distilled(
    parts: Mapping[str, Scorer],
    lessons: Lessons,
    value_of: Callable[[Blend], float],
    answering_ms: Callable[[Blend], float],
    full: Blend,
    shares: Mapping[str, float],
    rng: Generator,
    until_s: float = math.inf,
) -> Distillation:
    """Return the smallest blend that keeps ``KEEPS`` of the value of ``full``, or else the best within ``MOST_MS``.

    To the parts ``AT_HAND`` others are added one by one, each time the one of ``MOST_COMPARED`` with which a small
    blend answers best in time, as long as that is better than without; then all ``SIZES`` are tried, with and without
    the last of these. What answers too late learns from no more than ``ROWS_TO_TIME`` and is not judged. Where none
    answers in time, it is the quickest.

    Args:
        parts: Of the large blend, fitted on what is known when the questions are asked.
        lessons: What the large blend learned from.
        value_of: Returns how well a blend answers the questions; higher is better.
        answering_ms: Returns how many milliseconds it takes to answer one.
        full: The large blend.
        shares: How much each part tells in the large blend.
        rng: Draws the seeds of trees.
        until_s: Once ``monotonic()`` is beyond it, and some parts were tried alone, nothing else is.
    """
    at_hand = [name for name in AT_HAND if name in parts]
    # The sum of all parts would need them all, where their merger is a table of its own.
    left = [name for name in parts if name not in (*at_hand, WeightedSum.name)]
    left.sort(key=lambda name: -shares[name])
    if not left:
        at_hand, left = [], at_hand
    chosen: list[str] = []
    best: Distillation | None = None
    whole = value_of(full)

    def judged(blend: Distilled, took_ms: float) -> Distillation:
        value = value_of(blend)
        return Distillation(blend, value, value / whole if whole else 1.0, took_ms)

    def tried(some: Sequence[str], size: tuple[int, DistilledSettings], rows: int) -> Distillation:
        candidates, config = size
        more = {name: 0 if name in LOOKING_AT_ALL else MORE_CANDIDATES for name in some}
        counts = dict.fromkeys(at_hand, 0) | more | {some[0]: candidates}
        settings = config.model_copy(update={"candidates": counts})
        for learned_from in (ROWS_TO_TIME, rows):
            blend = refitted(parts, lessons, settings, rng, learned_from)
            took_ms = answering_ms(blend)
            if took_ms > MOST_MS:
                return Distillation(blend, 0.0, 0.0, took_ms)
        return judged(blend, took_ms)

    compared_s = monotonic() + SHARE_TO_COMPARE * (until_s - monotonic())
    while left and len(chosen) < MOST_TABLES and (best is None or (best.kept < KEEPS and monotonic() < compared_s)):
        found = {name: tried([*chosen, name], SIZES[0], ROWS_TO_COMPARE) for name in left[:MOST_COMPARED]}
        name = max(found, key=lambda name: _worth(found[name]))
        if best is not None and _worth(found[name]) <= _worth(best):
            break
        best = found[name]
        chosen.append(name)
        left.remove(name)
    assert best is not None
    # What the part that was added last costs may be better spent on more candidates and trees.
    for some, size in product(filter(None, (chosen, chosen[:-1])), SIZES):
        if monotonic() > until_s or (best.kept >= KEEPS and best.answering_ms <= MOST_MS):
            break
        best = max(best, tried(some, size, ROWS), key=_worth)
    if best.answering_ms <= MOST_MS:
        return best
    return judged(refitted(parts, lessons, best.blend.config, rng), best.answering_ms)


def _worth(one: Distillation) -> tuple[bool, float]:
    in_time = one.answering_ms <= MOST_MS
    return in_time, one.value if in_time else -one.answering_ms


def columns_of_parts(parts: Mapping[str, Scorer], some: Sequence[str], columns: Features) -> Features:
    """Return those of the ``columns`` of a blend of ``parts`` that are of the parts ``some``."""
    names = sorted(parts)
    of_part = np.repeat(np.arange(len(names)), [len(parts[name].feature_names) for name in names])
    return np.ascontiguousarray(columns[:, np.isin(of_part, [names.index(name) for name in some])])


def refitted(
    parts: Mapping[str, Scorer], lessons: Lessons, config: DistilledSettings, rng: Generator, rows: int = ROWS
) -> Distilled:
    """Return the small blend of those ``parts`` that ``config`` names, learned from so many rows of ``lessons``."""
    some = {name: parts[name] for name in config.candidates}
    few = _first(lessons, rows)
    columns = columns_of_parts(parts, list(some), few.columns)
    return Distilled.fit(some, columns, few.right, config, rng, few.list_lengths)


def _first(lessons: Lessons, rows: int) -> Lessons:
    """Return the first lists of ``lessons``, of so many rows at most."""
    n = max(1, int(np.searchsorted(np.cumsum(lessons.list_lengths), rows, side="right")))
    end = int(lessons.list_lengths[:n].sum())
    return Lessons(lessons.columns[:end], lessons.right[:end], lessons.list_lengths[:n], lessons.relevant[:n])
