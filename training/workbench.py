"""Fit configurations, see how they would have done, and keep what came of it."""

from __future__ import annotations

import hashlib
import json
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
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
from training import diagnostics, plots
from training.backtest import PLACES, Backtest, buyers, intervals, learning_curve, rank_held_out, variety
from training.fit import MODELS
from training.provenance import code_hash, code_version
from training.tracking import OpenRun, Run, Tracking

RANKED: Final = "per_user.parquet"
SETTINGS: Final = "settings.json"
BUNDLE: Final = "bundle"
REPORT: Final = "report.html"

_DRAWING: Final = Lock()
"""Matplotlib draws in one thread at a time."""


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


@dataclass(frozen=True, slots=True)
class Fitted:
    """A bundle that was fitted and saved, and what that took."""

    bundle_id: str
    seconds: float
    peak_memory_mb: float


def fit_bundle(snapshot: Path, configuration: Configuration, seed: int, now: datetime, folder: Path) -> Fitted:
    """Fit ``configuration`` on the snapshot in the folder ``snapshot``, and save the bundle to the new ``folder``."""
    start = perf_counter()
    opened = Snapshot.load(snapshot)
    model = MODELS[configuration.model]
    scorers, top = model.fit(opened, configuration.settings, np.random.default_rng(seed))
    bundle_id = Bundle.of(opened, scorers.values(), top, now, code_version()).save(folder)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Fitted(bundle_id, perf_counter() - start, peak_kb / 1024)


class Workbench:
    """One snapshot, the test on its last days, and the tracking of what is tried on them."""

    def __init__(
        self, backtest: Backtest, seed: int, tracking: Tracking, progress: Progress, workers: Executor
    ) -> None:
        self.backtest = backtest
        self.seed = seed
        self.tracking = tracking
        self._code_hash = code_hash()  # of the code that runs, whatever is edited meanwhile
        self._progress = progress
        self._workers = workers

    @classmethod
    def of(
        cls,
        layout: Layout,
        snapshot: Snapshot,
        holdout_days: int,
        seed: int,
        progress: Progress,
        workers: Executor | None = None,
    ) -> Workbench:
        """Return the workbench for ``snapshot`` and its last ``holdout_days`` days; ``workers`` do the heavy work.

        Raises:
            InvalidInput: there are no two users who bought before those days and in them.
        """
        backtest = Backtest.of(snapshot, holdout_days, layout)
        return cls(backtest, seed, Tracking(layout.mlflow), progress, workers or ThreadPoolExecutor(1))

    def test(self, configuration: Configuration) -> pl.DataFrame:
        """Return what ``rank_held_out`` says of ``configuration``; from an earlier run of the same code, if any."""
        earlier = self.tracking.find(self._tags(configuration))
        if earlier is not None and (earlier.artifacts / RANKED).is_file():
            return pl.read_parquet(earlier.artifacts / RANKED)
        with self._run(configuration) as run, TemporaryDirectory() as folder:
            past = self._fit(configuration, self.backtest.past, self.backtest.split.start, Path(folder) / BUNDLE)
            return self._test(configuration, run, past, Path(folder) / BUNDLE)

    def fit(self, configuration: Configuration, now: datetime) -> tuple[int, pl.DataFrame]:
        """Test ``configuration``, fit it on the whole snapshot, and register the bundle.

        Returns:
            The number of the new version, and what ``rank_held_out`` says of it. The version was fitted on more than
            what was tested: on the held-out period too, with the same settings.
        """
        backtest = self.backtest
        with self._run(configuration) as run, TemporaryDirectory() as folder:
            past = self._fit(configuration, backtest.past, backtest.split.start, Path(folder) / BUNDLE)
            everything = self._fit(configuration, backtest.snapshot, now, run.artifacts / BUNDLE)
            ranked = self._test(configuration, run, past, Path(folder) / BUNDLE)
            with self._shown(f"Fit {configuration.model} on everything"):
                fitted = everything.result()
            run.tag("bundle_id", fitted.bundle_id)
            run.metrics({"fit_seconds": fitted.seconds, "peak_memory_mb": fitted.peak_memory_mb})
            return self.tracking.register(run, run.artifacts / BUNDLE), ranked

    def test_all(self, configurations: Sequence[Configuration]) -> dict[str, pl.DataFrame]:
        """Return what ``test`` says of each, by the name of its model; the workers never wait for one to end."""
        with ThreadPoolExecutor(len(configurations)) as waiting:
            return dict(zip(_models(configurations), waiting.map(self.test, configurations), strict=True))

    def fit_all(self, configurations: Sequence[Configuration], now: datetime) -> dict[str, tuple[int, pl.DataFrame]]:
        """Return what ``fit`` says of each, by the name of its model; the workers never wait for one to end."""
        with ThreadPoolExecutor(len(configurations)) as waiting:
            fitted = waiting.map(lambda one: self.fit(one, now), configurations)
            return dict(zip(_models(configurations), fitted, strict=True))

    def _fit(self, configuration: Configuration, snapshot: Snapshot, now: datetime, folder: Path) -> Future[Fitted]:
        return self._workers.submit(fit_bundle, snapshot.folder, configuration, self.seed, now, folder)

    def _test(self, configuration: Configuration, run: OpenRun, past: Future[Fitted], bundle: Path) -> pl.DataFrame:
        backtest = self.backtest
        with self._shown(f"Fit {configuration.model} on the past"):
            fitted = past.result()
        start = perf_counter()
        curved = self._workers.submit(learning_curve, backtest.split, bundle, np.random.default_rng(self.seed))
        total = len(backtest.split.all.users) + len(backtest.split.new.users)
        with self._shown(f"Rank by {configuration.model}", total) as advance:
            ranked = rank_held_out(backtest, bundle, self._workers, advance)
        run.metrics({"fit_past_seconds": fitted.seconds, "rank_seconds": perf_counter() - start})
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
        bought_by = buyers(backtest.past)
        curve = curved.result()
        if curve is not None:
            for row in curve.iter_rows(named=True):
                run.metrics({f"{row['target']}/ndcg_{PLACES}_by_trees": row["ndcg"]}, step=row["trees"])
        with _DRAWING:
            if curve is not None:
                plots.learning_curve(curve, folder / "learning_curve.png")
            plots.ndcg_by_history(ranked, folder / "ndcg_by_length_of_history.png", self.seed)
            plots.popularity_of_the_recommended(ranked, bought_by, folder / "popularity_of_the_recommended.png")
        pictures = {path.stem.replace("_", " ").capitalize(): path for path in sorted(folder.glob("*.png"))}
        title = f"{configuration.model}: purchases from {backtest.split.start:%Y-%m-%d} on"
        run.write(REPORT, diagnostics.page(title, ranked, bought_by, in_catalog, pictures, self.seed))
        run.metrics(diagnostics.numbers(ranked, bought_by))
        if told := diagnostics.warnings(ranked, bought_by):
            run.tag("warning", " ".join(told))
        ranked.write_parquet(run.artifacts / RANKED)
        return ranked

    def _tags(self, configuration: Configuration) -> dict[str, str]:
        return {
            "model": configuration.model,
            "settings_hash": hashlib.sha256(str(configuration).encode()).hexdigest()[:16],
            "snapshot_hash": self.backtest.snapshot.manifest.snapshot_hash,
            "holdout_days": str(self.backtest.days),
            "seed": str(self.seed),
            "code_hash": self._code_hash,
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
    def _shown(self, words: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        task = self._progress.add_task(words, total=total)
        yield lambda more: self._progress.advance(task, more)
        self._progress.update(task, total=total or 1, completed=total or 1)


def _models(configurations: Sequence[Configuration]) -> list[str]:
    return [one.model for one in configurations]


def _settings_class(model: str) -> type[Settings]:
    if model not in MODELS:
        raise NotFound(f"There is no model {model!r}. Models: {', '.join(MODELS)}.")
    return MODELS[model].settings


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found
