"""The choice of a model for a shop, by what its people bought last."""

from __future__ import annotations

import json
import tempfile
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

from rich.progress import Progress

from features.layout import Layout
from features.snapshot_job import weighed
from training.backtest import Backtest
from training.benchmark import Benchmark
from training.composed import ComposedSettings
from training.event_weights import learned_weights
from training.protocols import periods
from training.studies import Studies
from training.tracking import Tracking
from training.workbench import Configuration

MODEL: Final = "composed"
CHOICE: Final = "choice.json"


def choose(
    backtest: Backtest,
    layout: Layout,
    tracking: Tracking,
    budget_minutes: float,
    seed: int,
    progress: Progress,
    workers: Executor,
    at_once: int,
) -> Configuration:
    """Return the parts and settings that rank best what was bought in the last days before the held-out period.

    The held-out period itself is left for the test. Trials are kept below ``layout``: the same call after an
    interruption goes on where it was. The run of the choice holds one run for each study, and ``choice.json``.

    Raises:
        InvalidInput: too little was bought to choose by.
    """
    past = backtest.past
    plan = periods(past, backtest.days)
    tags = {
        "snapshot_hash": past.manifest.snapshot_hash,
        "protocol": f"periods of {backtest.days} days",
        "seed": str(seed),
    }
    with (
        Studies.kept(layout, tracking, "choice of a model", tags) as studies,
        tempfile.TemporaryDirectory(prefix=".choice-", dir=layout.root) as name,
    ):
        weights = learned_weights(past, plan.validation, seed)
        if weights is not None:
            past = weighed(past, weights, Path(name))
        one = Benchmark(
            past, True, plan, studies, budget_minutes, seed, Path(name) / "known", progress, workers, at_once
        )
        chosen, how = one.choose()
        settings = ComposedSettings(
            parts={part: config.model_dump(mode="json") for part, config in chosen.parts.items()},
            blend=chosen.blend,
            distilled=chosen.distilled,
            event_weights=weights,
            horizon_days=backtest.days,
        )
        assert studies.run is not None
        studies.run.metrics(
            {f"validation/{name.replace('@', '_')}": value for name, value in how["validation"].items()}
        )
        studies.run.write(CHOICE, json.dumps(how | {"event_weights": weights}, indent=2))
    return Configuration(MODEL, settings)
