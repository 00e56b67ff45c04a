"""What is done for the stages of a plan, in processes beside each other: each finds the parts in a folder."""

from __future__ import annotations

import math
import shutil
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from evaluation.ranking_metrics import NO_ITEM
from features.interactions import IntArray
from features.settings import Settings
from features.snapshot import Snapshot
from models.blend import Blend, BlendSettings
from models.bundle import Bundle
from models.scorer import Scorer
from serving.pipeline import Pipeline
from serving.query import Query
from serving.recipes import MODEL, Recipe, Recipes
from training.chooser import PARTS
from training.composed import fitted, summed
from training.datasets import Questions
from training.lessons import Lessons, lessons_of, sum_of

CANDIDATES_FOR_SUM: Final = 60
"""So many each part proposes where it is learned what each counts in their sum."""
QUESTIONS_AT_ONCE: Final = 250
"""So many a process answers before it is given others."""
RANKED_AT_ONCE: Final = 1_000
"""So many questions are ranked for at once."""
RECIPE: Final = "benchmark"
KEPT_OPEN: Final = 16
"""The parts of so many stages a process keeps open; they are files of which it reads what it needs."""


def fit_parts(
    snapshot: Path, settings: Mapping[str, Settings], seed: int, folder: Path, until_s: float = math.inf
) -> bool:
    """Fit the parts that ``settings`` name on the snapshot in a folder, and save them in the new ``folder``.

    Returns:
        False where ``monotonic()`` is beyond ``until_s``, and nothing was done.
    """
    if monotonic() > until_s:
        return False
    opened = Snapshot.load(snapshot)
    _save(opened, fitted(opened, settings, seed), folder)
    return True


def fit_and_weigh(
    snapshot: Path, settings: Mapping[str, Settings], seed: int, folder: Path, questions: Questions, repeats: bool
) -> dict[str, float]:
    """Do what ``fit_parts`` does, and return what each part counts in the sum of those that answer; see ``sum_of``."""
    fit_parts(snapshot, settings, seed, folder)
    answering = {name: part for name, part in parts_in(folder).items() if PARTS[name].start}
    return sum_of(answering, dict.fromkeys(answering, CANDIDATES_FOR_SUM), questions, repeats)


def sum_up(snapshot: Path, parts: Path, settings: Mapping[str, Settings], folder: Path) -> None:
    """Move what lies in the folder ``parts`` to the new ``folder``, with the sum and the merger of it all."""
    opened = Snapshot.load(snapshot)
    _save(opened, summed(Bundle.load(parts).scorers, settings, len(opened.items)), folder)
    shutil.rmtree(parts)


def ask(folder: Path, counts: Mapping[str, int], questions: Questions, repeats: bool, rng: Generator | None) -> Lessons:
    """Return what ``lessons_of`` says of the parts in ``folder``."""
    return lessons_of(parts_in(folder), counts, questions, repeats, rng)


def asked(
    folders: Mapping[str, Path],
    questions: Mapping[str, Questions],
    most_rows: Mapping[str, float],
    counts: Mapping[str, int],
    repeats: bool,
    rng: Generator,
    workers: Executor,
    at_once: int,
    until_s: float,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Lessons]:
    """Return the lessons of each stage: some questions of each, then again some of each, until time is over.

    Args:
        folders: Where the parts of each stage lie.
        questions: What is asked in each.
        most_rows: Of stages to learn from: once one has so many, the rest of its questions are left out. The others are
            to judge by: of these all candidates are wanted.
        counts: See ``lessons_of``; ``repeats`` too.
        repeats: See there.
        rng: Draws candidates to learn from.
        workers: They ask, ``at_once`` of them.
        at_once: How many there are.
        until_s: Once ``monotonic()`` is beyond it, and each stage was asked once, no more is asked.
        advance: Called once for each round of questions of a stage; see ``rounds``.
    """
    told: dict[str, list[Lessons]] = {name: [] for name in folders}
    running: deque[tuple[str, Future[Lessons]]] = deque()

    def gather() -> None:
        name, lessons = running.popleft()
        told[name].append(lessons.result())
        advance()

    for number in range(max(map(rounds, questions.values()))):
        if number and monotonic() > until_s:
            break
        for name, folder in folders.items():
            rows = sum(len(one.right) for one in told[name])
            if number >= rounds(questions[name]) or rows >= most_rows.get(name, math.inf):
                continue
            draws = rng.spawn(1)[0] if name in most_rows else None
            some = np.arange(len(questions[name]))[number * QUESTIONS_AT_ONCE :][:QUESTIONS_AT_ONCE]
            running.append((name, workers.submit(ask, folder, counts, questions[name].those(some), repeats, draws)))
            # One more for each process than it works on, so that none has to wait.
            if len(running) >= 2 * at_once:
                gather()
    while running:
        gather()
    return {name: Lessons.together(lessons) for name, lessons in told.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Ranker:
    """A blend of parts that lie in a folder, so that any process can rank by it, as the service would.

    Attributes:
        snapshot: The folder of what is known.
        parts: The folder that ``fit_parts`` or ``sum_up`` wrote.
        blend: What blends them.
        config: Its settings; they name the parts.
        model: What it learned; see ``Blend.model``.
        repeats: Whether an item of the history may be an answer.
    """

    snapshot: Path
    parts: Path
    blend: type[Blend]
    config: BlendSettings
    model: NDArray[np.uint8]
    repeats: bool

    def pipeline(self) -> Pipeline:
        """Return what answers each ``query``."""
        snapshot, parts = Snapshot.load(self.snapshot), parts_in(self.parts)
        blend = self.blend.from_arrays(self.config, {"model": self.model}, parts)
        bundle = Bundle.of(snapshot, [*blend.parts.values(), blend], blend.name, snapshot.manifest.as_of, "")
        return Pipeline(bundle, Recipes(recipes={RECIPE: Recipe(ranker=MODEL, exclude_bought=not self.repeats)}))


def query(questions: Questions, number: int, places: int) -> Query:
    """Return question ``number`` as a ``Ranker`` is asked it."""
    return Query(questions.histories.of(number), questions.asked_at(number), n=places, recipe=RECIPE)


def ranked(
    ranker: Ranker,
    questions: Questions,
    places: int,
    workers: Executor,
    advance: Callable[[], None] = lambda: None,
) -> IntArray:
    """Return how ``ranker`` answers ``questions``; shape (len(questions), places), ``NO_ITEM`` behind the last item.

    ``advance`` is called for each ``RANKED_AT_ONCE`` of them that the ``workers`` have answered.
    """
    parts = np.split(np.arange(len(questions)), range(RANKED_AT_ONCE, len(questions), RANKED_AT_ONCE))
    begun = [workers.submit(_ranked, ranker, questions.those(some), places) for some in parts]
    found = []
    for one in begun:
        found.append(one.result())
        advance()
    return np.concatenate(found)


def _ranked(ranker: Ranker, questions: Questions, places: int) -> IntArray:
    pipeline, rankings = ranker.pipeline(), np.full((len(questions), places), NO_ITEM, np.int32)
    for number in range(len(questions)):
        items = pipeline.rank(query(questions, number, places)).items
        rankings[number, : len(items)] = items
    return rankings


def rounds(questions: Questions) -> int:
    """Return in how many rounds ``questions`` are asked; one where there are none, which says so."""
    return max(1, -(-len(questions) // QUESTIONS_AT_ONCE))


@lru_cache(KEPT_OPEN)
def parts_in(folder: Path) -> dict[str, Scorer]:
    """Return the parts that were saved in ``folder``, by name."""
    return Bundle.load(folder).scorers


def _save(snapshot: Snapshot, parts: Mapping[str, Scorer], folder: Path) -> None:
    Bundle.of(snapshot, parts.values(), next(iter(parts)), snapshot.manifest.as_of, "").save(folder)
