from pathlib import Path

import numpy as np
import pytest

from features.interactions import COLUMNS, History
from models.popularity import Popularity, PopularitySettings
from models.scorer import Scorer
from models.successors import Successors, SuccessorsSettings
from models.weighted_sum import WeightedSum, WeightedSumSettings, conditional_logit
from tests.worlds import NOW, event, snapshot

EVENTS = [("u", "tea", 9), ("u", "cup", 8), ("v", "tea", 9), ("v", "cup", 8), ("w", "tea", 9), ("w", "pot", 8)]
EVERY = np.arange(3, dtype=np.int32)  # cup, pot, tea


def scorer(folder: Path, **weights: float) -> tuple[WeightedSum, History]:
    """Return the sum of what follows and what is popular, and the history of somebody who has bought tea."""
    rng = np.random.default_rng(0)
    world = snapshot(folder / "world", [event(*one) for one in EVENTS], [])
    mine = snapshot(folder / "me", [event("me", "tea"), *(event(*one) for one in EVENTS)], []).interactions.of(0)
    plain = {"own_exponent": 0, "neighbour_exponent": 0, "pair_half_life_days": 1e9}
    parts: dict[str, Scorer] = {
        "successors": Successors.fit(world, SuccessorsSettings(**plain), rng),
        "popularity": Popularity.fit(world, PopularitySettings(half_life_days=1e9), rng),
    }
    return WeightedSum.from_arrays(WeightedSumSettings(weights=weights, n_items=3), {}, parts), mine


def test_each_part_adds_its_weight_times_the_root_of_the_share_of_its_best_score(tmp_path: Path) -> None:
    # Cup follows tea twice and pot once; cup was bought twice, pot once and tea thrice.
    found, mine = scorer(tmp_path, successors=2.0, popularity=0.5)

    assert found.contributions(mine, EVERY, NOW)["successors"].tolist() == pytest.approx([2, 2 * 0.5**0.5, 0])
    assert found.contributions(mine, EVERY, NOW)["popularity"].tolist() == pytest.approx(
        [0.5 * (2 / 3) ** 0.5, 0.5 * (1 / 3) ** 0.5, 0.5], rel=1e-3
    )


def test_the_columns_tell_the_score_the_share_of_the_best_and_the_place(tmp_path: Path) -> None:
    found, mine = scorer(tmp_path, successors=2.0)

    columns = found.features(mine, EVERY, NOW)

    assert columns[:2].tolist() == pytest.approx(np.array([[2, 1, 0], [2 * 0.5**0.5, 0.5**0.5, 1]]))
    assert columns[2, :2].tolist() == [0, 0]
    assert found.candidates(mine, 5, NOW).tolist() == [0, 1]


def test_the_reason_is_that_of_the_part_that_adds_most(tmp_path: Path) -> None:
    following, mine = scorer(tmp_path / "following", successors=2.0, popularity=0.1)
    popular, _ = scorer(tmp_path / "popular", successors=0.1, popularity=2.0)

    reasons = [one.reason(mine, 0, NOW) for one in (following, popular)]

    assert [reason.kind for reason in reasons if reason] == ["next", "popular"]
    assert following.reason(History.empty(), 0, NOW) == popular.reason(mine, 0, NOW)


def test_of_two_columns_the_one_that_tells_right_from_wrong_gets_the_weight() -> None:
    rng = np.random.default_rng(0)
    columns = rng.random((400 * 5, 2)).astype(np.float32)
    odds = np.exp(3 * columns[:, 0].reshape(400, 5))
    right = np.array([np.arange(5) == rng.choice(5, p=one / one.sum()) for one in odds]).ravel()

    weights = conditional_logit(columns, right, np.full(400, 5))

    assert weights[0] == pytest.approx(3, abs=0.5)
    assert weights[1] < 0.5


def test_a_column_that_speaks_for_the_wrong_ones_weighs_nothing() -> None:
    columns = np.array([[1, 0], [0, 1]] * 50, np.float32)

    weights = conditional_logit(columns, np.tile([True, False], 50), np.full(50, 2))

    assert weights[0] > 1
    assert weights[1] == 0


def test_items_of_the_history_are_proposed_only_where_repeats_are_answers(tmp_path: Path) -> None:
    found, mine = scorer(tmp_path, successors=1.0, popularity=1.0)
    without = WeightedSum(found.config.model_copy(update={"repeats": False}), found.parts)

    assert found.candidates(mine, 3, NOW).tolist() == [0, 1, 2]
    assert without.candidates(mine, 3, NOW).tolist() == [0, 1]


def test_what_takes_the_place_of_items_of_the_history_is_proposed(tmp_path: Path) -> None:
    found, mine = scorer(tmp_path, popularity=1.0)
    without = WeightedSum(found.config.model_copy(update={"repeats": False}), found.parts)
    others, best = found.candidates(mine[:0], 2, NOW), found.candidates(mine[:0], 1, NOW)
    chosen = History(best, *(getattr(mine, name)[:1] for name in list(COLUMNS)[1:]))

    assert without.candidates(chosen, 1, NOW).tolist() == others[1:].tolist()
