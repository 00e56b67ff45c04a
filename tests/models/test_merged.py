from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

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
