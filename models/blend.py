"""One ranking learned from what all the other scorers know."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from features.errors import InvalidInput
from features.interactions import History, IntArray
from features.settings import Settings
from models.scorer import Arrays, Features, Reason, Scorer, Scores, best_first
from models.trees import MOST_LEAVES, Trees

if TYPE_CHECKING:
    import lightgbm

BASE = "base"
"""Name of the part of a score that is the same for every item."""
ABOVE_LEAST = 1e-3
"""What the least possible score is."""


class BlendSettings(Settings):
    """How candidates are gathered, and how the trees are grown."""

    candidates: dict[str, NonNegativeInt] = {
        "buy-again": 250,
        "item-to-item": 120,
        "als": 150,
        "affinity": 150,
        "popularity": 100,
    }
    """How many items each part proposes, at most; with 0 it only says what it knows of those that others propose."""
    objective: Literal["binary", "lambdarank"] = "binary"
    """What the trees are grown for: the odds of each item alone, or the order of the candidates of one list."""
    trees: PositiveInt = 200
    """How many trees are added up."""
    leaves: int = Field(default=15, ge=2, le=MOST_LEAVES)
    """How many leaves a tree has, at most."""
    learning_rate: PositiveFloat = 0.07
    """How much of what a tree finds is taken over."""
    least_rows: PositiveInt = 100
    """How many training rows a leaf holds, at least."""
    lambda_l2: float = Field(default=10.0, ge=0)
    """How strongly the values of leaves are drawn towards 0."""
    threads: PositiveInt = 1
    """How many threads grow the trees."""

    def require_parts(self, names: Collection[str]) -> None:
        """Check that each of the parts ``names``, and nothing else, has a count of candidates, one of them above 0.

        Raises:
            ValueError: that is not so; for the validators of who has the parts.
        """
        if self.candidates.keys() != set(names):
            raise ValueError(
                f"blend.candidates names {', '.join(self.candidates) or 'nothing'}; a count is due for each of "
                f"{', '.join(names)}, 0 for one that proposes nothing"
            )
        if not any(self.candidates.values()):
            raise ValueError("no part proposes anything; give one of blend.candidates a count above 0")


@dataclass(frozen=True)
class Blend(Scorer):
    """Scores an item by the logarithm of its odds to be bought soon, up to a constant, above 0.

    Gradient-boosted trees (LightGBM) over the columns of all parts, learned from what people bought in a period given
    what the parts, fitted on the time before it, knew at its start. The constant makes the least possible score 0.
    With the objective ``lambdarank`` the score orders one list and is no odds (Burges, From RankNet to LambdaRank to
    LambdaMART: An Overview, 2010).

    Attributes:
        parts: The scorers it is composed of, by name.
        model: uint8; the trees, as LightGBM's text.

    Raises:
        ValueError: the trees learned from other columns than those of the parts.
    """

    name: ClassVar[str] = "blend"

    config: BlendSettings
    parts: Mapping[str, Scorer]
    model: NDArray[np.uint8]

    def __post_init__(self) -> None:
        # Trees know columns by their number: one more or less in any part, and they would look at the wrong ones.
        learned = re.search(rb"^feature_names=(.*)$", self.model.tobytes(), re.MULTILINE)
        if learned is None or learned[1].decode().split() != _names_in_text(self.parts):
            raise ValueError("the trees learned from other columns than those that the parts have now")

    @property
    def feature_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the columns of all parts: ``part.feature``."""
        return tuple(column_names(self.parts))

    @classmethod
    def fit(
        cls,
        parts: Mapping[str, Scorer],
        columns: Features,
        bought: NDArray[np.bool_],
        config: BlendSettings,
        rng: Generator,
        list_lengths: NDArray[np.int64] | None = None,
    ) -> Self:
        """Return the blend of ``parts`` that tells rows of ``columns`` that were bought from others.

        ``list_lengths`` says how many rows, in their order, are candidates of one list; ``lambdarank`` needs it.

        Raises:
            InvalidInput: none or all of the rows were bought.
        """
        if not bought.any() or bought.all():
            raise InvalidInput(
                f"{np.count_nonzero(bought)} of {len(bought)} examples were bought; the blend learns from both kinds. "
                "Fit another model, or let its examples cover a longer time (horizon_days)."
            )
        parameters = {
            "objective": config.objective,
            "num_leaves": config.leaves,
            "learning_rate": config.learning_rate,
            "min_data_in_leaf": config.least_rows,
            "lambda_l2": config.lambda_l2,
            "feature_fraction": 0.3,
            "bagging_fraction": 0.7,
            "bagging_freq": 1,
            "max_bin": 63,
            "deterministic": True,
            "force_row_wise": True,
            "seed": int(rng.integers(2**31)),
            "num_threads": config.threads,
            "verbose": -1,
        }
        lists = list_lengths if config.objective == "lambdarank" else None
        import lightgbm  # here: what answers needs none of it but to explain, and it is large

        data = lightgbm.Dataset(columns, bought, group=lists, feature_name=_names_in_text(parts))
        text = lightgbm.train(parameters, data, config.trees).model_to_string()
        return cls(config, parts, np.frombuffer(text.encode(), dtype=np.uint8))

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        """Return the log-odds above the least possible."""
        return self.scores_of(self.features(history, items, now)) if len(items) else np.zeros(0, dtype=np.float32)

    def scores_of(self, columns: Features) -> Scores:
        """Return the log-odds above the least possible of each row of what ``features`` returns; at least one."""
        return (self.trees.sums(columns) - self.trees.least + ABOVE_LEAST).astype(np.float32)

    def staged_scores_of(self, columns: Features, every: int) -> Iterator[tuple[int, Scores]]:
        """Yield a number of trees and what these alone make of each row of ``columns``, ``every`` trees more each time.

        The last scores are those of ``scores_of``, up to rounding and a constant.
        """
        total = np.zeros(len(columns))
        for start in range(0, len(self.trees), every):
            end = min(start + every, len(self.trees))
            total += self.trees.sums(columns, start, end)
            yield end, total.astype(np.float32)

    def features(self, history: History, items: IntArray, now: datetime) -> Features:
        """Return the columns of all parts, side by side."""
        return columns_of(self.parts, history, items, now)

    def contributions(self, history: History, items: IntArray, now: datetime) -> dict[str, Scores]:
        """Return what each part's columns add to the score (SHAP values of the trees), and ``base``.

        Lundberg et al., From local explanations to global understanding with explainable AI for trees (2020).
        """
        if not len(items):
            return {name: np.zeros(0, dtype=np.float32) for name in (*self.parts, BASE)}
        shap = np.asarray(self._booster.predict(self.features(history, items, now), pred_contrib=True, num_threads=1))
        names = sorted(self.parts)
        ends = np.cumsum([len(self.parts[name].feature_names) for name in names])
        found = {
            name: part.sum(axis=1).astype(np.float32)
            for name, part in zip(names, np.split(shap[:, :-1], ends[:-1], axis=1), strict=True)
        }
        return found | {BASE: (shap[:, -1] - self.trees.least + ABOVE_LEAST).astype(np.float32)}

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return the ``n`` best of what the parts propose."""
        pool = self.proposed(history, n, now)
        return best_first(pool, self.scores(history, pool, now), n)

    def proposed(self, history: History, n: int, now: datetime) -> IntArray:
        """Return what the parts propose, whatever ``n``; ascending."""
        return proposed(self.parts, self.config.candidates, history, now)

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return the reason of the part that adds most to the score, of those that have one."""
        return self.reasons(history, np.array([item], dtype=np.int32), now)[0]

    def reasons(self, history: History, items: IntArray, now: datetime) -> list[Reason | None]:
        """Return for each of ``items`` the reason of the part that adds most to its score, of those that have one."""
        shares = self.contributions(history, items, now)
        names = list(self.parts)
        order = np.argsort(-np.stack([shares[name] for name in names], axis=1), axis=1, kind="stable")
        return [
            next(
                (reason for at in ranked if (reason := self.parts[names[at]].reason(history, item, now)) is not None),
                None,
            )
            for item, ranked in zip(items.tolist(), order.tolist(), strict=True)
        ]

    def arrays(self) -> Arrays:
        """Return the trees."""
        return {"model": self.model}

    @classmethod
    def from_arrays(cls, config: Settings, arrays: Arrays, parts: Mapping[str, Scorer]) -> Self:
        """Return the scorer that ``arrays`` and ``parts`` describe."""
        config = BlendSettings.model_validate(config)
        return cls(config, {name: parts[name] for name in config.candidates}, arrays["model"])

    @cached_property
    def trees(self) -> Trees:
        """The trees, ready to be added up."""
        return Trees.of(self.model.tobytes().decode())

    @cached_property
    def _booster(self) -> lightgbm.Booster:
        import lightgbm

        return lightgbm.Booster(model_str=self.model.tobytes().decode())


def proposed(parts: Mapping[str, Scorer], counts: Mapping[str, int], history: History, now: datetime) -> IntArray:
    """Return what ``parts`` propose, at most as many as ``counts`` says of each; ascending, none twice."""
    found = [parts[name].candidates(history, n, now) for name, n in counts.items() if n]
    return np.unique(np.concatenate(found)) if len(found) > 1 else np.sort(found[0])


def columns_of(parts: Mapping[str, Scorer], history: History, items: IntArray, now: datetime) -> Features:
    """Return the features of all ``parts``, side by side; shape (len(items), len(column_names(parts)))."""
    return np.concatenate([parts[name].features(history, items, now) for name in sorted(parts)], axis=1)


def _names_in_text(parts: Mapping[str, Scorer]) -> list[str]:
    """Return the names of the columns as LightGBM's text may have them."""
    return [re.sub(r"[:\s]", "_", name) for name in column_names(parts)]


def column_names(parts: Mapping[str, Scorer]) -> list[str]:
    """Return the name of each column of ``columns_of``: ``part.feature``."""
    return [f"{name}.{feature}" for name in sorted(parts) for feature in parts[name].feature_names]
