"""The choice of a small blend that loses little against a large one and answers in a fraction of its time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations
from statistics import median
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

KEEPS: Final = 0.99
"""Share of the large blend's value beyond which no better small one is looked for."""
MOST_MS: Final = 0.45
"""So long an answer may take, to take half a millisecond where histories are longer or the machine has more to do."""
AT_HAND: Final = (Popularity.name, Demand.name, HistoryShape.name)
"""Parts whose columns cost next to nothing: every small blend has them. To propose they would look at all items."""
LOOKING_AT_ALL: Final = (ALS.name, Embeddings.name, Spectral.name)
"""Parts that would look at all items to propose some: beside another they only tell of what that one proposes."""
MOST_COMPARED: Final = 4
"""Of so many parts, at most, the best proposes; they are those that tell most in the large blend."""
MOST_ADDED: Final = 10
"""Of so many others, at most, it is known what each adds to the time."""
MORE_CANDIDATES: Final = 30
"""So many each of the others proposes."""
ROWS: Final = 600_000
"""Rows of lessons that a small blend learns from, at most."""
ROWS_TO_TRY: Final = 300_000
"""Rows that it learns from where parts and sizes are compared: in half the time nearly as well."""
ROWS_TO_COMPARE: Final = 100_000
"""Rows that it learns from where only what proposes is compared with others."""
ROWS_TO_TIME: Final = 20_000
"""Rows that it learns from where only how long an answer takes is looked at: its trees are as large then."""
AT_ONCE: Final = 2
"""So many small blends grow beside each other, each in one thread: on a few rows a second thread only costs time."""
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
        ),
    )
    for candidates, trees, rate, recent in (
        (120, 100, 0.1, 200),
        (180, 100, 0.1, 200),
        (120, 150, 0.07, 200),
        (180, 150, 0.07, 200),
        (60, 150, 0.07, 200),
        (60, 100, 0.1, 50),
    )
)
"""How many candidates the first part proposes, and how large the trees are and how much of a history is looked at; the
``candidates`` are filled in. Parts are compared by the first of these."""
SMALLEST: Final = SIZES[-1]
"""Parts are compared by this one, too, where too little is kept: long histories leave no time for a second part."""


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
    answering_ms: Callable[[Sequence[Blend]], Sequence[float]],
    full: Blend,
    shares: Mapping[str, float],
    rng: Generator,
    until_s: float = math.inf,
) -> Distillation:
    """Return the best small blend found that answers within ``MOST_MS``.

    The one of ``MOST_COMPARED`` parts that is worth most alone, beside those ``AT_HAND``, proposes. What each of the
    others adds to the time is measured, and the fullest sets of them within ``MOST_MS`` are tried, those that tell
    most in the large blend first; then the best set is tried in the other ``SIZES``, and at last all of this is done in
    the ``SMALLEST``. Once ``KEEPS`` of the value of ``full`` is kept, nothing else is tried. What answers too late
    learns from no more than ``ROWS_TO_TIME`` and is not judged. Where none answers in time, it is the quickest.

    The trees are those of the comparison; ``refitted`` learns from as many rows as there is time for afterwards.

    Args:
        parts: Of the large blend, fitted on what is known when the questions are asked.
        lessons: What the large blend learned from.
        value_of: Returns how well a blend answers the questions; higher is better.
        answering_ms: Returns how many milliseconds each of some blends takes to answer one.
        full: The large blend.
        shares: How much each part tells in the large blend.
        rng: Draws the seeds of trees.
        until_s: Once ``monotonic()`` is beyond it, and some parts were tried alone, nothing else is compared.
    """
    at_hand = [name for name in AT_HAND if name in parts]
    # The sum of all parts would need them all, where their merger is a table of its own.
    left = [name for name in parts if name not in (*at_hand, WeightedSum.name)]
    left.sort(key=lambda name: -shares[name])
    if not left:
        at_hand, left = [], at_hand
    search = Search(parts, lessons, value_of, answering_ms, rng, at_hand, value_of(full))
    start_s = monotonic()
    best = search.best_parts(left, shares, SIZES[0], start_s + SHARE_TO_COMPARE * (until_s - start_s))
    some = [name for name in best.blend.config.candidates if name not in at_hand]
    sizes = SIZES[1:] if len(some) > 1 else SIZES
    if best.answering_ms > MOST_MS:
        sizes = sizes[::-1]  # the smallest first
    best = search.best_of(best, [search.settings_of(some, size) for size in sizes], until_s)
    if best.kept < KEEPS and monotonic() <= until_s:
        best = max([best, search.best_parts(left, shares, SMALLEST, until_s)], key=_worth)
    if best.answering_ms <= MOST_MS:
        return best
    return search.judged(refitted(parts, lessons, best.blend.config, rng, ROWS_TO_TRY), best.answering_ms)


@dataclass(slots=True, eq=False)
class Search:
    """What a small blend is looked for with.

    Attributes:
        parts, lessons, value_of, answering_ms, rng: See ``distilled``.
        at_hand: Names of the parts that every small blend has.
        whole: What the large blend reached.
        measured_ms: How long the first blend that was timed took each time. All others are timed beside it: it always
            takes the same, so that it takes longer than usual tells how much else the machine has to do.
    """

    parts: Mapping[str, Scorer]
    lessons: Lessons
    value_of: Callable[[Blend], float]
    answering_ms: Callable[[Sequence[Blend]], Sequence[float]]
    rng: Generator
    at_hand: Sequence[str]
    whole: float
    measured_ms: list[float] = field(default_factory=list)
    _measure: Distilled | None = None

    def best_parts(
        self, left: Sequence[str], shares: Mapping[str, float], size: tuple[int, DistilledSettings], until_s: float
    ) -> Distillation:
        """Return the best blend of this ``size`` of some of the parts ``left``, those that tell most first."""
        proposing = [name for name in left if name not in LOOKING_AT_ALL] or left
        alone = [self.settings_of([name], size) for name in proposing[:MOST_COMPARED]]
        best = max(self.tried(alone, ROWS_TO_COMPARE), key=_worth)
        if monotonic() > until_s or best.kept >= KEEPS or best.answering_ms > MOST_MS:
            return best
        first = next(name for name in proposing if best.blend.config.candidates.get(name))
        others = [name for name in left if name != first][:MOST_ADDED]
        beside = [self.settings_of([first, *more], size) for more in ([], *([name] for name in others))]
        alone_ms, *beside_ms = self.usual_ms_of(self.grown(beside, ROWS_TO_TIME))
        adding_ms = {name: max(0.0, ms - alone_ms) for name, ms in zip(others, beside_ms, strict=True)}
        sets = fullest_sets(adding_ms, MOST_MS - alone_ms, shares)
        return self.best_of(best, [self.settings_of([first, *some], size) for some in sets], until_s)

    def settings_of(self, some: Sequence[str], size: tuple[int, DistilledSettings] = SIZES[0]) -> DistilledSettings:
        """Return the settings of a small blend of the parts ``some``, the first of which proposes most."""
        candidates, config = size
        more = {name: 0 if name in LOOKING_AT_ALL else MORE_CANDIDATES for name in some}
        counts = dict.fromkeys(self.at_hand, 0) | more | {some[0]: candidates}
        return config.model_copy(update={"candidates": counts})

    def grown(self, every: Sequence[DistilledSettings], rows: int) -> list[Distilled]:
        """Return a blend for each of the settings, learned from so many rows."""
        drawn = self.rng.spawn(len(every))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(
                pool.map(lambda config, rng: refitted(self.parts, self.lessons, config, rng, rows), every, drawn)
            )

    def usual_ms_of(self, blends: Sequence[Distilled]) -> list[float]:
        """Return how long each takes to answer while the machine has as much to do as usual."""
        self._measure = self._measure or blends[0]
        now_ms, *took_ms = self.answering_ms([self._measure, *blends])
        self.measured_ms.append(now_ms)
        return [ms * median(self.measured_ms) / now_ms for ms in took_ms]

    def judged(self, blend: Distilled, took_ms: float) -> Distillation:
        """Return how well ``blend`` answers, in what time is known."""
        value = self.value_of(blend)
        return Distillation(blend, value, value / self.whole if self.whole else 1.0, took_ms)

    def tried(self, every: Sequence[DistilledSettings], rows: int) -> list[Distillation]:
        """Return what comes of each; what answers too late learns from few rows and is not judged."""
        small = self.grown(every, ROWS_TO_TIME)
        took_ms = self.usual_ms_of(small)
        in_time = [at for at, ms in enumerate(took_ms) if ms <= MOST_MS]
        found = [Distillation(blend, 0.0, 0.0, ms) for blend, ms in zip(small, took_ms, strict=True)]
        for at, blend in zip(in_time, self.grown([every[at] for at in in_time], rows), strict=True):
            found[at] = self.judged(blend, took_ms[at])
        self.usual_ms_of([])  # a while later: the more often the measure was timed, the surer is what is usual
        return found

    def best_of(self, best: Distillation, every: Sequence[DistilledSettings], until_s: float) -> Distillation:
        """Return the best of ``best`` and those that are tried until ``monotonic()`` is beyond ``until_s``."""
        for start in range(0, len(every), AT_ONCE):
            if monotonic() > until_s or (best.kept >= KEEPS and best.answering_ms <= MOST_MS):
                break
            best = max([best, *self.tried(every[start : start + AT_ONCE], ROWS_TO_TRY)], key=_worth)
        return best


def fullest_sets(costs: Mapping[str, float], most: float, values: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Return the sets that cost no more than ``most`` and leave no room for another, the most valuable first."""
    found = [
        some
        for n in range(1, len(costs) + 1)
        for some in combinations(costs, n)
        if (left := most - sum(costs[one] for one in some)) >= 0
        if not any(costs[one] <= left for one in costs if one not in some)
    ]
    return sorted(found, key=lambda some: -sum(values[one] for one in some))


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
