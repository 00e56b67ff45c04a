"""A ranker's lessons: what the parts know of the candidates for each question, and which of these was right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from evaluation.ranking_metrics import Judged
from features.interactions import IntArray
from models.blend import column_names, columns_of, proposed
from models.scorer import Features, Scorer, Scores
from models.weighted_sum import conditional_logit, is_single, shares
from training.datasets import Questions

WRONG_SHARE: Final = 1 / 3
"""Of the candidates that were not to be found so many are learned from: three times the lists, of a third of the
length, teach more in the same time."""
LEAST_WEIGHT: Final = 0.01
"""So much each part counts in the sum at least: it may know something of a history of which the others know nothing."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """Rows to learn an order from, or to judge one by.

    Attributes:
        columns: What was known of a candidate; shape (rows, columns).
        right: Whether it was to be found; shape (rows,).
        list_lengths: How many rows, in their order, belong to one question, 0 where none of the candidates was right;
            shape (questions,).
        relevant: How many items were to be found, candidates or not; shape (questions,).
    """

    columns: Features
    right: NDArray[np.bool_]
    list_lengths: NDArray[np.int64]
    relevant: NDArray[np.int64]

    @classmethod
    def of_lists(
        cls, columns: Sequence[Features], right: Sequence[NDArray[np.bool_]], relevant: ArrayLike, n_columns: int
    ) -> Lessons:
        """Return the lessons of lists: ``columns``, ``n_columns`` of them, ``right`` and ``relevant`` of each."""
        lengths = np.array([len(one) for one in right], np.int64)
        return cls(
            np.concatenate([np.zeros((0, n_columns), np.float32), *columns]),
            np.concatenate([np.zeros(0, np.bool_), *right]),
            lengths,
            np.asarray(relevant, np.int64),
        )

    @classmethod
    def together(cls, lessons: Sequence[Lessons]) -> Lessons:
        """Return all ``lessons``, one behind another."""
        if len(lessons) == 1:
            return lessons[0]
        names = ("columns", "right", "list_lengths", "relevant")
        return cls(*(np.concatenate([getattr(one, name) for one in lessons]) for name in names))

    def telling(self) -> Lessons:
        """Return the lists that hold both what was to be found and what was not: the others teach nothing."""
        starts = np.concatenate([[0], np.cumsum(self.list_lengths)])
        found = np.concatenate([[0], np.cumsum(self.right)])[starts]
        found = np.diff(found)
        return self._those((found > 0) & (found < self.list_lengths))

    def some(self, rows: float, rng: Generator) -> Lessons:
        """Return all lists, or as many, drawn by ``rng``, as have ``rows`` together, and one at the least."""
        order = rng.permutation(len(self.list_lengths))
        kept = np.zeros(len(order), np.bool_)
        kept[order] = np.cumsum(self.list_lengths[order]) <= rows
        kept[order[:1]] = True
        return self._those(kept)

    def _those(self, kept: NDArray[np.bool_]) -> Lessons:
        rows = np.repeat(kept, self.list_lengths)
        # Nearly always all rows are kept, and to copy gigabytes would be for nothing.
        columns, right = (self.columns, self.right) if rows.all() else (self.columns[rows], self.right[rows])
        return Lessons(columns, right, self.list_lengths[kept], self.relevant[kept])

    def thinned(self, rng: Generator) -> Lessons:
        """Return all lists with what was to be found and ``WRONG_SHARE`` of the rest, drawn by ``rng``."""
        kept = _to_learn_from(self.right, rng)
        ends = np.concatenate([[0], np.cumsum(self.list_lengths)])
        lengths = np.diff(np.concatenate([[0], np.cumsum(kept)])[ends])
        return Lessons(self.columns[kept], self.right[kept], lengths, self.relevant)

    def judged(self, scores: Scores, places: int) -> Judged:
        """Return which of the first ``places`` of each list, ordered by ``scores``, were to be found."""
        question = np.repeat(np.arange(len(self.list_lengths)), self.list_lengths)
        order = np.lexsort((-scores, question))
        place = np.arange(len(order)) - np.repeat(np.cumsum(self.list_lengths) - self.list_lengths, self.list_lengths)
        hit = np.zeros((len(self.list_lengths), places), np.bool_)
        shown = place < places
        hit[question[shown], place[shown]] = self.right[order[shown]]
        return Judged(hit, self.relevant)

    def crossed(self, scores: Callable[[Lessons, Lessons], Scores], places: int) -> Judged:
        """Return what ``judged`` does of both halves of the lists, each by those ``scores`` that learned the other.

        Args:
            scores: Returns the scores of the rows of the second lessons, given the first to learn from.
            places: See ``judged``.
        """
        early = np.arange(len(self.list_lengths)) < len(self.list_lengths) // 2
        first, second = self._those(early), self._those(~early)
        found = (first.judged(scores(second, first), places), second.judged(scores(first, second), places))
        return Judged(np.concatenate([one.hit for one in found]), self.relevant)


def lessons_of(
    parts: Mapping[str, Scorer],
    counts: Mapping[str, int],
    questions: Questions,
    repeats: bool,
    rng: Generator | None = None,
) -> Lessons:
    """Return the candidates for ``questions``, as when answering, where what was to be found is among them.

    Args:
        parts: Scorers that know nothing of the answers.
        counts: How many candidates each of them proposes.
        questions: What is asked.
        repeats: Whether an item of the history may be an answer.
        rng: Draws ``WRONG_SHARE`` of the candidates that were not to be found; None where all are wanted.
    """
    columns: list[Features] = []
    right: list[NDArray[np.bool_]] = []
    for number, items, found in _candidates(parts, counts, questions, repeats):
        if rng is not None:
            drawn = _to_learn_from(found, rng)
            items, found = items[drawn], found[drawn]
        if len(items):
            columns.append(columns_of(parts, questions.histories.of(number), items, questions.asked_at(number)))
        right.append(found)
    return Lessons.of_lists(columns, right, np.diff(questions.relevant.indptr), len(column_names(parts)))


def _to_learn_from(right: NDArray[np.bool_], rng: Generator) -> NDArray[np.bool_]:
    return right | (rng.random(len(right)) < WRONG_SHARE)


def sum_of(
    parts: Mapping[str, Scorer], counts: Mapping[str, int], questions: Questions, repeats: bool
) -> dict[str, float]:
    """Return what each of ``parts`` counts in the sum that tells best what was to be found among the candidates.

    For the arguments see ``lessons_of``. Parts that score nothing are left out.
    """
    every = np.arange(questions.relevant.shape[1], dtype=np.int32)
    columns: list[Features] = []
    right: list[NDArray[np.bool_]] = []
    for number, items, found in _candidates(parts, counts, questions, repeats):
        right.append(found)
        if not len(items):
            continue
        history, now = questions.histories.of(number), questions.asked_at(number)
        told = [
            shares(part, history, items, now) if is_single(part) else shares(part, history, every, now)[items]
            for part in parts.values()
        ]
        columns.append(np.column_stack(told))
    lessons = Lessons.of_lists(columns, right, np.diff(questions.relevant.indptr), len(parts)).telling()
    if not len(lessons.right):
        return dict.fromkeys(parts, 1.0)
    weights = conditional_logit(lessons.columns, lessons.right, lessons.list_lengths)
    scores: list[bool] = (lessons.columns != 0).any(axis=0).tolist()
    return {
        name: max(weight, LEAST_WEIGHT)
        for name, weight, ever in zip(parts, weights.tolist(), scores, strict=True)
        if ever
    }


def _candidates(
    parts: Mapping[str, Scorer], counts: Mapping[str, int], questions: Questions, repeats: bool
) -> Iterator[tuple[int, IntArray, NDArray[np.bool_]]]:
    """Yield the number of each question, the candidates for it, and which of them were to be found; none where none."""
    for number in range(len(questions)):
        history = questions.histories.of(number)
        items = proposed(parts, counts, history, questions.asked_at(number))
        if not repeats:
            items = items[~np.isin(items, history.item)]
        found = np.isin(items, questions.relevant[number].indices)
        # In whatever order, what is not among the candidates is not found: nobody need know more of these.
        yield (number, items, found) if found.any() else (number, items[:0], found[:0])
