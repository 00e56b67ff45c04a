"""Affinities of a small history, worked out by hand, and the events behind them."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from features.affinities import Affinity, AffinityThresholds, ItemValues, affinities, strength, taste
from features.interactions import History

NOW = datetime(2026, 11, 20, tzinfo=UTC)
BLACK, RED, LAMP, CHAIR = range(4)
# Items: 0 a black lamp, 1 a red lamp, 2 a black chair, 3 nothing known of it. Usually half is black, a quarter lamps.
TABLE = ItemValues(
    indptr=np.array([0, 2, 4, 6, 6], np.int64),
    values=np.array([BLACK, LAMP, RED, LAMP, BLACK, CHAIR], np.int32),
    first_value=np.array([0, 2, 4], np.int32),
    share=np.array([0.5, 0.5, 0.25, 0.75], np.float32),
)
ALL = AffinityThresholds(threshold=0, confidence=0)


def history(items: list[int], days_ago: list[float]) -> History:
    n = len(items)
    return History(
        np.array(items, np.int32),
        np.zeros(n, np.uint8),
        np.array([NOW.timestamp() - days * 86_400 for days in days_ago], np.int64),
        np.ones(n, np.float32),
        np.zeros(n, np.float32),
        np.full(n, -1, np.int32),
    )


def liked(past: History, weight: list[float], thresholds: AffinityThresholds = ALL, n: int = 10) -> dict[int, Affinity]:
    found = affinities(past, np.array(weight, np.float32), TABLE, 2.0, NOW, thresholds, n)
    return {one.value: one for one in found}


def test_four_clicks_on_lamps_are_a_liking_for_lamps_and_half_black_ones_are_none_for_black():
    found = liked(history([0, 1, 0, 1], [4, 3, 2, 1]), [1, 1, 1, 1])
    # lamps: (4 + 2 * 0.25) of (4 + 2), where a quarter is usual; colours: as usual
    assert found[LAMP].times_usual == pytest.approx(4.5 / 6 / 0.25)
    assert found[LAMP].strength == pytest.approx(1 - 1 / 3)
    assert found[LAMP].confidence == pytest.approx(4 / 6)
    assert found[LAMP].days == pytest.approx(1, abs=1e-4)
    assert found[LAMP].events == (0, 1, 2, 3)
    assert found[BLACK].strength == found[RED].strength == 0
    assert CHAIR not in found


def test_a_liking_for_a_category_is_the_weaker_the_higher_the_level():
    # of 10 interactions all are Home, 4 Lamps and 1 Table lamps, which makes 15 with some level
    home, lamps, table_lamps = range(3)
    levels = ItemValues(
        indptr=np.array([0, 3], np.int64),
        values=np.array([home, lamps, table_lamps], np.int32),
        first_value=np.array([0, 3], np.int32),
        share=np.array([10 / 15, 4 / 15, 1 / 15], np.float32),
    )
    found = affinities(history([0, 0], [2, 1]), np.ones(2, np.float32), levels, 3.0, NOW, ALL, 10)
    # each level has (2 + 3 * share) of (6 + 3)
    assert {one.value: one.times_usual for one in found} == pytest.approx(
        {table_lamps: 2.2 / 9 * 15, lamps: 2.8 / 9 * 15 / 4, home: 4 / 9 * 1.5}
    )
    assert max(found, key=lambda one: one.strength).value == table_lamps
    assert {one.value: one.strength > 0 for one in found} == {table_lamps: True, lamps: True, home: False}


def test_the_events_behind_it_are_those_that_weigh_most():
    past = history([0, 2, 0, 3], [9, 3, 2, 1])
    assert liked(past, [0.5, 1.0, 2.0, 9.0])[BLACK].events == (2, 1, 0)


def test_a_return_counts_against_it():
    assert LAMP not in liked(history([0, 0], [2, 1]), [1, -1])


def test_what_is_old_weak_or_unfounded_is_not_spoken_of():
    past, weight = history([0, 0], [400, 1]), [1.0, 1.0]
    assert liked(past, weight, AffinityThresholds(threshold=0, confidence=0, lookback_days=365))[LAMP].weight == 1
    assert LAMP in liked(past, weight, AffinityThresholds(threshold=0.4, confidence=0))
    assert LAMP not in liked(past, weight, AffinityThresholds(threshold=0.6, confidence=0))
    assert liked(past, weight, AffinityThresholds(threshold=0, confidence=0.4, lookback_days=365)) == {}
    assert len(liked(past, weight, n=1)) == 1


def test_strength_is_from_none_to_one():
    assert strength(np.log([0.5, 1, 2, 10, 1e9])) == pytest.approx([0, 0, 0.5, 0.9, 1])


def test_the_order_of_a_history_changes_nothing():
    one = taste(history([0, 1, 2], [3, 2, 1]), np.ones(3, np.float32), TABLE, 2.0, NOW)
    other = taste(history([2, 1, 0], [1, 2, 3]), np.ones(3, np.float32), TABLE, 2.0, NOW)
    assert dict(zip(one.values.tolist(), one.lift.tolist(), strict=True)) == pytest.approx(
        dict(zip(other.values.tolist(), other.lift.tolist(), strict=True))
    )
