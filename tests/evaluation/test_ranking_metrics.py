"""Metrics against numbers worked out by hand, and against an independent library."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from scipy import sparse

from evaluation import ranking_metrics as metrics
from features.errors import InvalidInput


def relevant(*items: list[int], n_items: int = 10) -> sparse.csr_matrix:
    matrix = np.zeros((len(items), n_items), np.int8)
    for user, of_user in enumerate(items):
        matrix[user, of_user] = 1
    return sparse.csr_matrix(matrix)


@pytest.fixture
def two_users() -> metrics.Judged:
    """One finds items 3 and 5 at places 1 and 3 of 4, out of 3 relevant; the other nothing, out of 1."""
    return metrics.judged(np.array([[3, 0, 5, 1], [0, 1, 2, 3]], np.int32), relevant([3, 5, 9], [9]))


def test_recall_divides_by_all_that_is_relevant(two_users: metrics.Judged) -> None:
    assert metrics.recall(two_users, 4).tolist() == [2 / 3, 0]
    assert metrics.recall(two_users, 2).tolist() == [1 / 3, 0]


def test_precision_divides_by_k_even_where_the_list_is_shorter(two_users: metrics.Judged) -> None:
    assert metrics.precision(two_users, 2).tolist() == [1 / 2, 0]
    assert metrics.precision(two_users, 8).tolist() == [1 / 4, 0]


def test_a_hit_anywhere_is_a_hit(two_users: metrics.Judged) -> None:
    assert metrics.hit_rate(two_users, 4).tolist() == [1, 0]


def test_the_reciprocal_rank_is_that_of_the_first_hit() -> None:
    judged = metrics.judged(np.array([[0, 3, 5], [0, 1, 9], [0, 1, 2]], np.int32), relevant([3, 5], [9], [9]))
    assert metrics.reciprocal_rank(judged, 3).tolist() == [1 / 2, 1 / 3, 0]
    assert metrics.reciprocal_rank(judged, 2).tolist() == [1 / 2, 0, 0]


def test_ndcg_holds_the_gain_against_the_best_that_k_places_allow(two_users: metrics.Judged) -> None:
    third, best = 1 / np.log2(4), 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert metrics.ndcg(two_users, 4) == pytest.approx([(1 + third) / best, 0])
    assert metrics.ndcg(two_users, 1) == pytest.approx([1, 0])


def test_average_precision_counts_what_was_not_found_as_zero(two_users: metrics.Judged) -> None:
    assert metrics.average_precision(two_users, 4) == pytest.approx([(1 / 1 + 2 / 3) / 3, 0])


def test_padding_is_never_a_hit_not_even_beside_the_last_item() -> None:
    padded = np.array([[0, -1, -1], [-1, -1, -1]], np.int32)
    judged = metrics.judged(padded, relevant([9], [0, 9]))  # -1 is the last item for an array that wraps around
    assert not judged.hit.any()


def test_a_ranking_with_an_item_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="twice"):
        metrics.judged(np.array([[4, 4]], np.int32), relevant([4]))


def test_a_user_without_anything_to_find_is_refused() -> None:
    with pytest.raises(InvalidInput, match="1 of 2 users"):
        metrics.judged(np.array([[4], [4]], np.int32), relevant([4], []))


def test_metrics_agree_with_an_independent_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)  # compiling it takes most of a minute, running it does not
    import ranx

    rng = np.random.default_rng(7)
    n_users, n_items, places = 30, 50, 20
    rankings = np.stack([rng.permutation(n_items)[:places] for _ in range(n_users)]).astype(np.int32)
    truth = [rng.choice(n_items, rng.integers(1, 25), replace=False).tolist() for _ in range(n_users)]
    judged = metrics.judged(rankings, relevant(*truth, n_items=n_items))

    qrels = ranx.Qrels({f"{u:02}": {str(i): 1 for i in items} for u, items in enumerate(truth)})
    run = ranx.Run({f"{u:02}": {str(i): places - p for p, i in enumerate(row)} for u, row in enumerate(rankings)})
    ours = {
        "recall": metrics.recall,
        "precision": metrics.precision,
        "hit_rate": metrics.hit_rate,
        "mrr": metrics.reciprocal_rank,
        "ndcg": metrics.ndcg,
        "map": metrics.average_precision,
    }
    theirs = ranx.evaluate(qrels, run, [f"{name}@{k}" for name in ours for k in (5, 20)], return_mean=False)
    for name, metric in ours.items():
        for k in (5, 20):
            assert metric(judged, k) == pytest.approx(theirs[f"{name}@{k}"]), f"{name}@{k}"


def test_novelty_is_one_bit_for_what_every_second_user_buys() -> None:
    rankings = np.array([[0, 1, 2], [0, -1, -1], [-1, -1, -1]], np.int32)
    buyers = np.array([4, 2, 1])
    assert metrics.novelty(rankings, buyers, n_users=4, k=2).tolist() == [0.5, 0, 0]
    assert metrics.novelty(rankings, buyers, n_users=4, k=3).tolist() == [1, 0, 0]


def test_what_nobody_bought_is_as_new_as_what_one_bought() -> None:
    assert metrics.novelty(np.array([[0]], np.int32), np.array([0]), n_users=8, k=1).tolist() == [3]


def test_coverage_and_gini_tell_one_list_for_all_from_lists_of_their_own() -> None:
    same = metrics.shown(np.array([[0], [0], [0], [0]], np.int32), n_items=4, k=1)
    own = metrics.shown(np.array([[0], [1], [2], [3]], np.int32), n_items=4, k=1)
    assert (metrics.coverage(same), metrics.coverage(own)) == (1 / 4, 1)
    assert (metrics.gini(same), metrics.gini(own)) == (3 / 4, 0)


def test_empty_places_show_nothing() -> None:
    assert metrics.shown(np.array([[2, -1], [-1, -1]], np.int32), n_items=3, k=2).tolist() == [0, 0, 1]


def test_lists_are_distinct_by_their_order_too() -> None:
    rankings = np.array([[0, 1, 5], [0, 1, 6], [1, 0, 5], [0, 1, 7]], np.int32)
    assert metrics.distinct_lists(rankings, 2) == 2 / 4
    assert metrics.distinct_lists(rankings, 3) == 1
