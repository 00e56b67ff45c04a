from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from features.interactions import COLUMNS, History
from models.lookup import PLACES
from models.neighbours import NeighbourScorer, NeighbourSettings, divided, kept, strongest, strongest_products
from tests.worlds import NOW

WEIGHTS = np.ones(8, np.float32)
TIES = np.array(
    [
        [0, 4, 2, 0, 0],
        [4, 0, 0, 1, 0],
        [2, 0, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ],
    np.float32,
)
ALL = np.arange(5, dtype=np.int32)


def scorer(ties: np.ndarray = TIES, **config: float) -> NeighbourScorer:
    chosen = NeighbourSettings(**({"step_decay": 0.5, "half_life_days": 1e9} | config))
    return NeighbourScorer(chosen, WEIGHTS, **strongest(sparse.csr_matrix(ties), chosen.neighbours))


def history(*items: int, days_apart: float = 1.0) -> History:
    rows = {name: np.zeros(len(items), dtype) for name, dtype in COLUMNS.items()}
    days = np.arange(len(items), 0, -1) * days_apart
    seconds = (NOW.timestamp() - days * 86_400).astype(np.int64)
    return History(**rows | {"item": np.array(items, np.int32), "timestamp_s": seconds})


def test_an_interaction_counts_less_with_each_that_came_after_it():
    scores = scorer().scores(history(0, 1), ALL, NOW)

    assert scores.tolist() == pytest.approx([4, 0.5 * 4, 0.5 * 2, 1, 0])


def test_an_interaction_counts_half_after_its_half_life():
    scores = scorer(step_decay=1.0, half_life_days=10.0).scores(history(0, days_apart=10), ALL, NOW)

    assert scores.tolist() == pytest.approx([0, 2, 1, 0, 0])


def test_only_the_last_interactions_count():
    assert scorer(recent_interactions=1).scores(history(0, 1), ALL, NOW).tolist() == pytest.approx([4, 0, 0, 1, 0])


def test_a_return_counts_nothing():
    bought_and_returned = history(0, 3)
    bought_and_returned.quantity[:] = [-1, 1]

    assert scorer().scores(bought_and_returned, ALL, NOW).tolist() == pytest.approx([0, 1, 0, 0, 0])


def test_the_columns_tell_the_last_the_one_before_and_the_strongest_tie_the_share_and_the_place():
    columns = scorer().features(history(2, 0, 1), np.array([0, 3, 2, 4], np.int32), NOW)

    # Scores: item 0 has 4 + .25 * 2, item 1 has .5 * 4, item 2 has .5 * 2, item 3 has 1.
    assert columns[0].tolist() == pytest.approx([4.5, 4, 0, 4, 1, 0])
    assert columns[1].tolist() == pytest.approx([1, 1, 0, 1, 1 / 4.5, 2])
    assert columns[2].tolist() == pytest.approx([1, 0, 2, 2, 1 / 4.5, 2])
    assert columns[3].tolist() == pytest.approx([0, 0, 0, 0, 0, PLACES])


def test_no_history_means_no_candidates_and_no_scores():
    assert len(scorer().candidates(History.empty(), 5, NOW)) == 0
    assert not scorer().scores(History.empty(), ALL, NOW).any()
    assert not scorer().features(History.empty(), ALL, NOW)[:, :5].any()


def test_the_reason_names_the_items_of_the_history_that_pull_most():
    found = scorer().reason(history(3, 0, 2), 1, NOW)

    assert found is not None
    assert found.items == (0, 3)
    assert found.text == "Goes with {0} and {1}."
    assert scorer().reason(history(2), 1, NOW) is None


histories = st.lists(st.integers(0, 4), max_size=6)


@given(histories, st.permutations(range(5)), st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_what_is_said_of_an_item_does_not_depend_on_which_others_are_asked_for(items, order, n):
    one, past = scorer(), history(*items)
    some = np.array(order[:n], np.int32)

    assert one.features(past, some, NOW) == pytest.approx(one.features(past, ALL, NOW)[some])
    assert one.features(past, some, NOW)[:, 0] == pytest.approx(one.scores(past, some, NOW))


@given(histories, st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_candidates_are_the_best_of_what_scores_above_zero(items, n):
    one, past = scorer(), history(*items)

    found = one.candidates(past, n, NOW)

    scores = one.scores(past, ALL, NOW)
    assert len(found) == len(set(found.tolist())) == min(n, np.count_nonzero(scores))
    assert scores[found] == pytest.approx(np.sort(scores)[::-1][: len(found)])


def test_a_later_moment_ages_everything_alike_and_changes_no_order():
    one, past = scorer(half_life_days=5.0), history(0, 1)

    now, later = (one.scores(past, ALL, moment) for moment in (NOW, NOW + timedelta(days=5)))

    assert later == pytest.approx(now / 2)


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_the_strongest_products_are_those_of_the_whole_product(n, seed):
    rng = np.random.default_rng(seed)
    left, right = (sparse.random(6, 6, 0.5, "csr", np.float32, rng) for _ in range(2))

    found = strongest_products(left, right, n).toarray()

    product = (left @ right).toarray()
    for row in range(6):
        best = np.sort(product[row])[::-1][:n]
        assert np.sort(found[row])[::-1][:n] == pytest.approx(best)
        assert np.count_nonzero(found[row]) <= n


def test_what_is_kept_is_the_largest_and_above_zero():
    ties = sparse.csr_matrix(np.array([[3.0, -5, 1], [0, -1, 0], [2, 2, 1]]))

    assert kept(ties, 1).toarray()[:2].tolist() == [[3, 0, 0], [0, 0, 0]]
    assert kept(ties, 2).toarray().tolist() == [[3, 0, 1], [0, 0, 0], [2, 2, 0]]


def test_rows_and_columns_are_divided():
    ties = sparse.csr_matrix(np.array([[2.0, 4], [6, 8]]))

    assert divided(ties, np.array([1, 2]), np.array([2, 4])).toarray().tolist() == [[1, 1], [1.5, 1]]
