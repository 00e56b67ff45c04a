from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from models.own_frequency import OwnFrequency, OwnFrequencySettings
from tests.training.test_lessons import questions
from tests.worlds import event, item, snapshot
from training import chooser
from training.chooser import Data, Part, best_settings
from training.studies import Studies


def test_trials_are_quick_and_what_they_choose_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[OwnFrequencySettings] = []

    def fit(world: object, settings: OwnFrequencySettings, rng: np.random.Generator) -> OwnFrequency:
        tried.append(settings)
        return OwnFrequency(settings)

    part = Part(
        fit,
        lambda trial, data: OwnFrequencySettings(half_life_days=trial.suggest_float("half_life", 1.0, 2.0)),
        {"half_life": 1.5},
        quickly={"half_life_days": 0.1},
    )
    monkeypatch.setitem(chooser.PARTS, "own-frequency", part)
    world = snapshot(tmp_path, [event("u", "a")], [item("a")])
    data = Data(True, True, False, False, False, 1.0, 1)
    with ThreadPoolExecutor(1) as workers:
        choice = best_settings(
            *("own-frequency", data, world, questions(([0], [0])), Studies(), 3, np.inf),
            *(np.random.default_rng(0), workers, 1),
        )

    assert [one.half_life_days for one in tried] == [0.1] * 3
    assert isinstance(choice.settings, OwnFrequencySettings)
    assert choice.settings.half_life_days == 1.5
    assert choice.trials == 3
