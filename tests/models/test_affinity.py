from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.affinities import AffinityThresholds, Taste
from features.interactions import History
from models.affinity import Affinity, AffinitySettings
from tests.worlds import NOW, event, item, snapshot

RNG = np.random.default_rng(0)
SETTINGS = AffinitySettings(half_life_days=1e9, prior_weight=1.0)


def shop(folder: Path) -> tuple[Affinity, History]:
    """Return the affinities of a shop of which half is red and half blue, and the history of somebody who buys red."""
    catalog = [item(f"{colour}{n}", colour=[colour]) for colour in ("red", "blue") for n in range(4)]
    events = [event("ann", f"red{n}", 40.0) for n in range(3)] + [event("bob", f"blue{n}", 40.0) for n in range(3)]
    world = snapshot(folder, events, [*catalog, item("plain")])
    return Affinity.fit(world, SETTINGS, RNG), world.interactions.of(world.users.index("ann"))


def test_an_affinity_is_a_share_over_the_usual_share(tmp_path: Path) -> None:
    affinity, ann = shop(tmp_path / "s")
    (liked,) = affinity.likes(ann, 5, NOW)
    assert affinity.value_name(liked.value) == ("colour", "red")
    assert liked.times_usual == pytest.approx(((3 + 0.5) / (3 + 1)) / 0.5)  # a prior weight of 1, half of it red
    assert liked.strength == pytest.approx(1 - 1 / 1.75)
    assert liked.confidence == pytest.approx(3 / (3 + 1))
    assert liked.events == (0, 1, 2)
    taste = affinity.taste(ann, NOW)
    assert affinity.preference(taste, "colour", "red") == pytest.approx(liked.strength)
    assert affinity.preference(taste, "colour", "blue") == affinity.preference(taste, "colour", "pink") == 0
    assert affinity.likes(History.empty(), 5, NOW) == []
    assert affinity.likes(ann, 5, NOW, AffinityThresholds(lookback_days=39)) == []
    assert affinity.likes(ann, 5, NOW, AffinityThresholds(threshold=0.5)) == []
    assert affinity.likes(ann, 5, NOW, AffinityThresholds(confidence=0.8)) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 3)), max_size=30))
def test_the_values_liked_most_come_first_and_of_equally_liked_ones_the_earlier(known: list[tuple[int, int]]) -> None:
    weight, lift = (np.array([pair[column] for pair in known], np.float32) for column in (0, 1))
    values = np.arange(len(known), dtype=np.int32)
    taste = Taste(np.zeros(1, np.int32), values, weight, lift, days=weight, other_lift=lift)
    strengths = {value: weight * lift for value, (weight, lift) in enumerate(known) if weight * lift > 0}
    expected = sorted(strengths, key=lambda value: -strengths[value])[:4]
    assert Affinity.liked(taste, 4).tolist() == expected


def test_what_is_of_a_liked_kind_scores_though_nobody_bought_it_and_the_rest_does_not(tmp_path: Path) -> None:
    affinity, ann = shop(tmp_path / "s")
    blue0, plain, red3 = affinity.scores(ann, np.array([0, 4, 8], np.int32), NOW)  # the order of the vocabulary
    assert red3 > 0
    assert (blue0, plain) == (0, 0)
    reason = affinity.reason(ann, 8, NOW)
    assert reason is not None
    assert reason.text == "Fits a liking for red (colour)."


def test_a_name_with_braces_survives_in_a_reason(tmp_path: Path) -> None:
    world = snapshot(tmp_path / "s", [event("ann", "x")], [item("x", kind=["{0}"])])
    reason = Affinity.fit(world, SETTINGS, RNG).reason(world.interactions.of(0), 0, NOW)
    assert reason is not None
    assert reason.text.format() == "Fits a liking for {0} (kind)."


def test_a_catalog_without_attributes_has_no_affinities(tmp_path: Path) -> None:
    world = snapshot(tmp_path / "s", [event("ann", "x"), event("bob", "y")], [])
    affinity = Affinity.fit(world, SETTINGS, RNG)
    assert affinity.feature_names == ("score",)
    assert not len(affinity.candidates(world.interactions.of(0), 5, NOW))


def test_of_several_values_the_one_that_speaks_most_for_an_item_counts(tmp_path: Path) -> None:
    catalog = [item("a", tag=["red"]), item("b", tag=["blue"]), item("both", tag=["blue", "red"])]
    world = snapshot(tmp_path / "s", [event("ann", "a", 40.0), event("bob", "b", 40.0)], catalog)
    affinity = Affinity.fit(world, SETTINGS, RNG)
    columns = affinity.features(world.interactions.of(0), np.array([0, 1, 2], np.int32), NOW)
    at = affinity.feature_names.index("tag.lift")
    assert columns[2, at] == columns[0, at] > columns[1, at]
