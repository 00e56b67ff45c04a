import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from models.linear_item_model import LinearItemModel, LinearItemModelSettings, coefficients
from tests.worlds import event, item, snapshot

NAMES = "abcde"


def world(folder, *histories):
    events = [event(f"u{k}", name, 50 - at) for k, names in enumerate(histories) for at, name in enumerate(names)]
    return snapshot(folder, events, [item(name) for name in NAMES])


def table(scorer):
    strength = sparse.csr_matrix((scorer.strength, scorer.indices, scorer.indptr), (len(NAMES), len(NAMES)))
    return strength.toarray()


def moments_by_hand(histories, past, future):
    """``P`` and ``F`` with a row for each way to cut a history in two."""
    P, F = [], []
    for names in histories:
        at = [NAMES.index(name) for name in names]
        for cut in range(1, len(at)):
            before, after = np.zeros(len(NAMES)), np.zeros(len(NAMES))
            for k in range(cut):
                before[at[k]] += past ** (cut - 1 - k)
            for k in range(cut, len(at)):
                after[at[k]] += future ** (k - cut)
            P.append(before)
            F.append(after)
    return np.array(P), np.array(F)


def test_it_is_the_regression_of_the_future_on_the_past(tmp_path):
    histories = ["abcde", "edcba", "cabed", "debac"]
    settings = LinearItemModelSettings(past_decay=0.7, future_decay=0.5, ridge=2.0, repeats=True)

    scorer = LinearItemModel.fit(world(tmp_path / "s", *histories), settings, np.random.default_rng(0))

    P, F = moments_by_hand(histories, 0.7, 0.5)
    moment = P.T @ F
    for column in range(5):
        rows = np.flatnonzero(moment[:, column] > 0)
        exact = np.linalg.solve((P.T @ P + 2 * np.eye(5))[np.ix_(rows, rows)], moment[rows, column])
        assert table(scorer)[rows, column] == pytest.approx(np.maximum(exact, 0), abs=1e-5)


def test_without_order_all_items_of_a_person_predict_each_other_but_none_itself(tmp_path):
    histories = ["abc", "ab", "cd"]
    settings = LinearItemModelSettings(ordered=False, ridge=1.0)

    found = table(LinearItemModel.fit(world(tmp_path / "s", *histories), settings, np.random.default_rng(0)))

    # a is predicted by b (with it twice) and c (once): [[2 + 1, 1], [1, 2 + 1]] x = [2, 1].
    assert found[[1, 2], 0] == pytest.approx([5 / 8, 1 / 8], abs=1e-6)
    assert not np.diag(found).any()


def test_only_the_last_interactions_are_learned_from(tmp_path):
    settings = LinearItemModelSettings(history_interactions=2)

    found = table(LinearItemModel.fit(world(tmp_path / "s", "abc"), settings, np.random.default_rng(0)))

    assert np.argwhere(found).tolist() == [[1, 2]]


def test_only_the_strongest_predictors_are_learned_from(tmp_path):
    settings = LinearItemModelSettings(predictors=1)

    found = table(LinearItemModel.fit(world(tmp_path / "s", "abc"), settings, np.random.default_rng(0)))

    assert np.argwhere(found).tolist() == [[0, 1], [1, 2]]


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 100))
@settings(max_examples=25, deadline=None)
def test_with_all_rows_allowed_the_coefficients_are_those_of_the_whole_system(seed, ridge):
    rng = np.random.default_rng(seed)
    P, F = rng.random((12, 6)), rng.random((12, 6))

    found = coefficients(sparse.csr_matrix(P.T @ P), sparse.csr_matrix(P.T @ F), ridge, 6, repeats=True)

    assert found.toarray() == pytest.approx(np.linalg.solve(P.T @ P + ridge * np.eye(6), P.T @ F), abs=1e-4)


def test_a_long_history_tells_less_by_each_pair(tmp_path):
    # With the exponent 1 the history of three items counts 1/3, the one of two 1/2.
    settings = LinearItemModelSettings(ordered=False, ridge=1.0, length_exponent=1.0)

    found = table(LinearItemModel.fit(world(tmp_path / "s", "abc", "de"), settings, np.random.default_rng(0)))

    # a from b and c: [[1/3 + 1, 1/3], [1/3, 1/3 + 1]] x = [1/3, 1/3]; d from e: (1/2 + 1) x = 1/2.
    assert found[[1, 2], 0] == pytest.approx([1 / 5, 1 / 5], abs=1e-6)
    assert found[4, 3] == pytest.approx(1 / 3, abs=1e-6)
