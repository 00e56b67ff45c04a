"""What a feature job makes of the log as of one moment: the input of everything that learns."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field, ValidationError
from scipy import sparse

from features.errors import Corrupt, NotFound
from features.interactions import Interactions
from features.layout import Layout, pointed
from features.saved import load_array, load_table
from features.settings import Settings
from features.vocabulary import Vocabulary

FORMAT = 1


class SnapshotSettings(Settings):
    """How a snapshot is made of the log."""

    event_weights: dict[str, Annotated[float, Field(ge=-100, le=100)]] = {
        "view": 0.1,
        "click": 0.1,
        "add_to_cart": 0.4,
        "favorite": 0.4,
        "purchase": 1.0,
    }
    """Weight of one event of each type in the combined matrix and in affinities; a type not named weighs 0."""
    half_life_days: float = Field(default=60.0, gt=0)
    """Age at which an interaction counts half."""


class Manifest(Settings):
    """What a snapshot holds, and of what it was made; the file ``manifest.json``."""

    format: int
    snapshot_hash: str
    as_of: datetime
    first_event_at: datetime | None
    last_event_at: datetime | None
    event_types: tuple[str, ...]
    """Names of the codes in ``interactions.event_type``; begins with ``STANDARD_EVENT_TYPES``."""
    dimensions: tuple[str, ...]
    counts: dict[str, int]
    versions: dict[str, str]
    settings: SnapshotSettings


class Snapshot:
    """A folder of immutable files, opened: arrays are memory-mapped, and read when first asked for.

    Rows and columns are indices of ``users`` and ``items``. Every item of the catalog and every item that any event
    names has an index; ``catalog`` says which may be shown.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def load(cls, folder: Path) -> Snapshot:
        """Return the snapshot in ``folder``.

        Raises:
            NotFound: there is none.
            Corrupt: its manifest is damaged, or of a newer format.
        """
        path = folder / "manifest.json"
        try:
            manifest = Manifest.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise NotFound(f"There is no snapshot in {folder}. Make one with `python -m features build`.") from None
        except ValidationError as error:
            raise Corrupt(f"{path} is damaged: {error.error_count()} fields do not fit. Build it again.") from None
        if manifest.format > FORMAT:
            raise Corrupt(f"{path} has format {manifest.format}; this version reads up to {FORMAT}. Update Attune.")
        return cls(folder, manifest)

    @classmethod
    def latest(cls, layout: Layout) -> Snapshot:
        """Return the snapshot that ``python -m features build`` made last.

        Raises:
            NotFound: none was built yet.
            Corrupt: its manifest is damaged, or of a newer format.
        """
        try:
            name = pointed(layout.latest_snapshot)
        except FileNotFoundError:
            raise NotFound(f"There is no snapshot in {layout.root}. Make one: `python -m features build`.") from None
        return cls.load(layout.snapshots / name)

    @cached_property
    def users(self) -> Vocabulary:
        """The users with at least one interaction."""
        return Vocabulary.load(self.folder / "users.npy")

    @cached_property
    def items(self) -> Vocabulary:
        """The items of the catalog and of the log."""
        return Vocabulary.load(self.folder / "items.npy")

    @cached_property
    def interactions(self) -> Interactions:
        """Every interaction before ``manifest.as_of``."""
        return Interactions.load(self.folder / "interactions")

    @cached_property
    def catalog(self) -> pl.DataFrame:
        """One row for each item, in order of its index.

        Columns: ``item_id``, ``in_catalog`` (False for what only events name), the other fields of the catalog
        (``item_type``, ``title``, ``description``, ``url``, ``image_url``, ``price``, ``list_price``, ``stock``,
        ``visible``, ``published_at``, ``expires_at``), and one column of ``list[str]`` for each dimension.
        """
        return load_table(self.folder / "catalog.parquet")

    @cached_property
    def item_features(self) -> pl.DataFrame:
        """One row for each item, in order of its index.

        Columns: ``n_TYPE`` for each event type that occurs (its events, a return counting -1); ``users`` who had to do
        with it; ``popularity`` (sum of the decayed weights of ``combined``); ``repeat_rate`` (share of its buyers who
        bought it at two times or more); ``price`` (median paid for one piece); ``first_at`` and ``last_at`` (UTC). The
        last four are null where nothing is known.
        """
        return load_table(self.folder / "item_features.parquet")

    @cached_property
    def user_features(self) -> pl.DataFrame:
        """One row for each user, in order of its index.

        Columns: ``n_TYPE`` for each event type that occurs (their events, a return counting -1); ``sessions`` that are
        known; ``value`` (money of all events, money given back taken off); ``first_at`` and ``last_at`` (UTC; null
        for a user of whom nothing is known yet).
        """
        return load_table(self.folder / "user_features.parquet")

    def matrix(self, name: str) -> sparse.csr_matrix:
        """Return the user-item matrix ``name``: an event type, or ``combined``.

        Shape (users, items), float32. An entry of an event type's matrix counts its events, a return counting -1; an
        entry of ``combined`` is the sum of their weights, each halved every ``half_life_days`` before ``as_of``.
        Entries that are 0 or less are left out.

        Raises:
            NotFound: the log has no such event type.
        """
        return self._csr(self.folder / "matrices" / name, f"matrix {name!r}", len(self.users), len(self.items))

    def values(self, dimension: str) -> Vocabulary:
        """Return the values of ``dimension``."""
        return Vocabulary.load(self._dimension(dimension) / "values.npy")

    def item_values(self, dimension: str) -> sparse.csr_matrix:
        """Return which values each item has; shape (items, values), 1 where it has it."""
        folder = self._dimension(dimension)
        return self._csr(folder / "items", dimension, len(self.items), len(self.values(dimension)))

    def affinities(self, dimension: str) -> sparse.csr_matrix:
        """Return the decayed weight of each user's interactions with items of each value; shape (users, values)."""
        folder = self._dimension(dimension)
        return self._csr(folder / "users", dimension, len(self.users), len(self.values(dimension)))

    def _dimension(self, dimension: str) -> Path:
        if dimension not in self.manifest.dimensions:
            allowed = ", ".join(self.manifest.dimensions) or "none"
            raise NotFound(f"The catalog has no dimension {dimension!r}; it has: {allowed}.")
        return self.folder / "dimensions" / dimension

    def _csr(self, folder: Path, name: str, rows: int, columns: int) -> sparse.csr_matrix:
        if not folder.is_dir():
            raise NotFound(f"The snapshot {self.folder} has no {name}.")
        parts = tuple(load_array(folder / f"{part}.npy") for part in ("data", "indices", "indptr"))
        return sparse.csr_matrix(parts, shape=(rows, columns))
