import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from evaluation.ranking_metrics import NO_ITEM
from features.interactions import IntArray
from serving.query import Query
from tests.training.test_lessons import fixed, questions
from training import lessons, stages
from training.datasets import Questions
from training.lessons import Lessons
from training.stages import Ranker, asked, ranked, rounds

LATE = math.inf
PARTS = {"long": fixed(6, 5, 4, 3, 2, 1), "short": fixed(1, 2, 3, 4, 5, 6)}
"""What answers in each stage: the one ranks the first items first, the other the last ones."""


def answers(
    questions: dict[str, Questions], monkeypatch: pytest.MonkeyPatch, until_s: float = LATE, rows: float | None = None
) -> dict[str, Lessons]:
    """Return what two at a time find among three candidates for each question, two questions in a round."""
    monkeypatch.setattr(stages, "QUESTIONS_AT_ONCE", 2)
    monkeypatch.setattr(stages, "parts_in", lambda folder: {"fixed": PARTS[folder.name]})
    folders = {name: Path(name) for name in questions}
    most_rows = {} if rows is None else dict.fromkeys(questions, rows)
    rng = np.random.default_rng(0)
    with ThreadPoolExecutor(2) as workers:
        return asked(folders, questions, most_rows, {"fixed": 3}, True, rng, workers, 2, until_s)


def test_every_stage_is_asked_all_its_questions_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    found = answers(
        {"long": questions(([0], [0]), ([0], [1]), ([0], [2])), "short": questions(([0], [5]))}, monkeypatch
    )

    assert found["long"].right.tolist() == [True, False, False, False, True, False, False, False, True]
    assert found["long"].columns.ravel().tolist() == [6, 5, 4] * 3
    assert found["short"].columns.ravel().tolist() == [4, 5, 6]


def test_when_time_is_over_each_stage_was_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = answers(
        {"long": questions(*[([0], [0])] * 5), "short": questions(*[([0], [5])] * 4)}, monkeypatch, until_s=0.0
    )

    assert [len(one.list_lengths) for one in found.values()] == [2, 2]
    assert [len(one.relevant) for one in found.values()] == [2, 2]


def test_a_stage_to_learn_from_that_has_rows_enough_is_asked_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "WRONG_SHARE", 1)
    found = answers({"long": questions(*[([0], [0])] * 40)}, monkeypatch, rows=7)

    # Six rows are there when four rounds are begun, twelve when five are: what was begun by then is kept.
    assert found["long"].list_lengths.tolist() == [3] * 10


def test_of_what_was_not_to_be_found_a_third_is_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    found = answers({"long": questions(*[([0], [0])] * 300)}, monkeypatch, rows=10_000)["long"]

    assert found.right.sum() == 300
    assert 150 < np.sum(~found.right) < 250
    assert found.list_lengths.min() == 1
    assert found.columns[found.right].tolist() == [[6]] * 300
    assert set(found.columns[~found.right].ravel().tolist()) == {5, 4}


def test_a_stage_without_questions_has_lessons_without_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    found = answers({"long": questions(([0], [0])), "short": questions()}, monkeypatch)

    assert found["long"].list_lengths.tolist() == [3]
    assert found["short"].columns.shape == (0, 1)
    assert len(found["short"].list_lengths) == len(found["short"].relevant) == 0


def test_rounds_are_counted_with_the_last_that_is_not_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "QUESTIONS_AT_ONCE", 2)

    assert [rounds(questions(*[([0], [0])] * n)) for n in (0, 1, 2, 3)] == [1, 1, 1, 2]


@dataclass(frozen=True)
class Echo:
    """Answers with the history."""

    def pipeline(self) -> "Echo":
        """Return itself."""
        return self

    def rank(self, query: Query) -> "Echo.List":
        """Return the items of the history, as they are."""
        return Echo.List(query.history.item)

    @dataclass(frozen=True)
    class List:
        """What was answered."""

        items: IntArray


def test_rankings_come_in_the_order_of_the_questions_and_nothing_stands_behind_their_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stages, "RANKED_AT_ONCE", 2)
    told: list[None] = []
    with ThreadPoolExecutor(2) as workers:
        found = ranked(
            cast(Ranker, Echo()),
            questions(([4], [0]), ([3, 1], [0]), ([2], [0])),
            2,
            workers,
            lambda: told.append(None),
        )

    assert found.tolist() == [[4, NO_ITEM], [3, 1], [2, NO_ITEM]]
    assert len(told) == 2
