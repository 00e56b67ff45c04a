import lightgbm
import numpy as np
import pytest

from models.trees import MOST_LEAVES, Trees

ONE_SPLIT = """tree
version=v4

Tree=0
num_leaves=2
split_feature=1
threshold=0.5
decision_type={decision}
left_child=-1
right_child=-2
leaf_value=-1 3
shrinkage=1


Tree=1
num_leaves=1
leaf_value=0.25


end of trees
"""
NAN = np.nan


def test_a_row_goes_left_up_to_the_threshold_and_trees_are_added_up():
    trees = Trees.of(ONE_SPLIT.format(decision=2))

    assert trees.sums(np.array([[9, 0.5], [0, 0.75]], np.float32)).tolist() == [-1 + 0.25, 3 + 0.25]
    assert trees.sums(np.array([[9, 0.75]], np.float32), 0, 1).tolist() == [3]
    assert trees.least == -1 + 0.25


@pytest.mark.parametrize(("decision", "leaf"), [(8, 3), (8 + 2, -1), (0, -1), (2, -1)])
def test_what_is_missing_goes_where_the_tree_says_and_counts_0_where_it_says_nothing(decision: int, leaf: float):
    trees = Trees.of(ONE_SPLIT.format(decision=decision))

    assert trees.sums(np.array([[0, NAN]], np.float32), 0, 1).tolist() == [leaf]


@pytest.mark.parametrize("leaves", [7, MOST_LEAVES])
@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("objective", ["binary", "lambdarank"])
def test_the_sums_are_those_of_lightgbm_to_the_last_bit(objective: str, missing: float, leaves: int):
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(2_000, 5)).astype(np.float32)
    columns[rng.random(columns.shape) < missing] = NAN
    right = np.nan_to_num(columns[:, 0]) + rng.normal(size=len(columns)) > 1
    lists = np.full(100, 20) if objective == "lambdarank" else None
    parameters = {"objective": objective, "num_leaves": leaves, "verbose": -1, "seed": 0, "num_threads": 1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(columns, right, group=lists), 30)
    trees = Trees.of(booster.model_to_string())

    assert len(trees) == 30
    assert trees.sums(columns).tolist() == booster.predict(columns, raw_score=True).tolist()
    for n in range(9):
        assert trees.sums(columns[:n]).tolist() == trees.sums(columns)[:n].tolist()


def test_a_tree_of_more_leaves_than_can_be_told_apart_is_refused():
    columns = np.arange(100, dtype=np.float32)[:, None]
    parameters = {"num_leaves": 33, "min_data_in_leaf": 1, "min_data_in_bin": 1, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(columns, columns[:, 0]), 1)

    with pytest.raises(ValueError, match="a tree has 33 leaves; at most 32 can be told apart"):
        Trees.of(booster.model_to_string())
