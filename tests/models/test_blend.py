from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.errors import Corrupt
from models.blend import Blend, BlendSettings, column_names
from models.bundle import Bundle
from models.own_frequency import OwnFrequency, OwnFrequencySettings
from models.scorer import Scorer
from tests.worlds import NOW, event, item, snapshot


def test_trees_that_learned_from_other_columns_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # An earlier version knew one thing less of an item; its trees would look at the wrong columns.
    world = snapshot(tmp_path / "snapshot", [event("u", "a")], [item("a")])
    part = OwnFrequency.fit(world, OwnFrequencySettings(), np.random.default_rng(0))
    parts: dict[str, Scorer] = {part.name: part}
    with monkeypatch.context() as earlier:
        earlier.setattr(OwnFrequency, "feature_names", OwnFrequency.feature_names[:-1])
        rng = np.random.default_rng(0)
        columns = rng.random((500, len(column_names(parts)))).astype(np.float32)
        config = BlendSettings(candidates={part.name: 10}, trees=2)
        blend = Blend.fit(parts, columns, columns[:, 0] > 0.5, config, rng)
        Bundle.of(world, [part, blend], "blend", NOW, "").save(tmp_path / "bundle")
        assert Bundle.load(tmp_path / "bundle").scorers["blend"].feature_names == tuple(column_names(parts))

    with pytest.raises(Corrupt, match=r"blend is not of this version: the trees learned from other columns .* Fit"):
        Bundle.load(tmp_path / "bundle")
