from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving.pool import Pool, Ties, best_rows, best_rows_of

items = st.lists(st.integers(0, 2**31 - 1), max_size=60)


@given(rounds=st.lists(st.tuples(items, items), min_size=1, max_size=4))
def test_a_pool_holds_each_item_once_in_the_order_of_arrival_however_often_it_is_used(
    rounds: list[tuple[list[int], list[int]]],
) -> None:
    pool = Pool()
    for first, second in rounds:
        pool.cleared(1, None)
        pool.add(np.array(first, np.int32))
        pool.add(np.array(second, np.int32))
        expected = list(dict.fromkeys(first + second))
        assert pool.items.tolist() == expected
        assert pool.part(0).tolist() == [0.0] * len(expected)
        assert pool.rows(np.array(expected, np.int32)).tolist() == list(range(len(expected)))
        pool.part(0)[:] = 1


def test_a_pool_grows_beyond_its_first_size() -> None:
    pool = Pool().cleared(12, None)
    pool.add(np.arange(3_000, dtype=np.int32))
    pool.part(11)[:] = np.arange(3_000)
    pool.add(np.arange(2_000, 50_000, dtype=np.int32))
    assert pool.items.tolist() == list(range(50_000))
    assert pool.part(11)[:3_000].tolist() == list(range(3_000))


def test_a_closed_pool_takes_no_more() -> None:
    pool = Pool().cleared(1, np.array([3, 1], np.int32))
    pool.add(np.array([1, 2], np.int32))
    assert pool.items.tolist() == [3, 1]


def test_ties_add_up_over_the_anchors() -> None:
    ties = Ties()
    indptr, indices = np.array([0, 2, 3]), np.array([5, 6, 6], np.int32)
    strength = np.array([1, 2, 4], np.float32)
    anchors, weight = np.array([0, 1], np.int32), np.array([1, 0.5], np.float32)
    assert ties.strongest(2, anchors, weight, indptr, indices, strength).tolist() == [5, 6]
    assert ties.strongest(1, anchors, weight, indptr, indices, strength).tolist() == [6]
    pool = Pool().cleared(2, np.array([6, 9, 5], np.int32))
    pool.take(1, ties)
    assert pool.part(1).tolist() == [4.0, 0.0, 1.0]
    assert ties.strongest(2, anchors[:0], weight[:0], indptr, indices, strength).tolist() == []
    pool.cleared(1, np.array([6], np.int32)).take(0, ties)
    assert pool.part(0).tolist() == [0.0]


def test_ties_of_earlier_calls_are_forgotten_also_when_calls_are_counted_from_the_beginning() -> None:
    ties = Ties()
    ties.call = 2**62
    indptr, indices = np.array([0, 1, 2]), np.array([5, 6], np.int32)
    one = np.ones(1, np.float32)
    for anchor in (0, 1, 0):
        anchors = np.array([anchor], np.int32)
        assert ties.strongest(9, anchors, one, indptr, indices, np.ones(2, np.float32)).tolist() == [5 + anchor]


def test_ties_grow_beyond_their_first_size() -> None:
    n = 50_000
    indptr, indices = np.array([0, n]), np.arange(n, dtype=np.int32)
    strength = np.arange(n, dtype=np.float32)
    ties = Ties()
    assert ties.strongest(2, np.zeros(1, np.int32), np.ones(1, np.float32), indptr, indices, strength).tolist() == [
        n - 1,
        n - 2,
    ]


scores = st.sampled_from([-np.inf, 0.0, 0.5, 1.0, 2.0])


@given(scores=st.lists(scores, max_size=80), n=st.integers(0, 90))
def test_the_best_rows_are_those_of_a_stable_sort(scores: list[float], n: int) -> None:
    expected = sorted(range(len(scores)), key=lambda row: -scores[row])[:n]
    assert best_rows(np.array(scores, np.float64), n).tolist() == expected


@given(pairs=st.lists(st.tuples(scores, scores), max_size=80), n=st.integers(0, 90))
def test_what_has_no_base_or_is_taken_already_is_not_among_the_best(pairs: list[tuple[float, float]], n: int) -> None:
    counted = [row for row, (score, base) in enumerate(pairs) if base > 0 and score > -np.inf]
    total, base = (np.array([pair[at] for pair in pairs], np.float64) for at in (0, 1))
    assert best_rows_of(total, base, n).tolist() == sorted(counted, key=lambda row: -pairs[row][0])[:n]
