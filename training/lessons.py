"""A ranker's lessons: what the parts know of the candidates for each question, and which of these was right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.blend import columns_of, proposed
from models.scorer import Features, Scorer
from training.datasets import Questions


@dataclass(frozen=True, slots=True)
class Lessons:
    """Rows to learn an order from.

    Attributes:
        columns: What was known of a candidate; shape (rows, columns).
        right: Whether it was to be found; shape (rows,).
        list_lengths: How many rows, in their order, belong to one question; shape (questions,).
    """

    columns: Features
    right: NDArray[np.bool_]
    list_lengths: NDArray[np.int64]

    @classmethod
    def together(cls, lessons: list[Lessons]) -> Lessons:
        """Return all ``lessons``, one behind another."""
        return cls(
            np.concatenate([one.columns for one in lessons]),
            np.concatenate([one.right for one in lessons]),
            np.concatenate([one.list_lengths for one in lessons]),
        )


def lessons_of(
    parts: Mapping[str, Scorer],
    counts: Mapping[str, int],
    questions: Questions,
    repeats: bool,
    advance: Callable[[], None] = lambda: None,
) -> Lessons:
    """Return the candidates for ``questions``, as when answering; questions without a right one teach nothing.

    Args:
        parts: Scorers that know nothing of the answers.
        counts: How many candidates each of them proposes.
        questions: What is asked.
        repeats: Whether an item of the history may be an answer.
        advance: Called after each question.
    """
    columns, right = [], []
    for number in range(len(questions)):
        history = questions.histories.of(number)
        now = questions.asked_at(number)
        items = proposed(parts, counts, history, now)
        if not repeats:
            items = items[~np.isin(items, history.item)]
        found = np.isin(items, questions.relevant[number].indices)
        if found.any() and not found.all():
            columns.append(columns_of(parts, history, items, now))
            right.append(found)
        advance()
    if not columns:
        return Lessons(np.zeros((0, 0), np.float32), np.zeros(0, np.bool_), np.zeros(0, np.int64))
    return Lessons(np.concatenate(columns), np.concatenate(right), np.array([len(one) for one in right]))
