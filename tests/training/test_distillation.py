from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from features.snapshot import Snapshot
from models.blend import Blend, BlendSettings, column_names
from models.bundle import Bundle
from models.distilled import Distilled
from models.embeddings import Embeddings, EmbeddingsSettings
from models.popularity import Popularity, PopularitySettings
from models.scorer import Scorer
from models.successors import Successors, SuccessorsSettings
from models.titles import Titles, TitlesSettings
from serving.pipeline import Pipeline
from serving.query import Query
from serving.recipes import BUILT_IN, Recipes
from tests import worlds
from training import distillation
from training.distillation import (
    AT_HAND,
    KEEPS,
    ROWS_TO_TIME,
    ROWS_TO_TRY,
    columns_of_parts,
    distilled,
    fullest_sets,
    refitted,
)
from training.lessons import Lessons, lessons_of
from training.protocols import bought_within

USERS, ITEMS = 60, 12
LARGE = cast(Blend, object())
"""A large blend of which no more is asked than what it reaches."""


def in_time(blends: Sequence[Blend]) -> list[float]:
    """Return 0.1 ms for each."""
    return [0.1] * len(blends)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A shop where each item is followed by the next one of a ring, and titles say nothing."""
    rng = np.random.default_rng(0)
    events = [
        worlds.event(f"u{user:02}", f"i{(start + step) % ITEMS:02}", days_ago=60.0 - 8 * step)
        for user, start in enumerate(rng.integers(0, ITEMS, USERS).tolist())
        for step in range(7)
    ]
    items = [worlds.item(f"i{at:02}", title=f"thing {'ab'[at % 2]}") for at in range(ITEMS)]
    return worlds.snapshot(tmp_path_factory.mktemp("ring"), events, items)


@pytest.fixture(scope="module")
def bundle(snapshot: Snapshot) -> Bundle:
    rng = np.random.default_rng(0)
    parts = {
        Popularity.name: Popularity.fit(snapshot, PopularitySettings(), rng),
        Successors.name: Successors.fit(snapshot, SuccessorsSettings(), rng),
        Titles.name: Titles.fit(snapshot, TitlesSettings(), rng),
    }
    counts = dict.fromkeys(parts, ITEMS)
    end_s = int(snapshot.manifest.as_of.timestamp())
    questions = bought_within(snapshot.interactions, ITEMS, end_s - 20 * 86_400, end_s).questions
    lessons = lessons_of(parts, counts, questions, repeats=False)
    config = BlendSettings(objective="lambdarank", candidates=counts, trees=20, least_rows=5)
    told = lessons.telling()
    blend = Blend.fit(parts, told.columns, told.right, config, rng, told.list_lengths)

    def found_by(blend: Blend) -> float:
        found = []
        for number in range(len(questions)):
            history, now = questions.histories.of(number), questions.asked_at(number)
            items = blend.candidates(history, ITEMS, now)
            items = items[~np.isin(items, history.item)][:3]
            found.append(np.isin(items, questions.relevant[number].indices).any())
        return float(np.mean(found))

    def took_ms(blends: Sequence[Blend]) -> list[float]:
        return [0.1 * sum(name not in AT_HAND for name in blend.parts) for blend in blends]

    small = distilled(parts, told, found_by, took_ms, blend, dict.fromkeys(parts, 0.0), rng)
    assert small.kept >= KEEPS
    return Bundle.of(snapshot, [*parts.values(), small.blend, blend], Blend.name, worlds.NOW, "")


def test_the_part_that_is_worth_most_alone_is_all_that_a_small_blend_needs_beside_those_at_hand(bundle: Bundle) -> None:
    small = bundle.scorers[Distilled.name]
    assert isinstance(small, Distilled)
    assert set(small.parts) == {Popularity.name, Successors.name}
    assert len(small.trees) == 100


def test_columns_of_some_parts_are_those_that_they_have_by_themselves(bundle: Bundle) -> None:
    blend = bundle.scorers[Blend.name]
    assert isinstance(blend, Blend)
    names = column_names(blend.parts)
    numbers = np.arange(len(names), dtype=np.float32)[np.newaxis]
    found = columns_of_parts(blend.parts, [Titles.name, Popularity.name], numbers)[0]
    assert [names[int(at)] for at in found] == column_names(
        {name: blend.parts[name] for name in (Popularity.name, Titles.name)}
    )


@pytest.fixture(scope="module")
def two_parts(snapshot: Snapshot) -> tuple[dict[str, Scorer], Lessons]:
    """A table and what would look at all items, and lessons in which both tell."""
    rng = np.random.default_rng(0)
    parts: dict[str, Scorer] = {
        Successors.name: Successors.fit(snapshot, SuccessorsSettings(), rng),
        Embeddings.name: Embeddings.fit(snapshot, EmbeddingsSettings(factors=4, drawn=8), rng),
    }
    end_s = int(snapshot.manifest.as_of.timestamp())
    questions = bought_within(snapshot.interactions, ITEMS, end_s - 20 * 86_400, end_s).questions
    return parts, lessons_of(parts, dict.fromkeys(parts, ITEMS), questions, repeats=False).telling()


def test_what_looks_at_all_items_only_follows_a_table_however_much_it_tells(
    two_parts: tuple[dict[str, Scorer], Lessons],
) -> None:
    def value_of(blend: Blend) -> float:
        """Return more for more parts."""
        return 10.0 if blend is LARGE else float(len(blend.parts))

    shares = {Successors.name: 0.1, Embeddings.name: 0.9}
    given = (*two_parts, value_of, in_time, LARGE, shares, np.random.default_rng(0))
    small = distilled(*given)
    out_of_time = distilled(*given, until_s=0.0)

    assert small.blend.config.candidates == {Successors.name: 120, Embeddings.name: 0}
    assert out_of_time.blend.config.candidates == {Successors.name: 120}


def test_a_part_for_which_no_time_is_left_by_what_it_adds_is_not_tried(
    two_parts: tuple[dict[str, Scorer], Lessons],
) -> None:
    timed_together: list[Distilled] = []

    def answering_ms(blends: Sequence[Blend]) -> list[float]:
        """Return what is in time alone, and planned too late together: 0.25 ms each."""
        timed_together.extend(cast(Distilled, blend) for blend in blends if len(blend.parts) > 1)
        return [0.25 * len(blend.parts) for blend in blends]

    def value_of(blend: Blend) -> float:
        return 10.0 if blend is LARGE else float(len(blend.parts))

    shares = dict.fromkeys(two_parts[0], 0.5)
    small = distilled(*two_parts, value_of, answering_ms, LARGE, shares, np.random.default_rng(0))

    assert list(small.blend.config.candidates) == [Successors.name]
    assert small.answering_ms == 0.25
    assert [blend.config.recent_interactions for blend in timed_together] == [200, 50]


def test_where_long_histories_leave_no_time_for_a_second_part_less_of_them_is_looked_at(
    two_parts: tuple[dict[str, Scorer], Lessons],
) -> None:
    def answering_ms(blends: Sequence[Blend]) -> list[float]:
        """Return 0.25 ms for each part, 0.2 ms where the last 50 interactions are all that is looked at."""
        recent = [cast(Distilled, blend).config.recent_interactions for blend in blends]
        return [(0.2 if n == 50 else 0.25) * len(blend.parts) for n, blend in zip(recent, blends, strict=True)]

    def value_of(blend: Blend) -> float:
        return 10.0 if blend is LARGE else float(len(blend.parts))

    shares = dict.fromkeys(two_parts[0], 0.5)
    small = distilled(*two_parts, value_of, answering_ms, LARGE, shares, np.random.default_rng(0))

    assert set(small.blend.config.candidates) == set(two_parts[0])
    assert small.blend.config.recent_interactions == 50
    assert small.kept == 0.2


def test_what_is_timed_while_the_machine_has_more_to_do_is_not_refused(
    two_parts: tuple[dict[str, Scorer], Lessons],
) -> None:
    rounds: list[int] = []

    def answering_ms(blends: Sequence[Blend]) -> list[float]:
        """Return 0.3 ms for one part and 0.4 ms for both, and twice that from the fourth time on."""
        rounds.append(len(blends))
        return [(0.2 + 0.1 * len(blend.parts)) * (2 if len(rounds) > 3 else 1) for blend in blends]

    def value_of(blend: Blend) -> float:
        return 10.0 if blend is LARGE else float(len(blend.parts))

    shares = dict.fromkeys(two_parts[0], 0.5)
    small = distilled(*two_parts, value_of, answering_ms, LARGE, shares, np.random.default_rng(0))

    assert small.blend.config.candidates == {Successors.name: 120, Embeddings.name: 0}
    assert small.answering_ms == pytest.approx(0.4)


def test_more_candidates_are_tried_with_the_best_parts(two_parts: tuple[dict[str, Scorer], Lessons]) -> None:
    def value_of(blend: Blend) -> float:
        """Return more for two parts than for one, and for 180 candidates more than for 120."""
        if blend is LARGE:
            return 10.0
        return len(blend.parts) + 2.0 * (blend.config.candidates[Successors.name] == 180)

    shares = dict.fromkeys(two_parts[0], 0.5)
    small = distilled(*two_parts, value_of, in_time, LARGE, shares, np.random.default_rng(0))

    assert small.blend.config.candidates == {Successors.name: 180, Embeddings.name: 0}
    assert (small.value, small.kept) == (4.0, 0.4)


def test_the_fullest_sets_leave_no_room_and_come_in_order_of_their_value() -> None:
    costs = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.9}
    values = {"a": 0.1, "b": 0.2, "c": 0.25, "d": 1.0}

    assert fullest_sets(costs, 0.45, values) == [("a", "c"), ("a", "b")]
    assert fullest_sets(costs, 0.65, values) == [("a", "b", "c")]
    assert fullest_sets(costs, 0.05, values) == []
    assert fullest_sets(costs, -0.1, values) == []


def test_of_what_answers_too_late_the_quickest_is_taken_and_only_that_learns_from_more_and_is_looked_at(
    two_parts: tuple[dict[str, Scorer], Lessons], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[Blend] = []
    learned_from: list[int] = []

    def noted(*given: Any) -> Distilled:
        learned_from.append(given[4])
        return refitted(*given)

    def value_of(blend: Blend) -> float:
        looked_at.append(blend)
        return 10.0 if blend is LARGE else 4.0

    def answering_ms(blends: Sequence[Blend]) -> list[float]:
        """Return too much, and more for more."""
        return [2.0 + len(blend.parts) for blend in blends]

    monkeypatch.setattr(distillation, "refitted", noted)
    shares = dict.fromkeys(two_parts[0], 0.5)
    small = distilled(*two_parts, value_of, answering_ms, LARGE, shares, np.random.default_rng(0))

    assert looked_at == [LARGE, small.blend]
    assert set(learned_from[:-1]) == {ROWS_TO_TIME}
    assert learned_from[-1] == ROWS_TO_TRY
    assert list(small.blend.config.candidates) == [Successors.name]
    assert (small.value, small.kept, small.answering_ms) == (4.0, 0.4, 3.0)


@pytest.mark.parametrize("recipe", ["for_you", "quick"])
def test_what_is_served_from_disk_is_what_was_fitted(recipe: str, bundle: Bundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "bundle")
    recipes = Recipes.read(BUILT_IN)
    fitted, served = (Pipeline(one, recipes) for one in (bundle, Bundle.load(tmp_path / "bundle")))
    scorer = bundle.scorers[Blend.name if recipe == "for_you" else Distilled.name]

    for user in range(USERS):
        history = bundle.interactions.of(user)
        query = Query(history, worlds.NOW, n=3, recipe=recipe)
        ranking, again = fitted.rank(query), served.rank(query)
        assert ranking.items.tolist() == again.items.tolist()
        assert ranking.scores.tolist() == again.scores.tolist()
        assert ranking.scorers[0] == scorer.name
        offline = scorer.candidates(history, 3, worlds.NOW)
        assert offline.tolist() == ranking.items.tolist()
