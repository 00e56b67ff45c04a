from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.errors import InvalidInput
from features.layout import Layout
from features.snapshot import Snapshot
from models.blend import BlendSettings
from tests.worlds import NOW, event, shop_of_habits, snapshot
from training.composed import ComposedSettings
from training.fit import MODELS, BlendedSettings, _periods


def test_periods_lie_one_behind_another_and_end_with_the_snapshot(tmp_path: Path) -> None:
    shop = snapshot(tmp_path, [event("ann", "tea", 100.0)], [])
    days = timedelta(days=1)
    assert _periods(shop, BlendedSettings(horizon_days=20, periods=3)) == [
        (NOW - 20 * days, NOW),
        (NOW - 40 * days, NOW - 20 * days),
        (NOW - 60 * days, NOW - 40 * days),
    ]


def test_there_are_fewer_periods_where_little_is_known_before(tmp_path: Path) -> None:
    shop = snapshot(tmp_path, [event("ann", "tea", 61.0)], [])
    assert len(_periods(shop, BlendedSettings(horizon_days=20, periods=9))) == 2  # the third would know of one day
    assert len(_periods(shop, BlendedSettings(horizon_days=90, periods=9))) == 1


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ({"popularity": 10}, r"blend\.candidates names popularity; a count is due for each of buy-again"),
        ({"nothing": 10}, r"blend\.candidates names nothing"),
        (dict.fromkeys(BlendSettings().candidates, 0), "no part proposes anything"),
    ],
)
def test_counts_of_candidates_that_do_not_fit_the_parts_are_refused(candidates: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        BlendedSettings.of({"blend": {"candidates": candidates}}, "blend.toml")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"parts": {"popularity": {}, "als": {}}},
            r"blend\.candidates names .*; a count is due for each of popularity, als",
        ),
        (
            {"blend": {"candidates": {"buy-again": 9}}},
            "names buy-again; a count is due for each of buy-again, item-to-item",
        ),
        ({"distilled": {"candidates": {"als": 9}}}, r"distilled\.candidates names als, which is none of buy-again"),
    ],
)
def test_a_composed_blend_counts_its_parts_and_no_others(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        ComposedSettings.of(given, "composed.toml")


def test_a_blend_of_one_period_differs_from_one_of_three(tmp_path: Path) -> None:
    shop = Snapshot.latest(shop_of_habits(tmp_path))
    assert Layout(tmp_path).latest_snapshot.is_file()
    small = {"blend": {"trees": 5, "least_rows": 5}, "als": {"factors": 4}}
    models = [
        MODELS["blend"].fit(shop, BlendedSettings.of({**small, "periods": n}, "test"), np.random.default_rng(0))[0]
        for n in (1, 3)
    ]
    one, three = (scorers["blend"].arrays()["model"].tobytes() for scorers in models)
    assert one != three


def test_a_blend_can_be_grown_for_the_order_of_each_person_s_candidates(tmp_path: Path) -> None:
    shop = Snapshot.latest(shop_of_habits(tmp_path))
    settings = {"blend": {"trees": 5, "least_rows": 5, "objective": "lambdarank"}, "als": {"factors": 4}}
    scorers, top = MODELS["blend"].fit(shop, BlendedSettings.of(settings, "test"), np.random.default_rng(0))
    history = shop.interactions.of(0)
    assert len(scorers[top].candidates(history, 5, NOW)) == 5
