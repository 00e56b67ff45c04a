"""Runs, their artifacts, and the versions of the model: the only place that knows MLflow."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlparse

# MLflow reads it when it is imported. Usage is reported only where the operator asks for it.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import logging

from mlflow import MlflowClient, entities
from mlflow.entities import Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)

EXPERIMENT: Final = "attune"
MODEL: Final = "attune"
"""Name of the registered model; its versions are bundles."""
CHALLENGER: Final = "challenger"
CHAMPION: Final = "champion"


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    Attributes:
        run_id: How MLflow names it.
        tags: What it is of; see ``Tracking.run``.
        artifacts: The folder of its artifacts.
    """

    run_id: str
    tags: dict[str, str]
    artifacts: Path


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the model.

    Attributes:
        number: Counts from 1.
        run: The run that made it.
        bundle: The folder of its bundle.
    """

    number: int
    run: Run
    bundle: Path


class OpenRun:
    """A run that is under way."""

    def __init__(self, client: MlflowClient, run_id: str, artifacts: Path) -> None:
        self._client = client
        self.run_id = run_id
        self.artifacts = artifacts

    def parameters(self, values: Mapping[str, object]) -> None:
        """Log what the run was asked for."""
        self._client.log_batch(self.run_id, params=[Param(name, str(value)) for name, value in values.items()])

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log what came out, at ``step`` of a curve."""
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        self._client.log_batch(
            self.run_id, metrics=[Metric(name, value, now_ms, step) for name, value in values.items()]
        )

    def tag(self, name: str, value: str) -> None:
        """Say one more thing of what the run is of."""
        self._client.set_tag(self.run_id, name, value)

    def write(self, name: str, text: str) -> None:
        """Make ``text`` the artifact ``name``, in place of an earlier one."""
        self.artifacts.mkdir(parents=True, exist_ok=True)
        (self.artifacts / name).write_text(text, encoding="utf-8")

    def folder(self, name: str) -> Path:
        """Return the new, empty folder of artifacts ``name``; what is written there belongs to the run."""
        folder = self.artifacts / name
        folder.mkdir(parents=True)
        return folder


class Tracking:
    """The runs and model versions kept in one folder: an SQLite database and the artifacts beside it."""

    def __init__(self, folder: Path) -> None:
        """Open the folder; its database is made or migrated where needed, which takes some seconds."""
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self._client = MlflowClient(self.uri)
        found = self._client.get_experiment_by_name(EXPERIMENT)
        self._experiment_id = (
            found.experiment_id
            if found
            else self._client.create_experiment(EXPERIMENT, (folder / "artifacts").as_uri())
        )

    @contextmanager
    def run(
        self, name: str, tags: Mapping[str, str], parent: OpenRun | None = None, resume: bool = False
    ) -> Iterator[OpenRun]:
        """Return a run that is finished at the end of the block, or failed where the block raises.

        Args:
            name: What a person reads in the list of runs.
            tags: What the run is of, to find it again.
            parent: The run that it is part of.
            resume: Whether to go on with the latest run of the same tags, if there is one.
        """
        if parent is not None:
            tags = dict(tags) | {MLFLOW_PARENT_RUN_ID: parent.run_id}
        run = self._latest(tags) if resume else None
        if run is None:
            run = self._client.create_run(self._experiment_id, run_name=name, tags=dict(tags))
        else:
            self._client.update_run(run.info.run_id, status=RunStatus.to_string(RunStatus.RUNNING))
        try:
            yield OpenRun(self._client, run.info.run_id, _path(run.info.artifact_uri))
        except BaseException:
            self._client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.FAILED))
            raise
        self._client.set_terminated(run.info.run_id)

    def find(self, tags: Mapping[str, str]) -> Run | None:
        """Return the latest finished run that has all of ``tags``, or None."""
        found = self._latest(tags, "attributes.status = 'FINISHED'")
        return _run(found) if found else None

    def _latest(self, tags: Mapping[str, str], *conditions: str) -> entities.Run | None:
        conditions += tuple(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        found = self._client.search_runs(
            [self._experiment_id], " and ".join(conditions), max_results=1, order_by=["attributes.start_time DESC"]
        )
        return found[0] if found else None

    def register(self, run: OpenRun, bundle: Path) -> int:
        """Make ``bundle``, an artifact of ``run``, the next version, and return its number."""
        try:
            self._client.get_registered_model(MODEL)
        except MlflowException:
            self._client.create_registered_model(MODEL)
        version = self._client.create_model_version(MODEL, source=bundle.as_uri(), run_id=run.run_id)
        return int(version.version)

    def name(self, version: int, alias: str) -> None:
        """Give ``version`` the alias ``alias``, and take it from whichever had it."""
        self._client.set_registered_model_alias(MODEL, alias, str(version))

    def named(self, alias: str) -> Version | None:
        """Return the version with the alias ``alias``, or None where there is none."""
        try:
            version = self._client.get_model_version_by_alias(MODEL, alias)
        except MlflowException:
            return None
        return Version(int(version.version), _run(self._client.get_run(version.run_id)), _path(version.source))


def ui_command(tracking: Tracking, port: int) -> list[str]:
    """Return the command that serves MLflow's pages on ``port`` of this machine."""
    return [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", tracking.uri, "--port", str(port)]


def _run(run: entities.Run) -> Run:
    return Run(run.info.run_id, dict(run.data.tags), _path(run.info.artifact_uri))


def _path(uri: str) -> Path:
    return Path(unquote(urlparse(uri).path))
