from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving.pool import Pool, Ties, best_rows

items = st.lists(st.integers(0, 2**31 - 1), max_size=60)


@given(rounds=st.lists(st.tuples(items, items), min_size=1, max_size=4))
def test_a_pool_holds_each_item_once_in_the_order_of_arrival_however_often_it_is_used(
    rounds: list[tuple[list[int], list[int]]],
) -> None:
    pool = Pool(0)
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
    pool = Pool(0).cleared(12, None)
    pool.add(np.arange(3_000, dtype=np.int32))
    pool.part(11)[:] = np.arange(3_000)
    pool.add(np.arange(2_000, 50_000, dtype=np.int32))
    assert pool.items.tolist() == list(range(50_000))
    assert pool.part(11)[:3_000].tolist() == list(range(3_000))


def test_a_closed_pool_takes_no_more() -> None:
    pool = Pool(0).cleared(1, np.array([3, 1], np.int32))
    pool.add(np.array([1, 2], np.int32))
    assert pool.items.tolist() == [3, 1]


def tied(pool: Pool, ties: Ties, n: int, anchors: list[int], weights: list[float], table: list[list[float]]) -> Any:
    """Tie ``anchors`` by a dense ``table`` of anchors by items, and return what is in the running."""
    rows, items = np.nonzero(table)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(table)))])
    strength = np.array(table, np.float32)[rows, items]
    weight = np.array(weights, np.float32)
    pool.tie(ties, n, np.array(anchors, np.int32), weight, indptr, items.astype(np.int32), strength)
    return pool.items.tolist()


def test_ties_add_up_over_the_anchors() -> None:
    ties, pool = Ties(), Pool(7)
    table = [[0, 0, 0, 0, 0, 1, 2.0], [0, 0, 0, 0, 0, 0, 4]]
    assert tied(pool.cleared(2, None), ties, 2, [0, 1], [1, 0.5], table) == [5, 6]
    assert tied(pool.cleared(2, None), ties, 1, [0, 1], [1, 0.5], table) == [6]
    pool.cleared(2, np.array([6, 9, 5], np.int32))
    assert tied(pool, ties, 1, [0, 1], [1, 0.5], table) == [6, 9, 5]
    pool.take(1, ties)
    assert pool.part(1).tolist() == [4.0, 0.0, 1.0]
    assert tied(pool.cleared(1, None), ties, 2, [], [], table) == []
    pool.cleared(1, np.array([6], np.int32)).take(0, ties)
    assert pool.part(0).tolist() == [0.0]


def test_ties_grow_beyond_their_first_size() -> None:
    n = 50_000
    table = [np.arange(1, n + 1, dtype=np.float64).tolist()]
    assert tied(Pool(n).cleared(1, None), Ties(), 2, [0], [1], table) == [n - 1, n - 2]


gains = st.floats(0, 1e6, width=32) | st.sampled_from([1.0, 2.0, 2.0001, 1e-30])


@given(
    some=st.lists(gains, min_size=1, max_size=60),
    rows=st.integers(1, 4),
    seed=st.integers(0, 2**32),
    n=st.integers(0, 160),
)
def test_the_items_that_gain_most_come_in_order_of_their_gains_and_equal_ones_in_order_of_arrival(
    some: list[float], rows: int, seed: int, n: int
) -> None:
    table = np.random.default_rng(seed).choice(np.array(some, np.float32), (rows, 150)).tolist()
    anchors = list(range(len(table)))
    pool, ties = Pool(150), Ties()
    found = tied(pool.cleared(1, None), ties, n, anchors, [1.0] * len(table), table)
    sums = np.array(table, np.float32).astype(np.float64).sum(axis=0)
    arrived = list(dict.fromkeys(item for row in table for item in np.flatnonzero(np.array(row, np.float32)).tolist()))
    if len(arrived) > n:
        arrived.sort(key=lambda item: -sums[item])
    assert found == arrived[:n]


scores = st.sampled_from([-np.inf, 0.0, 0.5, 1.0, 2.0])


@given(scores=st.lists(scores, max_size=80), n=st.integers(0, 90))
def test_the_best_rows_are_those_of_a_stable_sort(scores: list[float], n: int) -> None:
    expected = sorted(range(len(scores)), key=lambda row: -scores[row])[:n]
    assert best_rows(np.array(scores, np.float64), n).tolist() == expected


def test_sums_are_of_parts_in_proportion_to_their_best() -> None:
    pool = Pool(0).cleared(3, np.array([7, 8, 9], np.int32))
    pool.part(0)[:], pool.part(1)[:], pool.part(2)[:] = [2, 1, -1], [0, 3, 0], [0.5, 0, 0]
    pool.sum_up(2, np.array([1.0, 0.5]))
    assert pool.base.tolist() == [1.0, 1.0, 0.0]
    assert pool.total.tolist() == [1.5, 1.0, 0.0]
    items, total, parts, greatest = pool.at(np.array([1, 0]), 2)
    assert (items.tolist(), total.tolist(), greatest.tolist()) == ([8, 7], [1.0, 1.5], [0, 0])
    assert parts.tolist() == [[0.5, 0.5, 0.0], [1.0, 0.0, 0.5]]
