import numpy as np
import pytest

from features.interactions import History
from models.own_frequency import OwnFrequency, OwnFrequencySettings
from tests.worlds import NOW, event, item, snapshot


def test_the_columns_count_purchases_and_the_steps_since(tmp_path):
    events = [event("u", name, 9.0 - at) for at, name in enumerate("abaa")]
    events.append(event("u", "c", 1.0, "view"))
    world = snapshot(tmp_path, events, [item(name) for name in "abc"])
    scorer = OwnFrequency.fit(world, OwnFrequencySettings(half_life_days=1.0), np.random.default_rng(0))

    columns = scorer.features(world.interactions.of(0), np.arange(3, dtype=np.int32), NOW)

    assert scorer.feature_names[:4] == ("score", "times", "steps_since_last", "steps_since_first")
    np.testing.assert_allclose(columns[:, 0], [2.0**-9 + 2.0**-7 + 2.0**-6, 2.0**-8, 0])
    np.testing.assert_array_equal(columns[:, 1:4], [[3, 0, 3], [1, 2, 2], [0, np.nan, np.nan]])


@pytest.mark.parametrize(
    ("bought", "after_latest", "before_latest", "returns"),
    [
        # The second b comes after three steps, and is the latest; c and a came before a b, and a after one.
        ("abacb", (1, 0, 0), (1, 0, 1), (2, 2 / 5, 3, 0)),
        ("abac", (0, 0, 0), (1, 0, 0), (1, 1 / 4, 2, 1)),
        ("aa", (1, 0, 0), (1, 0, 0), (1, 1 / 2, 1, 0)),
        ("abc", (0, 0, 0), (0, 1, 0), (0, 0, np.nan, np.nan)),
        ("", (0, 0, 0), (0, 0, 0), (0, np.nan, np.nan, np.nan)),
    ],
)
def test_the_columns_tell_what_stood_beside_the_latest_and_how_its_person_comes_back(
    tmp_path, bought, after_latest, before_latest, returns
):
    events = [event("u", name, 9.0 - at) for at, name in enumerate(bought)]
    world = snapshot(tmp_path, [*events, event("v", "a")], [item(name) for name in "abc"])
    scorer = OwnFrequency.fit(world, OwnFrequencySettings(), np.random.default_rng(0))
    history = world.interactions.of(0) if bought else History.empty()

    columns = scorer.features(history, np.arange(3, dtype=np.int32), NOW)

    told = dict(zip(scorer.feature_names, columns.T, strict=True))
    np.testing.assert_array_equal(told["times_after_latest"], after_latest)
    np.testing.assert_array_equal(told["times_before_latest"], before_latest)
    names = ("returns", "share_of_returns", "steps_of_last_return", "steps_since_last_return")
    for name, value in zip(names, returns, strict=True):
        np.testing.assert_array_equal(told[name], np.full(3, value, np.float32))
