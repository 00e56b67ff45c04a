import numpy as np
import pytest

from models.titles import Titles, TitlesSettings
from tests.worlds import NOW, event, item, snapshot

TITLES = {"a": "Red wool scarf", "b": "Wool scarf, blue", "c": "Garden chair", "d": "Folding garden chair", "e": None}


def fitted(folder, titles):
    world = snapshot(folder / "s", [event("me", "a")], [item(name) | {"title": text} for name, text in titles.items()])
    return Titles.fit(world, TitlesSettings(), np.random.default_rng(0)), world.interactions.of(0)


def test_what_is_called_alike_is_similar(tmp_path):
    scorer, me = fitted(tmp_path, TITLES)

    # Of the terms of a and b, those of two titles count: wool, scarf, wool scarf; both have all three.
    assert scorer.scores(me, np.arange(5, dtype=np.int32), NOW) == pytest.approx([0, 1, 0, 0, 0], abs=0.01)
    assert scorer.reason(me, 1, NOW).text == "Similar to {0}."


def test_an_item_that_nobody_chose_is_known_by_its_title(tmp_path):
    scorer, me = fitted(tmp_path, TITLES)

    assert scorer.candidates(me, 5, NOW).tolist() == [1]


@pytest.mark.parametrize("titles", [dict.fromkeys("abc"), dict.fromkeys("abc", ""), {"a": "scarf", "b": "chair"}])
def test_titles_that_share_nothing_tell_nothing(tmp_path, titles):
    scorer, me = fitted(tmp_path, titles)

    assert len(scorer.candidates(me, 5, NOW)) == 0


def test_a_term_of_most_titles_tells_nothing(tmp_path):
    titles = {f"i{k:02}": f"Product {k}" for k in range(30)} | {"a": "Product scarf", "b": "Blue scarf"}

    scorer, me = fitted(tmp_path, titles)

    assert scorer.candidates(me, 5, NOW).tolist() == [1]
