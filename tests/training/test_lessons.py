from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pytest
from scipy import sparse

from evaluation.ranking_metrics import ndcg
from features.interactions import COLUMNS, History, IntArray, Interactions
from features.settings import Settings
from models.scorer import Scorer, Scores, best_first
from training.datasets import Questions
from training.lessons import LEAST_WEIGHT, Lessons, lessons_of, sum_of

N_ITEMS = 6


@dataclass(frozen=True)
class Fixed(Scorer):
    """Scores each item the same for everybody."""

    name = "fixed"
    config: Settings
    every: Scores

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        return self.every[items]

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        return best_first(np.arange(N_ITEMS, dtype=np.int32), self.every, n)


def fixed(*scores: float) -> Fixed:
    return Fixed(Settings(), np.array(scores, np.float32))


def questions(*asked: tuple[list[int], list[int]]) -> Questions:
    """Return one question for each history and what was chosen after it."""
    item = np.array([one for history, _ in asked for one in history], np.int32)
    rows = {name: np.zeros(len(item), dtype) for name, dtype in COLUMNS.items()} | {"item": item}
    indptr = np.concatenate([[0], np.cumsum([len(history) for history, _ in asked])]).astype(np.int64)
    relevant = np.zeros((len(asked), N_ITEMS), np.int8)
    for number, (_, right) in enumerate(asked):
        relevant[number, right] = 1
    return Questions(Interactions(indptr, History(**rows)), sparse.csr_matrix(relevant))


def columns(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, np.newaxis]


def test_candidates_are_what_is_proposed_without_the_history_and_ascending() -> None:
    parts: dict[str, Scorer] = {"fixed": fixed(6, 5, 4, 3, 2, 1)}

    found = lessons_of(parts, {"fixed": 4}, questions(([0], [2]), ([5], [1, 4])), repeats=False)

    assert found.columns.ravel().tolist() == [5, 4, 3, 6, 5, 4, 3]
    assert found.right.tolist() == [False, True, False, False, True, False, False]
    assert found.list_lengths.tolist() == [3, 4]
    assert found.relevant.tolist() == [1, 2]


def test_where_repeats_are_answers_the_history_stays_in_the_running() -> None:
    found = lessons_of({"fixed": fixed(6, 5, 4, 3, 2, 1)}, {"fixed": 2}, questions(([0], [0])), repeats=True)

    assert found.right.tolist() == [True, False]


def test_a_part_that_proposes_nothing_tells_what_it_knows_all_the_same() -> None:
    parts: dict[str, Scorer] = {"fixed": fixed(6, 5, 4, 3, 2, 1), "other": fixed(1, 2, 3, 4, 5, 6)}

    found = lessons_of(parts, {"fixed": 2, "other": 0}, questions(([5], [0])), repeats=False)

    assert found.columns.tolist() == [[6, 1], [5, 2]]


def test_of_candidates_with_no_right_one_among_them_nothing_more_is_asked() -> None:
    found = lessons_of({"fixed": fixed(6, 5, 4, 3, 2, 1)}, {"fixed": 2}, questions(([0], [4]), ([1], [0])), True)

    assert found.list_lengths.tolist() == [0, 2]
    assert found.columns.ravel().tolist() == [6, 5]
    assert found.relevant.tolist() == [1, 1]
    assert found.judged(np.ones(2, np.float32), 2).hit.tolist() == [[False, False], [True, False]]


def test_lists_without_a_right_one_or_without_a_wrong_one_teach_nothing() -> None:
    found = Lessons(
        columns(1, 2, 3, 4, 5, 6),
        np.array([False, False, True, False, True, True]),
        np.array([2, 2, 2]),
        np.array([1, 1, 2]),
    ).telling()

    assert found.columns.ravel().tolist() == [3, 4]
    assert (found.list_lengths.tolist(), found.relevant.tolist()) == ([2], [1])


def test_of_lists_to_learn_from_all_is_kept_that_was_to_be_found_and_a_third_of_the_rest() -> None:
    # Each of 1,000 lists has one right one, the last of 31; the column tells whose list it is.
    lists = np.repeat(np.arange(1_000), 31)
    right = np.tile(np.arange(31) == 30, 1_000)
    asked = Lessons(columns(*lists), right, np.full(1_001, 31) * (np.arange(1_001) < 1_000), np.ones(1_001, np.int64))

    found = asked.thinned(np.random.default_rng(0))

    assert found.right.sum() == 1_000
    assert (~found.right).mean() == pytest.approx(10 / 11, abs=0.01)
    np.testing.assert_array_equal(np.repeat(np.arange(1_001), found.list_lengths), found.columns.ravel())
    assert found.right[np.cumsum(found.list_lengths[:-1]) - 1].all()
    assert (found.list_lengths[-1], len(found.relevant)) == (0, 1_001)


@pytest.mark.parametrize(("rows", "most", "least"), [(5, 5, 3), (4, 4, 2), (0, 3, 1), (6, 6, 6)])
def test_some_lessons_are_whole_lists_of_so_many_rows_at_most_and_one_list_at_the_least(
    rows: int, most: int, least: int
) -> None:
    lengths = np.array([2, 3, 1])
    lessons = Lessons(columns(*np.repeat([20.0, 30, 10], lengths)), np.ones(6, np.bool_), lengths, np.array([2, 3, 1]))

    for seed in range(20):
        some = lessons.some(rows, np.random.default_rng(seed))

        assert least <= len(some.right) <= most
        assert len(some.columns) == len(some.right) == some.list_lengths.sum()
        assert some.columns.ravel().tolist() == np.repeat(10.0 * some.relevant, some.list_lengths).tolist()


def test_an_order_is_judged_by_the_places_of_the_right_ones_and_by_what_no_candidate_was() -> None:
    # The first list has its right one on place 2; the second has one of two on place 1, the other is no candidate.
    asked = Lessons(
        columns(0, 0, 0, 0, 0),
        np.array([False, True, False, True, False]),
        np.array([3, 2]),
        np.array([1, 2]),
    )

    judged = asked.judged(np.array([3, 2, 1, 9, 8], np.float32), 2)

    assert judged.hit.tolist() == [[False, True], [True, False]]
    assert ndcg(judged, 2).tolist() == pytest.approx([1 / np.log2(3), 1 / (1 + 1 / np.log2(3))])


def test_a_list_shorter_than_the_places_is_judged_as_far_as_it_goes() -> None:
    asked = Lessons(columns(0), np.array([True]), np.array([1, 0]), np.array([1, 1]))

    assert asked.judged(np.array([1], np.float32), 3).hit.tolist() == [[True, False, False], [False, False, False]]


def test_each_half_of_the_lists_is_answered_by_who_learned_the_other() -> None:
    # The right ones of the first two lists have the value 1, those of the other two the value 2.
    lessons = Lessons(
        columns(1, 2, 2, 1, 2, 1, 1, 2),
        np.array([True, False, False, True, True, False, False, True]),
        np.array([2, 2, 2, 2]),
        np.array([1, 1, 3, 1]),
    )

    def nearest_to_the_right(learned: Lessons, asked: Lessons) -> Scores:
        assert (len(learned.list_lengths), len(asked.list_lengths)) == (2, 2)
        right: Scores = learned.columns[learned.right].mean()
        return -np.abs(asked.columns[:, 0] - right)

    judged = lessons.crossed(nearest_to_the_right, 1)

    assert judged.hit.tolist() == [[False]] * 4  # by whoever had learned them all would be found
    assert judged.relevant.tolist() == [1, 1, 3, 1]
    alike = Lessons(lessons.columns, lessons.columns[:, 0] == 2, lessons.list_lengths, lessons.relevant)
    assert alike.crossed(nearest_to_the_right, 1).hit.tolist() == [[True]] * 4


def test_in_the_sum_the_part_that_tells_counts_most_and_one_that_scores_nothing_is_left_out() -> None:
    parts: dict[str, Scorer] = {
        "right": fixed(1, 1, 1, 1, 9, 0),
        "wrong": fixed(9, 1, 1, 1, 1, 0),
        "silent": fixed(*[0] * 6),
    }

    weights = sum_of(parts, dict.fromkeys(parts, 5), questions(*[([5], [4])] * 20), repeats=False)

    assert set(weights) == {"right", "wrong"}
    assert weights["right"] > 1
    assert weights["wrong"] == LEAST_WEIGHT


def test_lessons_of_no_list_have_their_columns_and_add_nothing() -> None:
    none = Lessons.of_lists([], [], [], 1)
    some = Lessons.of_lists([columns(3, 1)], [np.array([True, False])], [2], 1)
    assert none.columns.shape == (0, 1)
    both = Lessons.together([none, some, some])
    assert both.columns.ravel().tolist() == [3, 1, 3, 1]
    assert both.right.tolist() == [True, False, True, False]
    assert both.list_lengths.tolist() == [2, 2]
    assert both.relevant.tolist() == [2, 2]
    assert not len(Lessons.together([none, none]).right)
