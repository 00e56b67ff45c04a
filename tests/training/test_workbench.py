from __future__ import annotations

import pytest
from rich.progress import Progress

from features.layout import Layout
from features.snapshot import Snapshot
from training import workbench
from training.workbench import Configuration, Workbench


def test_a_line_that_is_edited_meanwhile_costs_no_second_test(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Workbench.of(layout, Snapshot.latest(layout), 28, 0, Progress(disable=True))
    popularity = Configuration.of("popularity")
    first = bench.test(popularity)
    monkeypatch.setattr(workbench, "code_hash", lambda: "of another line")
    monkeypatch.delattr(workbench, "fit_bundle")
    assert bench.test(popularity).equals(first)
