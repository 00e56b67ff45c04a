"""Fit configurations, see how they would have done, and keep what came of it."""

from __future__ import annotations

import hashlib
import json
import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import polars as pl
from rich.progress import Progress

from features.errors import NotFound
from features.layout import Layout
from features.settings import Settings
from features.snapshot import Snapshot
from models.bundle import Bundle
from models.scorer import Scorer
from serving.recipes import BUILT_IN, Recipes
from training import plots
from training.backtest import PLACES, Backtest, buyers, intervals, rank_held_out, variety
from training.fit import MODELS
from training.provenance import code_hash, code_version
from training.tracking import OpenRun, Run, Tracking

RANKED: Final = "per_user.parquet"
SETTINGS: Final = "settings.json"
BUNDLE: Final = "bundle"


@dataclass(frozen=True, slots=True)
class Configuration:
    """What is to be fitted: the name of a model, and its settings."""

    model: str
    settings: Settings

    @classmethod
    def of(cls, model: str, settings: Path | None = None) -> Configuration:
        """Return the configuration of ``model`` that the TOML file ``settings`` describes, or its default.

        Raises:
            NotFound: there is no such model or file.
            InvalidInput: the settings do not fit the model.
        """
        return cls(model, _settings_class(model).read(settings) if settings else _settings_class(model)())

    @classmethod
    def logged(cls, run: Run) -> Configuration:
        """Return the configuration that ``run`` fitted.

        Raises:
            NotFound: this version has no such model.
            InvalidInput: this version's model has other settings.
        """
        path = run.artifacts / SETTINGS
        return cls(run.tags["model"], _settings_class(run.tags["model"]).of(json.loads(path.read_text()), str(path)))

    def __str__(self) -> str:
        return f"{self.model} {self.settings.model_dump_json()}"


class Workbench:
    """One snapshot, the test on its last days, and the tracking of what is tried on them."""

    def __init__(self, backtest: Backtest, seed: int, tracking: Tracking, progress: Progress) -> None:
        self.backtest = backtest
        self.seed = seed
        self.tracking = tracking
        self._progress = progress
        self.recipes = Recipes.read(BUILT_IN)

    @classmethod
    def of(cls, layout: Layout, snapshot: Snapshot, holdout_days: int, seed: int, progress: Progress) -> Workbench:
        """Return the workbench for ``snapshot`` and its last ``holdout_days`` days.

        Raises:
            InvalidInput: there are no two users who bought before those days and in them.
        """
        return cls(Backtest.of(snapshot, holdout_days, layout), seed, Tracking(layout.mlflow), progress)

    def test(self, configuration: Configuration) -> pl.DataFrame:
        """Return what ``rank_held_out`` says of ``configuration``; from an earlier run of the same code, if any."""
        earlier = self.tracking.find(self._tags(configuration))
        if earlier is not None and (earlier.artifacts / RANKED).is_file():
            return pl.read_parquet(earlier.artifacts / RANKED)
        with self._run(configuration) as run:
            return self._test(configuration, run)

    def fit(self, configuration: Configuration, now: datetime) -> tuple[int, pl.DataFrame]:
        """Test ``configuration``, fit it on the whole snapshot, and register the bundle.

        Returns:
            The number of the new version, and what ``rank_held_out`` says of it. The version was fitted on more than
            what was tested: on the held-out period too, with the same settings.
        """
        with self._run(configuration) as run:
            ranked = self._test(configuration, run)
            snapshot = self.backtest.snapshot
            with self._timed(run, f"Fit {configuration.model} on everything", "fit_seconds"):
                scorers, top = self._fit(configuration, snapshot)
            bundle = Bundle.of(snapshot, scorers.values(), top, now, code_version())
            run.tag("bundle_id", bundle.save(run.artifacts / BUNDLE))
            run.metrics({"peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})
            return self.tracking.register(run, run.artifacts / BUNDLE), ranked

    def _test(self, configuration: Configuration, run: OpenRun) -> pl.DataFrame:
        backtest = self.backtest
        with self._timed(run, f"Fit {configuration.model} on the past", "fit_past_seconds"):
            scorers, top = self._fit(configuration, backtest.past)
        total = len(backtest.split.all.users) + len(backtest.split.new.users)
        with self._timed(run, f"Rank by {configuration.model}", "rank_seconds", total) as advance:
            ranked = rank_held_out(backtest, scorers.values(), top, self.recipes, advance)
        in_catalog = backtest.past.catalog["in_catalog"].to_numpy()
        run.metrics(
            {
                f"{target}/{name}_{PLACES}{bound}": value
                for target, of_target in intervals(ranked, self.seed).items()
                for name, interval in of_target.items()
                for bound, value in (("", interval.mean), (".low", interval.low), (".high", interval.high))
            }
            | {
                f"{target}/{name}": value
                for target, of_target in variety(ranked, in_catalog).items()
                for name, value in of_target.items()
            }
        )
        folder = run.folder("plots")
        plots.ndcg_by_history(ranked, folder / "ndcg_by_length_of_history.png", self.seed)
        plots.popularity_of_the_recommended(ranked, buyers(backtest.past), folder / "popularity_of_the_recommended.png")
        ranked.write_parquet(run.artifacts / RANKED)
        return ranked

    def _fit(self, configuration: Configuration, snapshot: Snapshot) -> tuple[dict[str, Scorer], str]:
        return MODELS[configuration.model].fit(snapshot, configuration.settings, np.random.default_rng(self.seed))

    def _tags(self, configuration: Configuration) -> dict[str, str]:
        return {
            "model": configuration.model,
            "settings_hash": hashlib.sha256(str(configuration).encode()).hexdigest()[:16],
            "snapshot_hash": self.backtest.snapshot.manifest.snapshot_hash,
            "holdout_days": str(self.backtest.days),
            "seed": str(self.seed),
            "code_hash": code_hash(),
        }

    @contextmanager
    def _run(self, configuration: Configuration) -> Iterator[OpenRun]:
        tags = self._tags(configuration)
        settings = configuration.settings.model_dump(mode="json")
        with self.tracking.run(configuration.model, tags | {"code_version": code_version()}) as run:
            run.artifacts.mkdir(parents=True)
            (run.artifacts / SETTINGS).write_text(json.dumps(settings, indent=2), encoding="utf-8")
            run.parameters(
                {name: tags[name] for name in ("model", "snapshot_hash", "holdout_days", "seed")} | _flat(settings)
            )
            yield run

    @contextmanager
    def _timed(self, run: OpenRun, words: str, metric: str, total: int | None = None) -> Iterator[Any]:
        start = perf_counter()
        task = self._progress.add_task(words, total=total)
        yield lambda: self._progress.advance(task)
        self._progress.update(task, total=total or 1, completed=total or 1)
        run.metrics({metric: perf_counter() - start})


def _settings_class(model: str) -> type[Settings]:
    if model not in MODELS:
        raise NotFound(f"There is no model {model!r}. Models: {', '.join(MODELS)}.")
    return MODELS[model].settings


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found
