import numpy as np

from models.own_frequency import OwnFrequency, OwnFrequencySettings
from tests.worlds import NOW, event, item, snapshot


def test_the_columns_count_purchases_and_the_steps_since(tmp_path):
    events = [event("u", name, 9.0 - at) for at, name in enumerate("abaa")]
    events.append(event("u", "c", 1.0, "view"))
    world = snapshot(tmp_path, events, [item(name) for name in "abc"])
    scorer = OwnFrequency.fit(world, OwnFrequencySettings(half_life_days=1.0), np.random.default_rng(0))

    columns = scorer.features(world.interactions.of(0), np.arange(3, dtype=np.int32), NOW)

    assert scorer.feature_names == ("score", "times", "steps_since_last", "steps_since_first")
    np.testing.assert_allclose(columns[:, 0], [2.0**-9 + 2.0**-7 + 2.0**-6, 2.0**-8, 0])
    np.testing.assert_array_equal(columns[:, 1:], [[3, 0, 3], [1, 2, 2], [0, np.nan, np.nan]])
