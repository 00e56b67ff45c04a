from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from features.interactions import History
from features.snapshot import Snapshot
from models.embeddings import Embeddings, EmbeddingsSettings
from models.sampled_softmax import LAST_RATE, Examples, SampledSoftmaxSettings, learned
from tests.worlds import NOW, event, item, snapshot

QUICK = EmbeddingsSettings(factors=8, drawn=16, epochs=600, learning_rate=0.02, together=0)
"""Enough to learn a world of a dozen items by heart, each of them by itself."""


def ring(folder: Path, n: int = 8, users: int = 40) -> Snapshot:
    """Return a world in which everybody goes round a ring of items, one by one, from wherever they began."""
    chosen = [event(f"u{user:02}", f"i{(user + step) % n}", 9 - step) for user in range(users) for step in range(4)]
    return snapshot(folder, chosen, [item("never")])


def history_of(world: Snapshot, *names: str) -> History:
    known = {world.items.id(one): one for one in range(len(world.items))}
    n = len(names)
    return History(
        np.array([known[name] for name in names], np.int32),
        np.full(n, world.manifest.event_types.index("purchase"), np.uint8),
        int(NOW.timestamp()) - 60 * np.arange(n, 0, -1, dtype=np.int64),
        np.ones(n, np.float32),
        np.ones(n, np.float32),
        np.full(n, -1, np.int32),
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return ring(tmp_path_factory.mktemp("ring") / "world")


@pytest.fixture(scope="module")
def of_ring(world: Snapshot) -> Embeddings:
    return Embeddings.fit(world, QUICK, np.random.default_rng(0))


def test_on_a_ring_what_follows_is_the_next_item_whatever_came_before(world: Snapshot, of_ring: Embeddings) -> None:
    for at in range(8):
        for names in ([f"i{at}"], [f"i{(at - 1) % 8}", f"i{at}"]):
            best = of_ring.candidates(history_of(world, *names), 1, NOW)
            assert [world.items.id(int(one)) for one in best] == [f"i{(at + 1) % 8}"]


def test_the_score_is_the_exponential_of_how_far_the_cosine_is_from_1(world: Snapshot, of_ring: Embeddings) -> None:
    history, items = history_of(world, "i1", "i2"), np.arange(len(world.items), dtype=np.int32)
    one, two = (int(index) for index in history.item)
    told = (of_ring.steps[0] * of_ring.vectors[two] + of_ring.steps[1] * of_ring.vectors[one]) @ of_ring.turn
    lengths = np.linalg.norm(of_ring.vectors, axis=1)
    known = lengths > 0
    cosines = of_ring.vectors[known] @ told / (lengths[known] * np.linalg.norm(told))

    found = of_ring.scores(history, items, NOW)

    np.testing.assert_allclose(found[known], np.exp((cosines - 1) / QUICK.temperature), rtol=1e-4)
    assert [world.items.id(int(one)) for one in items[~known]] == ["never"]
    assert not found[~known].any()


def test_the_item_that_nobody_chose_is_never_a_candidate(world: Snapshot, of_ring: Embeddings) -> None:
    found = of_ring.candidates(history_of(world, "i1"), 100, NOW)
    assert sorted(world.items.id(int(one)) for one in found) == [f"i{at}" for at in range(8)]
    only_it = history_of(world, "never")
    assert not len(of_ring.candidates(only_it, 100, NOW))
    assert np.isnan(of_ring.features(History.empty(), only_it.item, NOW)[0, 1:]).all()


def test_the_reason_is_the_last_item_of_the_history(world: Snapshot, of_ring: Embeddings) -> None:
    history = history_of(world, "i1", "i2")
    after = int(of_ring.candidates(history, 1, NOW)[0])
    reason = of_ring.reason(history, after, NOW)
    assert reason is not None
    assert world.items.id(reason.items[0]) == "i2"


def test_the_columns_are_the_score_and_the_cosines_with_the_last_two_items(
    world: Snapshot, of_ring: Embeddings
) -> None:
    history = history_of(world, "i1", "i2")
    one, two = (int(index) for index in history.item)
    columns = of_ring.features(history, history.item, NOW)
    np.testing.assert_array_equal(columns[:, 0], of_ring.scores(history, history.item, NOW))
    np.testing.assert_allclose(columns[1, 1], 1, rtol=1e-5)
    np.testing.assert_allclose(columns[0, 2], 1, rtol=1e-5)
    assert columns[0, 1] == pytest.approx(columns[1, 2], rel=1e-5)
    assert {one, two} == set(history.item.tolist())


def test_without_repeats_an_item_is_learned_from_when_it_first_came(tmp_path: Path) -> None:
    # Everybody chose tea again and again, and then a cup: only the cup was new each time.
    chosen = [event(f"u{user}", "tea", 9 - at) for user in range(20) for at in range(4)]
    chosen += [event(f"u{user}", "cup", 1) for user in range(20)]
    world = snapshot(tmp_path, chosen, [])
    best = {}
    for repeats in (False, True):
        config = QUICK.model_copy(update={"repeats": repeats})
        found = Embeddings.fit(world, config, np.random.default_rng(0))
        best[repeats] = world.items.id(int(found.candidates(history_of(world, "tea"), 1, NOW)[0]))
    assert best == {False: "cup", True: "tea"}


def test_what_was_chosen_lately_is_worth_more(tmp_path: Path) -> None:
    # After tea came a pot, for three people; ten half-lives later came a cup, for one.
    chosen = [event(f"u{user}", name, days) for user in range(3) for name, days in (("tea", 102), ("pot", 101))]
    chosen += [event("v", "tea", 2), event("v", "cup", 1)]
    world = snapshot(tmp_path, chosen, [])
    after_tea = {}
    for half_life_days in (10.0, 36_500.0):
        config = QUICK.model_copy(update={"half_life_days": half_life_days})
        found = Embeddings.fit(world, config, np.random.default_rng(0))
        after_tea[half_life_days] = world.items.id(int(found.candidates(history_of(world, "tea"), 1, NOW)[0]))
    assert after_tea == {10.0: "cup", 36_500.0: "pot"}


def test_only_the_latest_examples_are_learned_from(tmp_path: Path) -> None:
    chosen = [event(f"u{user}", name, days) for user in range(9) for name, days in (("tea", 102), ("pot", 101))]
    chosen += [event("v", "tea", 2), event("v", "cup", 1)]
    world = snapshot(tmp_path, chosen, [])
    found = Embeddings.fit(world, QUICK.model_copy(update={"examples": 1}), np.random.default_rng(0))
    assert world.items.id(int(found.candidates(history_of(world, "tea"), 1, NOW)[0])) == "cup"


def test_the_same_seed_learns_the_same(world: Snapshot, of_ring: Embeddings) -> None:
    again = Embeddings.fit(world, QUICK, np.random.default_rng(0))
    np.testing.assert_allclose(again.vectors, of_ring.vectors, atol=1e-3)
    assert not np.allclose(Embeddings.fit(world, QUICK, np.random.default_rng(1)).vectors, of_ring.vectors, atol=0.1)


def test_where_nothing_followed_anything_nothing_is_known_to_follow(tmp_path: Path) -> None:
    world = snapshot(tmp_path, [event("u", "tea"), event("v", "cup")], [])
    found = Embeddings.fit(world, QUICK, np.random.default_rng(0))
    assert not len(found.candidates(history_of(world, "tea"), 5, NOW))


def test_items_are_as_likely_as_they_came_next_though_only_some_are_looked_at() -> None:
    # After item 0 came items 1, 2 and 3 so often as 6 : 3 : 1; drawing two others a step must not distort that.
    after = np.repeat([1, 2, 3], [600, 300, 100]).astype(np.int32)
    n = len(after)
    items = np.column_stack([np.zeros(n, np.int32), after]).ravel()
    at = np.arange(1, 2 * n, 2)
    examples = Examples(items, np.ones(2 * n, np.float32), at, at - 1, np.ones(n, np.float32))
    config = SampledSoftmaxSettings(factors=6, temperature=0.5, epochs=200, drawn=2, learning_rate=0.01)

    vectors, steps, turn = learned(examples, sparse.identity(4, np.float32, "csr"), config, np.random.default_rng(0))

    told = steps[0] * vectors[0] @ turn
    cosines = vectors @ told / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(told))
    likely = np.exp(cosines / 0.5)[1:]
    np.testing.assert_allclose(likely / likely.sum(), [0.6, 0.3, 0.1], atol=0.03)


def test_two_items_that_only_come_together_begin_as_one(tmp_path: Path) -> None:
    # Each is made half of itself and half of the other, before anything is learned of either.
    pairs = {"tea": "pot", "jam": "bread"}
    chosen = [event(first, name, days) for first, second in pairs.items() for name, days in ((first, 2), (second, 1))]
    world = snapshot(tmp_path, chosen, [])
    config = EmbeddingsSettings(epochs=1, learning_rate=1e-9, together=5, together_weight=1.0)
    found = Embeddings.fit(world, config, np.random.default_rng(0))
    tea, pot, jam, bread = found.vectors[history_of(world, "tea", "pot", "jam", "bread").item]
    np.testing.assert_allclose(tea, pot, atol=1e-6)
    np.testing.assert_allclose(jam, bread, atol=1e-6)
    assert abs(tea @ jam) < 0.3 * np.linalg.norm(tea) * np.linalg.norm(jam)


def test_an_item_that_nobody_chose_yet_comes_after_what_its_likes_came_after(tmp_path: Path) -> None:
    chosen = [event(f"u{user}", name, days) for user in range(9) for name, days in (("tea", 3), ("pot", 2), ("jam", 1))]
    titles = {"tea": "green tea", "pot": "glass pot", "jam": "plum jam", "new": "glass pot large", "odd": "bicycle"}
    world = snapshot(tmp_path, chosen, [item(name, title=title) for name, title in titles.items()])
    found = Embeddings.fit(world, QUICK, np.random.default_rng(0))
    items = dict(zip(titles, history_of(world, *titles).item.tolist(), strict=True))
    scores = found.scores(history_of(world, "tea"), np.arange(len(world.items), dtype=np.int32), NOW)
    assert scores[items["new"]] > scores[items["jam"]] > 0
    assert scores[items["odd"]] == 0


def test_each_slope_is_that_of_the_loss() -> None:
    # Adam's first move goes by the sign of a slope alone: along each number that moved, the loss falls.
    rng = np.random.default_rng(0)
    items, weight = np.array([0, 2, 0, 1], np.int32), rng.uniform(0.5, 2, 4).astype(np.float32)
    examples = Examples(items, weight, np.array([3]), np.array([0]), np.ones(1, np.float32))
    made_of = np.array([[1, 0.5, 0], [0, 1, 0.3], [0.2, 0, 2]])

    def parameters(rate: float) -> tuple[np.ndarray, ...]:
        config = SampledSoftmaxSettings(
            factors=3, temperature=0.5, epochs=1, drawn=500, learning_rate=rate, recent_interactions=2
        )
        shares = sparse.csr_matrix(made_of, dtype=np.float32)
        found = learned(examples, shares, config, np.random.default_rng(1))
        vectors, steps, turn = (one.astype(np.float64) for one in found)
        return np.linalg.solve(made_of, vectors), steps, turn

    def loss(own: np.ndarray, steps: np.ndarray, turn: np.ndarray) -> float:
        vectors = made_of @ own
        told = (weight[2] * steps[0] * vectors[0] + weight[1] * steps[1] * vectors[2]) @ turn
        cosines = vectors @ told / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(told))
        return float(np.log(np.exp(cosines / 0.5).sum()) - cosines[1] / 0.5)

    rate = 1e-4
    start, moved = parameters(1e-12), parameters(rate / LAST_RATE)
    for which in range(3):
        for at in np.ndindex(start[which].shape):
            changed = [one.copy() for one in start]
            changed[which][at] = moved[which][at]
            assert abs(moved[which][at] - start[which][at]) == pytest.approx(rate, rel=0.05)
            assert loss(*changed) < loss(*start)
