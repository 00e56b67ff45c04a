"""Where run-time data lies."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The folders and files below one run-time folder (``var/`` unless told otherwise)."""

    root: Path

    @property
    def database(self) -> Path:
        """The SQLite database: live events, profiles, the catalog, decisions and definitions."""
        return self.root / "attune.db"

    @property
    def writer_lock(self) -> Path:
        """An empty file: the workers of the service lock it in turn, to write to the database."""
        return self.root / "attune.lock"

    @property
    def identity(self) -> Path:
        """Which ids may be linked, ``IdentitySettings`` as TOML; may be missing."""
        return self.root / "identity.toml"

    @property
    def rankings(self) -> Path:
        """The SQLite database of the rankings that were shown."""
        return self.root / "rankings.db"

    @property
    def history(self) -> Path:
        """The Parquet event history, one folder a day: ``day=2017-12-04/``."""
        return self.root / "events"

    @property
    def rejects(self) -> Path:
        """One file for each import that had bad rows."""
        return self.root / "rejects"

    @property
    def snapshots(self) -> Path:
        """One folder for each snapshot, named by its content hash."""
        return self.root / "snapshots"

    @property
    def latest_snapshot(self) -> Path:
        """A one-line file that holds the hash of the snapshot built last; replaced atomically."""
        return self.root / "latest_snapshot"

    @property
    def backtests(self) -> Path:
        """Snapshots of earlier times, to learn from and test on what followed; they may be deleted."""
        return self.root / "backtests"

    @property
    def studies(self) -> Path:
        """The trials of settings, so that an interrupted choice goes on; they may be deleted."""
        return self.root / "studies"

    @property
    def bundles(self) -> Path:
        """One folder for each bundle that was promoted, named by its ``bundle_id``."""
        return self.root / "bundles"

    @property
    def champion(self) -> Path:
        """A one-line file that holds the ``bundle_id`` now served; replaced atomically."""
        return self.root / "champion"

    @property
    def mlflow(self) -> Path:
        """The MLflow database and its artifacts."""
        return self.root / "mlflow"


def point(path: Path, name: str) -> None:
    """Make the one-line file ``path`` hold ``name``; a reader finds the old line or the new, even after a power cut."""
    handle, unfinished = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{name}\n")
        file.flush()
        os.fsync(file.fileno())
    Path(unfinished).chmod(0o644)
    Path(unfinished).replace(path)


def pointed(path: Path) -> str:
    """Return what ``point`` made the file ``path`` hold; raises FileNotFoundError where there is none."""
    return path.read_text(encoding="utf-8").strip()
