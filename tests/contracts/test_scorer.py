"""What every scorer promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.interactions import History
from features.snapshot import Snapshot
from models.analogies import Analogies
from models.bundle import settings_class
from models.content_regression import ContentRegression
from models.demand import Demand
from models.embeddings import Embeddings
from models.history_shape import HistoryShape
from models.linear_item_model import LinearItemModel
from models.merged import Merged, MergedSettings
from models.newcomers import Newcomers
from models.scorer import Scorer
from models.similar_histories import SimilarHistories
from models.spectral import Spectral
from models.successors import Successors
from models.titles import Titles
from models.values import Values
from models.walks import Walks
from models.weighted_sum import WeightedSum, WeightedSumSettings
from tests.worlds import NOW, event, item, snapshot
from training.fit import MODELS, BlendedSettings

MODEL_NAMES = tuple(name for name in MODELS if name != "composed")  # a blend of others, and called one
PARTS: tuple[
    type[
        Successors
        | LinearItemModel
        | Walks
        | SimilarHistories
        | Spectral
        | Titles
        | Values
        | Analogies
        | ContentRegression
        | Embeddings
        | Newcomers
    ],
    ...,
] = (
    Successors,
    LinearItemModel,
    Walks,
    SimilarHistories,
    Spectral,
    Titles,
    Values,
    Analogies,
    ContentRegression,
    Embeddings,
    Newcomers,
)
"""Scorers that are fitted as parts of a blend alone."""
FOR_STRANGERS: tuple[type[Demand | HistoryShape], ...] = (Demand, HistoryShape)
"""Parts that say the same of an item whatever the history, or nothing."""
NAMES = (*MODEL_NAMES, *(part.name for part in (*PARTS, *FOR_STRANGERS)), WeightedSum.name, Merged.name)
CLUBS = 2
MEMBERS = 12
ITEMS_OF_A_CLUB = 6


def checkerboard(folder: Path) -> Snapshot:
    """Return a world of two clubs: everybody buys only items of their own club, some of them again and again.

    Items are named ``even-0`` ... and ``odd-0`` ...; nobody bought ``even-new`` and ``odd-new``, which have the colour
    of their club.
    """
    rng = np.random.default_rng(0)
    names = ("even", "odd")
    items = [
        item(f"{club}-{number}", colour=[club], size=[str(number)])
        for club in names
        for number in (*range(ITEMS_OF_A_CLUB), "new")
    ]
    events = []
    for member in range(CLUBS * MEMBERS):
        club = names[member % CLUBS]
        for week in range(16):
            chosen = rng.permutation(ITEMS_OF_A_CLUB)[:3]
            events += [event(f"{club}-{member:02}", f"{club}-{one}", 7.0 * week + 1 + one / 100) for one in chosen]
    return snapshot(folder, events, items)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return checkerboard(tmp_path_factory.mktemp("checkerboard") / "snapshot")


@pytest.fixture(scope="module")
def fitted(world: Snapshot) -> dict[str, Scorer]:
    config = BlendedSettings.of({"blend": {"trees": 20, "least_rows": 5}, "als": {"factors": 4}}, "test")
    scorers, _ = MODELS["blend"].fit(world, config, np.random.default_rng(0))
    for name in MODEL_NAMES:
        if name not in scorers:
            model = MODELS[name]
            scorers |= model.fit(world, model.settings(), np.random.default_rng(0))[0]
    for part in (*PARTS, *FOR_STRANGERS):
        scorers[part.name] = part.fit(world, settings_class(part)(), np.random.default_rng(0))
    weights = WeightedSumSettings(weights={"successors": 1.0, "titles": 0.5}, n_items=len(world.items))
    merged = Merged.of(scorers, MergedSettings(weights=weights.weights), len(world.items))
    return scorers | {WeightedSum.name: WeightedSum.from_arrays(weights, {}, scorers), Merged.name: merged}


@pytest.fixture(params=NAMES)
def scorer(request: pytest.FixtureRequest, fitted: dict[str, Scorer]) -> Scorer:
    return fitted[request.param]


def everything(world: Snapshot) -> np.ndarray:
    return np.arange(len(world.items), dtype=np.int32)


def some_histories(world: Snapshot) -> list[History]:
    return [History.empty(), *(world.interactions.of(user) for user in (0, 1, MEMBERS)), world.interactions.of(2)[-2:]]


def test_every_model_of_the_registry_is_fitted_under_its_own_name(fitted: dict[str, Scorer]) -> None:
    assert set(fitted) == set(NAMES)
    assert all(scorer.name == name for name, scorer in fitted.items())


def test_scores_are_finite_not_negative_and_the_same_each_time(scorer: Scorer, world: Snapshot) -> None:
    items = everything(world)
    for history in some_histories(world):
        scores = scorer.scores(history, items, NOW)
        assert scores.shape == items.shape
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        np.testing.assert_array_equal(scores, scorer.scores(history, items, NOW))


def test_the_score_of_an_item_does_not_depend_on_what_else_is_asked_for(scorer: Scorer, world: Snapshot) -> None:
    items = everything(world)
    for history in some_histories(world):
        together = scorer.scores(history, items, NOW)
        turned = scorer.scores(history, items[::-1].copy(), NOW)[::-1]
        alone = np.concatenate([scorer.scores(history, items[at : at + 1], NOW) for at in items])
        np.testing.assert_allclose(turned, together, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-6)


def test_no_items_have_no_scores(scorer: Scorer, world: Snapshot) -> None:
    none = np.zeros(0, np.int32)
    assert scorer.scores(world.interactions.of(0), none, NOW).shape == (0,)
    assert scorer.features(world.interactions.of(0), none, NOW).shape == (0, len(scorer.feature_names))


@pytest.mark.parametrize("n", [1, 3, 1000])
def test_candidates_are_items_best_first_none_twice_and_never_padded(scorer: Scorer, world: Snapshot, n: int) -> None:
    for history in some_histories(world):
        candidates = scorer.candidates(history, n, NOW)
        assert candidates.dtype == np.int32
        assert len(candidates) <= n
        assert len(np.unique(candidates)) == len(candidates)
        assert np.isin(candidates, everything(world)).all()
        scores = scorer.scores(history, candidates, NOW)
        assert (scores > 0).all()
        assert (np.diff(scores) <= 1e-5 * scores[:-1]).all()


def test_fewer_candidates_are_the_first_of_more(scorer: Scorer, world: Snapshot) -> None:
    for history in some_histories(world):
        np.testing.assert_array_equal(scorer.candidates(history, 3, NOW), scorer.candidates(history, 8, NOW)[:3])


def test_contributions_add_up_to_the_score(scorer: Scorer, world: Snapshot) -> None:
    items = everything(world)
    for history in some_histories(world):
        parts = scorer.contributions(history, items, NOW)
        np.testing.assert_allclose(sum(parts.values()), scorer.scores(history, items, NOW), rtol=1e-4, atol=1e-4)


def test_features_are_one_row_for_each_item_and_one_column_for_each_name(scorer: Scorer, world: Snapshot) -> None:
    for history in some_histories(world):
        features = scorer.features(history, everything(world), NOW)
        assert features.shape == (len(world.items), len(scorer.feature_names))
        assert not np.isinf(features).any()


def test_arrays_restore_the_same_scorer(scorer: Scorer, fitted: dict[str, Scorer], world: Snapshot) -> None:
    arrays = scorer.arrays()
    assert all(isinstance(array, np.ndarray) and array.dtype != np.object_ for array in arrays.values())
    restored = type(scorer).from_arrays(scorer.config, arrays, fitted)
    for history in some_histories(world):
        np.testing.assert_array_equal(
            restored.scores(history, everything(world), NOW), scorer.scores(history, everything(world), NOW)
        )
        np.testing.assert_array_equal(restored.candidates(history, 9, NOW), scorer.candidates(history, 9, NOW))


def test_what_scores_has_a_reason_and_reasons_come_from_the_history(scorer: Scorer, world: Snapshot) -> None:
    for history in some_histories(world):
        candidates = scorer.candidates(history, 5, NOW)
        for reason in scorer.reasons(history, candidates, NOW):
            assert reason is not None
            assert set(reason.items) <= set(history.item.tolist())
            assert reason.text.format(*reason.items).endswith(".")


def test_a_reason_is_the_same_alone_and_among_others(scorer: Scorer, world: Snapshot) -> None:
    history = world.interactions.of(0)
    items = everything(world)
    assert scorer.reasons(history, items, NOW) == [scorer.reason(history, int(one), NOW) for one in items]


def test_nothing_but_the_history_and_the_time_is_known_of_a_visitor(scorer: Scorer, world: Snapshot) -> None:
    whole = world.interactions.of(0)
    past = whole.before(int(whole.timestamp_s[-1]))
    assert len(past) < len(whole)
    copy = History(*(getattr(past, name).copy() for name in History.__slots__))
    items = everything(world)
    np.testing.assert_array_equal(scorer.scores(past, items, NOW), scorer.scores(copy, items, NOW))


def test_a_history_of_views_alone_is_answered(scorer: Scorer, world: Snapshot) -> None:
    bought = world.interactions.of(0)[-3:]
    viewed = History(
        bought.item, np.zeros(3, np.uint8), bought.timestamp_s, np.zeros(3, np.float32), bought.value, bought.session
    )
    assert np.isfinite(scorer.scores(viewed, everything(world), NOW)).all()
    if scorer.name in ("item-to-item", "affinity", "blend"):
        assert len(scorer.candidates(viewed, 5, NOW))
    if scorer.name == "buy-again":
        assert not len(scorer.candidates(viewed, 5, NOW))


@pytest.mark.parametrize(
    "name",
    ["item-to-item", "als", "affinity", "buy-again", "blend", "successors", "linear", "walks", "similar-histories"],
)
def test_a_member_of_a_club_is_recommended_the_items_of_that_club(
    name: str, fitted: dict[str, Scorer], world: Snapshot
) -> None:
    for user in range(CLUBS * MEMBERS):
        club = world.users.id(user).split("-")[0]
        best = fitted[name].candidates(world.interactions.of(user), 3, NOW)
        assert [world.items.id(int(one)).split("-")[0] for one in best] == [club] * 3


@pytest.mark.parametrize(
    "name", ["item-to-item", "als", "affinity", "buy-again", "sum", *(part.name for part in PARTS)]
)
def test_a_stranger_is_proposed_nothing_by_what_needs_a_history(name: str, fitted: dict[str, Scorer]) -> None:
    assert not len(fitted[name].candidates(History.empty(), 5, NOW))


@pytest.mark.parametrize("name", ["popularity", "blend"])
def test_a_stranger_is_recommended_what_people_buy(name: str, fitted: dict[str, Scorer], world: Snapshot) -> None:
    best = fitted[name].candidates(History.empty(), 5, NOW)
    assert len(best) == 5
    assert not any(world.items.id(int(one)).endswith("new") for one in best)


@settings(max_examples=25, deadline=None)
@given(
    bought=st.lists(st.integers(0, 13), max_size=8),
    quantities=st.lists(st.sampled_from((-2.0, -1.0, 0.0, 1.0, 3.0)), min_size=8, max_size=8),
    types=st.lists(st.sampled_from((0, 2, 3)), min_size=8, max_size=8),
    name=st.sampled_from(NAMES),
)
def test_any_history_is_answered_by_scores_that_agree_with_the_candidates(
    bought: list[int], quantities: list[float], types: list[int], name: str, fitted: dict[str, Scorer], world: Snapshot
) -> None:
    n = len(bought)
    history = History(
        np.array(bought, np.int32),
        np.array(types[:n], np.uint8),
        int(NOW.timestamp()) - 86_400 * np.arange(n, 0, -1, dtype=np.int64),
        np.array(quantities[:n], np.float32),
        np.ones(n, np.float32),
        np.full(n, -1, np.int32),
    )
    scores = fitted[name].scores(history, everything(world), NOW)
    assert np.isfinite(scores).all()
    candidates = fitted[name].candidates(history, 100, NOW)
    np.testing.assert_allclose(scores[candidates], fitted[name].scores(history, candidates, NOW), rtol=1e-5, atol=1e-6)
    assert (scores[candidates] > 0).all()
