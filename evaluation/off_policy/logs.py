"""The logs that off-policy estimates are made of, checked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features.errors import InvalidInput

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LoggedDecisions:
    """Decisions of a logging policy, and how probable they are under the target policy; one row each.

    Attributes:
        reward: What came of the decision, finite, of any sign; shape (n,).
        propensity: Probability, above 0 and at most 1, with which the logging policy chose the logged arm; shape (n,).
        target: Probability, 0 to 1, with which the target policy chooses the logged arm there; shape (n,).
        unit: Whose decision it was, as whole numbers; decisions of one unit may depend on each other. Shape (n,); each
            decision is its own unit where not given.
        predicted: A reward model's expected reward of the logged arm, shape (n,). Where given, the model must not have
            been fitted on the row (``reward_model.predictions``).
        predicted_value: The same model's expected reward under the target policy: sum over all arms of the target
            probability times the expected reward; shape (n,).
        unsupported_share: Share of the target policy's choices that are arms never logged, 0 to 1, where it is known.

    Raises:
        InvalidInput: a value is not like that, or there is no row.
    """

    reward: Floats
    propensity: Floats
    target: Floats
    unit: Codes | None = None
    predicted: Floats | None = None
    predicted_value: Floats | None = None
    unsupported_share: float | None = None

    def __post_init__(self) -> None:
        n = len(self.reward)
        if n == 0:
            raise InvalidInput("There is no logged decision. Give at least one row.")
        columns = {"reward": self.reward, "propensity": self.propensity, "target": self.target, "unit": self.unit}
        columns |= {"predicted": self.predicted, "predicted_value": self.predicted_value}
        for name, column in columns.items():
            if column is not None and column.shape != (n,):
                raise InvalidInput(
                    f"There are {n} rewards and {name} has shape {column.shape}; one for each row is due."
                )
        if (self.predicted is None) != (self.predicted_value is None):
            raise InvalidInput("Give both predicted and predicted_value, or neither.")
        for name in ("reward", "predicted", "predicted_value"):
            if (column := columns[name]) is not None:
                _refuse(~np.isfinite(column), column, name, "finite")
        check_probabilities(self.propensity, self.target)

    def __len__(self) -> int:
        return len(self.reward)

    @cached_property
    def weight(self) -> Floats:
        """Importance weights: target probability over propensity; shape (n,)."""
        return self.target / self.propensity


@dataclass(frozen=True, eq=False)
class LoggedRankings:
    """Rankings of a logging policy and what each place of them earned; one row for each place of each ranking.

    Attributes:
        ranking: Which ranking the row belongs to, whole numbers; shape (n,).
        position: The place, 1 at the top; each once in a ranking; shape (n,).
        reward: What came of the item there, finite; shape (n,).
        propensity: Probability, above 0 and at most 1, that the logging policy puts the item there; shape (n,).
        target: The same of the target policy, 0 to 1; shape (n,).
        given_above: Whether both probabilities are given the items above (a list drawn from the top down); else each is
            the probability of the item at that place over all lists.

    Raises:
        InvalidInput: a value is not like that, or there is no row.
    """

    ranking: Codes
    position: Codes
    reward: Floats
    propensity: Floats
    target: Floats
    given_above: bool

    def __post_init__(self) -> None:
        n = len(self.reward)
        if n == 0:
            raise InvalidInput("There is no logged ranking. Give at least one row.")
        for name in ("ranking", "position", "propensity", "target"):
            if (shape := getattr(self, name).shape) != (n,):
                raise InvalidInput(f"There are {n} rewards and {name} has shape {shape}; one for each row is due.")
        _refuse(~np.isfinite(self.reward), self.reward, "reward", "finite")
        _refuse(self.position < 1, self.position, "position", "1 or more")
        check_probabilities(self.propensity, self.target)
        places = np.stack([self.ranking, self.position], axis=1)
        unique, counts = np.unique(places, axis=0, return_counts=True)
        if (counts > 1).any():
            ranking, position = unique[counts > 1][0]
            raise InvalidInput(
                f"{int((counts > 1).sum())} places are given twice (first: ranking {ranking}, position {position}). "
                "Give each place of a ranking once."
            )


def check_probabilities(propensity: Floats, target: Floats) -> None:
    """Refuse probabilities that are missing or out of range.

    Raises:
        InvalidInput: a propensity is not above 0 and at most 1, or a target probability not between 0 and 1.
    """
    _refuse(~((propensity > 0) & (propensity <= 1)), propensity, "propensity", "above 0 and at most 1")
    _refuse(~((target >= 0) & (target <= 1)), target, "target probability", "between 0 and 1")


def _refuse(bad: NDArray[np.bool_], column: NDArray[np.generic], name: str, allowed: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        what = "missing" if column[row] != column[row] else column[row]
        raise InvalidInput(
            f"{int(bad.sum())} of {len(bad)} rows have a {name} that is not {allowed} (first: row {row + 1}, {what}). "
            "Correct them or leave these rows out."
        )
