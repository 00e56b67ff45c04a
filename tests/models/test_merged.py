from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from models.embeddings import Embeddings, EmbeddingsSettings
from models.merged import Merged, MergedSettings
from models.neighbours import NeighbourScorer, NeighbourSettings, strongest
from models.popularity import Popularity, PopularitySettings
from models.similar_histories import SimilarHistories, SimilarHistoriesSettings
from tests.worlds import NOW, event, item, snapshot

RNG = np.random.default_rng(0)


def table(ties: list[list[float]]) -> NeighbourScorer:
    weights = np.ones(8, np.float32)
    return NeighbourScorer(NeighbourSettings(), weights, **strongest(sparse.csr_matrix(np.float32(ties)), 10))


def dense(scorer: NeighbourScorer) -> list[list[float]]:
    shape = (len(scorer.indptr) - 1,) * 2
    return sparse.csr_matrix((scorer.strength, scorer.indices, scorer.indptr), shape).toarray().tolist()


def test_a_tie_is_the_sum_of_its_shares_of_the_strongest_of_each_part():
    parts = {"one": table([[0, 4, 2], [0, 0, 8], [0, 0, 0]]), "other": table([[0, 0, 9], [0, 0, 0], [1, 0, 0]])}

    found = Merged.of(parts, MergedSettings(weights={"one": 1.0, "other": 0.5}), 3)

    assert dense(found) == [[0, 1, 0.5 + 0.5], [0, 0, 1], [0.5, 0, 0]]


def test_what_is_merged_keeps_its_neighbours_in_their_order():
    one = table([[0, 2, 4], [0, 0, 8], [0, 0, 0]])

    Merged.of({"one": one}, MergedSettings(weights={"one": 1.0}), 3)

    assert one.indices.tolist() == [2, 1, 2]
    assert one.strength.tolist() == [4, 2, 8]


def test_only_the_strongest_neighbours_are_kept():
    config = MergedSettings(weights={"one": 1.0}, neighbours=1)

    assert dense(Merged.of({"one": table([[0, 4, 2], [0, 0, 8], [0, 0, 0]])}, config, 3)) == [
        [0, 1, 0],
        [0, 0, 1],
        [0] * 3,
    ]


def test_like_histories_count_as_for_one_item_alone_and_what_is_no_table_not_at_all(tmp_path: Path):
    events = [event(user, name, days) for user in ("ann", "bob") for name, days in (("a", 2.0), ("b", 1.0))]
    shop = snapshot(tmp_path, [*events, event("cid", "c")], [item("a"), item("b"), item("c")])
    parts = {
        "similar-histories": SimilarHistories.fit(shop, SimilarHistoriesSettings(), RNG),
        "popularity": Popularity.fit(shop, PopularitySettings(), RNG),
    }

    found = Merged.of(parts, MergedSettings(weights={"similar-histories": 1.0, "popularity": 9.0}), 3)

    a, b, c = (shop.items.index(name) for name in "abc")
    alone = parts["similar-histories"].scores(
        shop.interactions.of(shop.users.index("ann"))[:1], np.arange(3, dtype=np.int32), NOW
    )
    assert dense(found)[a] == pytest.approx((alone / alone.max()).tolist())
    assert dense(found)[a][b] > 0
    assert dense(found)[a][c] == 0


def test_what_embeddings_say_is_added_to_what_is_tied(tmp_path: Path):
    # After "a" points to "b" as it is, to "c" by 60 degrees, and to "d" not at all; but nothing ties "a" with "d".
    vectors = np.array([[1, 0], [1, 0], [0.5, 0.75**0.5], [0, 1]], np.float32)
    config = EmbeddingsSettings(factors=2, temperature=0.5, recent_interactions=1)
    embeddings = Embeddings(config, np.ones(8, np.float32), vectors, np.ones((1, 2), np.float32), np.eye(2, dtype="f4"))
    parts = {"one": table([[0, 4, 2, 0], [0] * 4, [0] * 4, [0] * 4]), "embeddings": embeddings}

    found = Merged.of(parts, MergedSettings(weights={"embeddings": 2.0, "one": 1.0}), 4)

    assert dense(found)[0] == pytest.approx([0, 1 + 2 * 1, 0.5 + 2 * np.exp((0.5 - 1) / 0.5), 0], rel=1e-6)
