"""The choice of models and of their settings, by what they find among the answers of a validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from numpy.random import Generator
from optuna.trial import BaseTrial

from evaluation import ranking_metrics
from evaluation.ranking_metrics import NO_ITEM, Judged
from features.interactions import IntArray
from features.settings import Settings
from features.snapshot import Snapshot
from models.affinity import Affinity, AffinitySettings
from models.als import ALS, ALSSettings
from models.analogies import Analogies, AnalogiesSettings
from models.blend import BlendSettings
from models.buy_again import BuyAgain, BuyAgainSettings
from models.content_regression import ContentRegression, ContentRegressionSettings
from models.demand import Demand, DemandSettings
from models.embeddings import Embeddings, EmbeddingsSettings
from models.history_shape import HistoryShape, HistoryShapeSettings
from models.item_to_item import ItemToItem, ItemToItemSettings
from models.linear_item_model import LinearItemModel, LinearItemModelSettings
from models.own_frequency import OwnFrequency, OwnFrequencySettings
from models.popularity import Popularity, PopularitySettings
from models.scorer import Scorer
from models.similar_histories import SimilarHistories, SimilarHistoriesSettings
from models.spectral import Spectral, SpectralSettings
from models.successors import Successors, SuccessorsSettings
from models.titles import Titles, TitlesSettings
from models.values import Values, ValuesSettings
from models.walks import Walks, WalksSettings
from training.datasets import Questions
from training.studies import Studies

Fit = Callable[[Snapshot, Any, Generator], Scorer]


@dataclass(frozen=True, slots=True)
class Part:
    """A scorer that a blend may be made of.

    Attributes:
        fit: Returns it, fitted.
        space: Returns settings that a trial suggests, given the data.
        start: Values that often do well, of what the space varies: the first trial. Where it varies nothing, there is
            none: the part answers nothing by itself, and only says what it knows of what others propose.
        suits: Whether it makes sense, given the data.
        share: How much of the time for trials is its own, where that of most others is 1.
        quickly: Settings that make a trial quick, where fits are slow: they order the others much as a whole fit does.
    """

    fit: Fit
    space: Callable[[BaseTrial, Data], Settings]
    start: Mapping[str, float]
    suits: Callable[[Data], bool] = lambda data: True
    share: float = 1.0
    quickly: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Data:
    """What the spaces depend on.

    Attributes:
        repeats: Whether an item of the history may be an answer.
        ordered: Whether the order of a history tells anything.
        timed: Whether times tell anything beyond the order.
        dated: Whether it is asked at one moment what is bought in the days after it.
        described: Whether items have titles or values.
        span_days: From the first interaction to the last.
        n_items: How many items there are.
    """

    repeats: bool
    ordered: bool
    timed: bool
    dated: bool
    described: bool
    span_days: float
    n_items: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Settings, and how well they did.

    Attributes:
        settings: Those of the best trial.
        ndcg: What it reached alone, in its trial, on the sample of the validation that was asked.
        trials: How many there were.
    """

    settings: Settings
    ndcg: float
    trials: int


def _history(trial: BaseTrial, data: Data) -> dict[str, Any]:
    decay = trial.suggest_float("step_decay", 0.3, 1.0) if data.ordered else 1.0
    return {"step_decay": decay, "recent_interactions": 50 if data.ordered else 1000, **_half_life(trial, data, "")}


def _half_life(trial: BaseTrial, data: Data, of: str) -> dict[str, Any]:
    name = f"{of}half_life_days"
    return {name: trial.suggest_float(name, 1.0, 10_000.0, log=True)} if data.timed else {}


def _succession(trial: BaseTrial, data: Data) -> dict[str, Any]:
    return {
        "repeats": data.repeats,
        "distance_decay": trial.suggest_float("distance_decay", 0.4, 1.0) if data.ordered else 1.0,
        "distance": 20 if data.ordered else 100,
        "length_exponent": trial.suggest_float("length_exponent", 0.0, 2.0),
        **_half_life(trial, data, "gap_"),
        "pair_half_life_days": data.span_days * trial.suggest_float("pair_half_life_spans", 0.1, 10.0, log=True),
    }


def _successors(trial: BaseTrial, data: Data) -> Settings:
    return SuccessorsSettings(
        **_history(trial, data),
        **_succession(trial, data),
        own_exponent=trial.suggest_float("own_exponent", 0.0, 1.0),
        neighbour_exponent=trial.suggest_float("neighbour_exponent", 0.0, 0.6),
    )


def _walks(trial: BaseTrial, data: Data) -> Settings:
    return WalksSettings(
        **_history(trial, data),
        **_succession(trial, data),
        backward=trial.suggest_float("backward", 0.0, 1.0) if data.ordered else 1.0,
        popularity_exponent=trial.suggest_float("popularity_exponent", 0.0, 0.6),
        steps=trial.suggest_int("steps", 2, 3),
    )


def _linear(trial: BaseTrial, data: Data) -> Settings:
    order: dict[str, Any] = {"ordered": data.ordered}
    if data.ordered:
        order["past_decay"] = trial.suggest_float("past_decay", 0.3, 0.9)
        order["future_decay"] = trial.suggest_float("future_decay", 0.2, 0.9)
    return LinearItemModelSettings(
        **_history(trial, data),
        **order,
        repeats=data.repeats,
        predictors=120 if data.ordered else 80,
        length_exponent=(length_exponent := trial.suggest_float("length_exponent", 0.0, 0.8)),
        # What a history counts less, the ridge is less needed for.
        ridge=trial.suggest_float("ridge", 5.0, 200.0, log=True) * 10**-length_exponent,
    )


def _item_to_item(trial: BaseTrial, data: Data) -> Settings:
    return ItemToItemSettings(
        neighbours=200,
        half_life_days=36_500,
        recent_items=1000,
        own_exponent=trial.suggest_float("own_exponent", 0.3, 1.0),
        neighbour_exponent=trial.suggest_float("neighbour_exponent", 0.0, 0.6),
        length_exponent=trial.suggest_float("length_exponent", 0.0, 1.2),
    )


def _als(trial: BaseTrial, data: Data) -> Settings:
    return ALSSettings(
        half_life_days=36_500,
        factors=trial.suggest_int("factors", 64, 256, log=True),
        regularization=trial.suggest_float("regularization", 0.1, 50.0, log=True),
        alpha=trial.suggest_float("alpha", 2.0, 50.0, log=True),
        iterations=8,
        least_users=1,
    )


def _similar_histories(trial: BaseTrial, data: Data) -> Settings:
    order: dict[str, Any] = {"step_decay": 1.0, "distance_decay": 1.0, "backward": 1.0, "interactions": 1000}
    if data.ordered:
        order = {
            "step_decay": trial.suggest_float("step_decay", 0.3, 1.0),
            "distance_decay": trial.suggest_float("distance_decay", 0.5, 1.0),
            "backward": trial.suggest_float("backward", 0.3, 1.0),
            "half_life_days": data.span_days * trial.suggest_float("half_life_spans", 0.05, 10.0, log=True),
        }
    return SimilarHistoriesSettings(
        **order,
        item_exponent=trial.suggest_float("item_exponent", 0.0, 1.0),
        length_exponent=trial.suggest_float("length_exponent", 0.0, 1.0),
        popularity_exponent=trial.suggest_float("popularity_exponent", 0.0, 0.6),
    )


def _titles(trial: BaseTrial, data: Data) -> Settings:
    return TitlesSettings(
        **_history(trial, data),
        words=trial.suggest_int("words", 1, 2),
        largest_share=trial.suggest_float("largest_share", 0.02, 0.5, log=True),
    )


def _values(trial: BaseTrial, data: Data) -> Settings:
    return ValuesSettings(
        **_history(trial, data), largest_share=trial.suggest_float("largest_share", 0.02, 0.3, log=True)
    )


def _analogies(trial: BaseTrial, data: Data) -> Settings:
    return AnalogiesSettings(
        **_successors(trial, data).model_dump(),
        values_weight=trial.suggest_float("values_weight", 0.0, 1.0),
        likeness_weight=trial.suggest_float("likeness_weight", 0.1, 1.0, log=True),
    )


def _content(trial: BaseTrial, data: Data) -> Settings:
    return ContentRegressionSettings(
        **_history(trial, data),
        repeats=data.repeats,
        past_decay=0.6,
        ridge=trial.suggest_float("ridge", 10.0, 300.0, log=True),
        values_weight=trial.suggest_float("values_weight", 0.0, 1.0),
    )


def _embeddings(trial: BaseTrial, data: Data) -> Settings:
    return EmbeddingsSettings(
        repeats=data.repeats,
        temperature=trial.suggest_float("temperature", 0.05, 0.2, log=True),
        half_life_days=data.span_days * trial.suggest_float("half_life_spans", 0.1, 10.0, log=True),
        alike=3 if data.described and data.n_items <= MOST_ITEMS_SQUARED else 0,
    )


def _own_frequency(trial: BaseTrial, data: Data) -> Settings:
    unit = 1.0 if data.timed else STEP_DAYS
    return OwnFrequencySettings(half_life_days=unit * trial.suggest_float("half_life", 0.5, 50.0, log=True))


def _popularity(trial: BaseTrial, data: Data) -> Settings:
    return PopularitySettings(half_life_days=data.span_days * trial.suggest_float("spans", 0.02, 2.0, log=True))


def _demand(trial: BaseTrial, data: Data) -> Settings:
    return DemandSettings(window_days=max(1.0, data.span_days / 100))


def _buy_again(trial: BaseTrial, data: Data) -> Settings:
    return BuyAgainSettings(half_life_days=trial.suggest_float("half_life_days", 15.0, 240.0, log=True))


def _affinity(trial: BaseTrial, data: Data) -> Settings:
    return AffinitySettings(half_life_days=trial.suggest_float("half_life_days", 15.0, 240.0, log=True))


_HISTORY: Final = {"step_decay": 0.6, "half_life_days": 1_000.0}
_SUCCESSION: Final = {
    **_HISTORY,
    "distance_decay": 0.7,
    "length_exponent": 1.0,
    "gap_half_life_days": 300.0,
    "pair_half_life_spans": 2.0,
    "own_exponent": 0.4,
    "neighbour_exponent": 0.05,
}
_WALKS: Final = {
    **_SUCCESSION,
    "distance_decay": 0.8,
    "length_exponent": 0.1,
    "pair_half_life_spans": 0.5,
    "backward": 0.8,
    "popularity_exponent": 0.3,
    "steps": 3,
}
_SIMILAR_HISTORIES: Final = {
    "step_decay": 0.6,
    "distance_decay": 0.9,
    "backward": 0.8,
    "half_life_spans": 0.25,
    "item_exponent": 0.5,
    "length_exponent": 0.2,
    "popularity_exponent": 0.3,
}
_LINEAR: Final = {**_HISTORY, "past_decay": 0.5, "future_decay": 0.5, "length_exponent": 0.2, "ridge": 45.0}
_ANALOGIES: Final = {**_SUCCESSION, "values_weight": 0.2, "likeness_weight": 0.5}

MOST_ITEMS_SQUARED: Final = 50_000
"""Of so many items all can be compared with all in each fit: of twice as many, that alone takes minutes."""

PARTS: Final[dict[str, Part]] = {
    Successors.name: Part(Successors.fit, _successors, _SUCCESSION, lambda data: data.ordered),
    LinearItemModel.name: Part(LinearItemModel.fit, _linear, _LINEAR),
    ItemToItem.name: Part(
        ItemToItem.fit,
        _item_to_item,
        {"own_exponent": 0.5, "neighbour_exponent": 0.3, "length_exponent": 0.8},
        lambda data: not data.ordered,
    ),
    ALS.name: Part(
        ALS.fit, _als, {"factors": 192, "regularization": 5.0, "alpha": 13.0}, lambda data: not data.ordered
    ),
    Spectral.name: Part(Spectral.fit, lambda trial, data: SpectralSettings(), {}, lambda data: not data.ordered),
    Walks.name: Part(Walks.fit, _walks, _WALKS, lambda data: data.ordered),
    SimilarHistories.name: Part(SimilarHistories.fit, _similar_histories, _SIMILAR_HISTORIES),
    Titles.name: Part(Titles.fit, _titles, {**_HISTORY, "words": 2, "largest_share": 0.2}, lambda data: data.described),
    Values.name: Part(Values.fit, _values, {**_HISTORY, "largest_share": 0.1}, lambda data: data.described),
    Analogies.name: Part(Analogies.fit, _analogies, _ANALOGIES, lambda data: data.ordered and data.described),
    OwnFrequency.name: Part(OwnFrequency.fit, _own_frequency, {"half_life": 2.0}, lambda data: data.repeats),
    BuyAgain.name: Part(BuyAgain.fit, _buy_again, {"half_life_days": 60.0}, lambda data: data.dated),
    Affinity.name: Part(Affinity.fit, _affinity, {"half_life_days": 60.0}, lambda data: data.dated and data.described),
    Popularity.name: Part(Popularity.fit, _popularity, {"spans": 0.1}),
    # Sessions to come are asked for long after what is known: nothing was in demand then.
    Demand.name: Part(Demand.fit, _demand, {}, lambda data: data.timed and (data.dated or not data.repeats)),
    HistoryShape.name: Part(HistoryShape.fit, lambda trial, data: HistoryShapeSettings(), {}),
    # What takes long to fit comes last: to it falls the time that the others leave.
    ContentRegression.name: Part(
        ContentRegression.fit,
        _content,
        {**_HISTORY, "ridge": 60.0, "values_weight": 0.2},
        lambda data: data.ordered and data.described and data.n_items <= MOST_ITEMS_SQUARED,
    ),
    Embeddings.name: Part(
        Embeddings.fit,
        _embeddings,
        {"temperature": 0.09, "half_life_spans": 0.5},
        lambda data: data.ordered,
        share=4.0,
        quickly={"epochs": 2},
    ),
}
"""What a blend may be made of, by name."""

STEP_DAYS: Final = 1 / 86_400
"""What lies between two interactions of which only the order is known."""

BLENDS: Final = tuple(
    BlendSettings(
        objective="lambdarank",
        candidates={},
        leaves=leaves,
        trees=trees,
        least_rows=least,
        learning_rate=0.05,
        threads=2,
    )
    for leaves, trees, least in ((31, 300, 500), (15, 200, 200))
)
"""The blends to choose from, the likeliest first: where there is much to learn from, time allows for no other. The
``candidates`` are filled in."""


def best_settings(
    name: str,
    data: Data,
    snapshot: Snapshot,
    questions: Questions,
    studies: Studies,
    trials: int,
    until_s: float,
    rng: Generator,
    workers: Executor,
    at_once: int,
    advance: Callable[[], None] = lambda: None,
) -> Choice:
    """Return the settings with which the part ``name``, fitted on ``snapshot``, does best on ``questions``, by NDCG@20.

    It tries ``trials`` of them at most, and one at the least, ``at_once`` of them in ``workers``; see ``Studies.best``.
    """
    part = PARTS[name]
    if not part.start:
        return Choice(part.space(optuna.trial.FixedTrial({}), data), 0.0, 0)
    seed = int(rng.integers(2**31))

    def ndcg(trial: BaseTrial) -> Future[float]:
        settings = part.space(trial, data).model_copy(update=part.quickly)
        return workers.submit(_ndcg_alone, name, settings, seed, snapshot.folder, questions, data.repeats)

    study = studies.best(name, ndcg, part.start, trials, at_once, until_s, seed, advance)
    settings = part.space(optuna.trial.FixedTrial(study.best_params), data)
    return Choice(settings, study.best_value, len(study.trials))


def _ndcg_alone(name: str, settings: Settings, seed: int, snapshot: Path, questions: Questions, repeats: bool) -> float:
    scorer = PARTS[name].fit(_snapshot(snapshot), settings, np.random.default_rng(seed))
    return float(ranking_metrics.ndcg(judged_alone(scorer, questions, repeats, 20), 20).mean())


@lru_cache(1)
def _snapshot(folder: Path) -> Snapshot:
    return Snapshot.load(folder)


def judged_alone(scorer: Scorer, questions: Questions, repeats: bool, places: int) -> Judged:
    """Return what ``scorer`` finds by itself."""
    rankings = np.full((len(questions), places), NO_ITEM, np.int32)
    for number in range(len(questions)):
        history = questions.histories.of(number)
        found = without_history(
            scorer.candidates(history, places + (0 if repeats else len(history)), questions.asked_at(number)),
            history.item,
            repeats,
        )[:places]
        rankings[number, : len(found)] = found
    return ranking_metrics.judged(rankings, questions.relevant)


def without_history(items: IntArray, history: IntArray, repeats: bool) -> IntArray:
    """Return ``items`` that are not in ``history``; all of them where ``repeats`` are answers."""
    return items if repeats else items[~np.isin(items, history)]
