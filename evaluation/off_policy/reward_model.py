"""Expected rewards of arms in contexts, for the direct method and doubly robust."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from evaluation.off_policy.logs import Codes, Floats

CATEGORIES = 254
"""Of one column that are told apart, the most frequent ones; the learner takes 255, one is for the rest."""

ROWS_AT_A_TIME = 200_000


@dataclass(frozen=True, slots=True)
class Target:
    """A policy given as a table.

    Attributes:
        probabilities: Of each arm in each group of decisions, rows of sum 1; shape (groups, arms).
        group: The group of each decision; shape (n,).
    """

    probabilities: Floats
    group: Codes

    def of(self, arm: Codes | int) -> Floats:
        """Return the probability of ``arm`` (one for all decisions, or one for each) at each decision; shape (n,)."""
        return self.probabilities[self.group, arm]


def predictions(
    arm: Codes,
    reward: Floats,
    target: Target,
    context: Floats,
    categorical: NDArray[np.bool_],
    fold: Codes,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Return the expected reward of each logged arm, and the expected reward under ``target``; both shape (n,).

    Gradient-boosted trees on the arm and the context, fitted for each fold on the others (cross-fitting), so that no
    row is predicted by a model that saw it and doubly robust keeps its interval.

    Source: Chernozhukov et al., "Double/debiased machine learning", Econometrics Journal 2018, for cross-fitting.

    Args:
        arm: Index of the logged arm among those of ``target``; shape (n,).
        reward: Shape (n,).
        target: The policy whose expected reward is wanted.
        context: What was known at the decision, categories as codes from 0; missing ones are nan. Shape (n, d).
        categorical: Which columns of ``context`` are categories; shape (d,).
        fold: Fold of each row; rows that depend on each other have the same. Shape (n,).
        rng: Draws the rows that stop the boosting early.
    """
    known = np.full(target.probabilities.shape[1], np.nan)  # an arm that was never logged is a missing value
    frequent = np.argsort(-np.bincount(arm, minlength=len(known)), kind="stable")
    known[frequent] = np.minimum(np.arange(len(known)), CATEGORIES)
    known[np.bincount(arm, minlength=len(known)) == 0] = np.nan
    predicted, value = np.zeros(len(arm)), np.zeros(len(arm))
    for one in np.unique(fold):
        held, rest = fold == one, fold != one
        model = HistGradientBoostingRegressor(
            learning_rate=0.05,
            max_leaf_nodes=15,
            early_stopping=True,
            categorical_features=np.concatenate(([True], categorical)),
            random_state=int(rng.integers(2**31)),
        ).fit(np.column_stack([known[arm[rest]], context[rest]]), reward[rest])
        predicted[held] = model.predict(np.column_stack([known[arm[held]], context[held]]))
        choices = np.flatnonzero(target.probabilities.any(axis=0))
        # Many arms at a time: a call costs as much as a few thousand rows.
        for some in np.array_split(choices, max(1, len(choices) * held.sum() // ROWS_AT_A_TIME)):
            of_each = np.column_stack([np.repeat(known[some], held.sum()), np.tile(context[held], (len(some), 1))])
            expected = model.predict(of_each).reshape(len(some), -1)
            value[held] += np.sum(expected * target.probabilities[target.group[held]][:, some].T, axis=0)
    return predicted, value
