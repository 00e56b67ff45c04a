"""Off-policy estimates of what rankings earn, place by place.

The weight of a whole list is a product over its places, and useless beyond a few of them. What can be assumed of the
reader shortens it. With w_k the target's probability of the item at place k over the logging policy's:

* ``independent``: a place's reward depends on its own item only, and w_k is the ratio of the probabilities of the item
  at that place over all lists. Source: Li et al., "Offline evaluation of ranking policies with click models", KDD 2018,
  the item-position model.
* ``cascade``: it may depend on the items above too, as the list is read from the top down: w_1 x ... x w_k. Source:
  McInerney et al., "Counterfactual evaluation of slate recommendations with sequential reward interactions" (reward
  interaction IPS), KDD 2020.
* ``whole list``: it may depend on every item of the list: w_1 x ... x w_K.

The last two need probabilities given the items above, the first those over all lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.off_policy.estimators import self_normalised
from evaluation.off_policy.logs import Floats, LoggedRankings
from features.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Places:
    """Logged rankings as a table, one row for each ranking and one column for each place.

    Attributes:
        shown: Whether the ranking has the place; shape (rankings, places).
        reward: 0 where it has not; the same shape.
        weight: The importance weights under each assumption; 1 where it has not; the same shape.
    """

    shown: NDArray[np.bool_]
    reward: Floats
    weight: Mapping[str, Floats]


def places_of(log: LoggedRankings) -> Places:
    """Return ``log`` as a table, with the weights of every assumption that its probabilities allow.

    Raises:
        InvalidInput: probabilities are given the items above and a ranking lacks a place above another.
    """
    rankings, row = np.unique(log.ranking, return_inverse=True)
    depths, column = np.unique(log.position, return_inverse=True)
    shown = np.zeros((len(rankings), len(depths)), dtype=bool)
    shown[row, column] = True
    reward: Floats = np.zeros(shown.shape)
    ratio: Floats = np.ones(shown.shape)
    reward[row, column] = log.reward
    ratio[row, column] = log.target / log.propensity
    if not log.given_above:
        return Places(shown, reward, {"independent": ratio})
    if depths[-1] != len(depths) or (shown[:, 1:] & ~shown[:, :-1]).any():
        raise InvalidInput("A place above another is missing; probabilities given the items above need all of them.")
    whole = np.broadcast_to(np.prod(ratio, axis=1, keepdims=True), shown.shape)
    cascade: Floats = np.cumprod(ratio, axis=1, dtype=np.float64)
    return Places(shown, reward, {"cascade": cascade, "whole list": whole})


def ranking_ips(places: Places, weight: Floats) -> Floats:
    """Return the terms of IPS: sum over places of weight times reward; shape (rankings,)."""
    return np.sum(weight * places.reward * places.shown, axis=1)


def ranking_snips(places: Places, weight: Floats) -> Floats:
    """Return the terms of IPS normalised by the mean weight of each place; shape (rankings,).

    Raises:
        InvalidInput: every weight of a place is 0.
    """
    terms = np.zeros(len(places.shown))
    for place in range(places.shown.shape[1]):
        there = places.shown[:, place]
        terms[there] += self_normalised(weight[there, place], places.reward[there, place])
    return terms
