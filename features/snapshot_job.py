"""The feature job: from the log to a snapshot, and from a snapshot to an earlier one."""

from __future__ import annotations

import hashlib
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl
from ibis.expr.types import Table

from features.aggregates import write_aggregates
from features.catalog import Catalog
from features.encoding import encode_catalog, encode_interactions
from features.engine import DuckDB, EngineSettings, open_engine
from features.errors import AttuneError, InvalidInput
from features.event_log import EventLog
from features.interactions import Interactions
from features.layout import Layout, point
from features.saved import load_array
from features.snapshot import FORMAT, Manifest, Snapshot, SnapshotSettings


def build(
    layout: Layout,
    settings: SnapshotSettings | None = None,
    as_of: datetime | None = None,
    engine: EngineSettings | None = None,
) -> Snapshot:
    """Return the snapshot of a run-time folder, and make it the latest; one made of the same before is used again.

    For ``as_of`` and the errors see ``snapshot_of``.
    """
    settings = settings or SnapshotSettings()
    layout.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=layout.root) as name:
        with closing(EventLog(layout)) as log, closing(Catalog(layout)) as catalog:
            tables = log.tables(Path(name))
            catalog_version = catalog.export(exported := Path(name) / "catalog.parquet")
        made_from = _fingerprint([*tables, exported], Path(name), f"{as_of} {settings.model_dump_json()}")
        snapshot = _made_from(layout, made_from) or snapshot_of(
            tables, pl.read_parquet(exported), layout.snapshots, settings, as_of, engine, catalog_version
        )
    point(snapshot.folder / "made_from", made_from)
    point(layout.latest_snapshot, snapshot.manifest.snapshot_hash)
    return snapshot


def snapshot_of(
    log: Sequence[Path],
    catalog: pl.DataFrame,
    folder: Path,
    settings: SnapshotSettings,
    as_of: datetime | None = None,
    engine: EngineSettings | None = None,
    catalog_version: str = "",
) -> Snapshot:
    """Return the snapshot of the events in the Parquet files ``log`` that happened before ``as_of``.

    It lies in ``folder``, under its hash. The same events, catalog, settings and moment give the same hash, whatever
    the layout of the log and the number of threads. ``as_of`` is cut to whole seconds, and by default the second after
    the last event. ``catalog`` is what ``Catalog.export`` writes and ``catalog_version`` what it returns; it is that of
    today, also in a snapshot of an earlier time.

    Raises:
        InvalidInput: the log is empty, or there is no interaction before ``as_of``.
    """
    with _workshop(folder, engine) as (new, duckdb):
        events, as_of = _events(log, as_of, duckdb)
        event_types = encode_interactions(events, catalog["item_id"].to_list(), new, duckdb)
        dimensions = encode_catalog(catalog, new)
        write_aggregates(new, event_types, dimensions, as_of, settings, duckdb)
        return _seal(new, folder, as_of, event_types, dimensions, settings, catalog_version)


def before(snapshot: Snapshot, timestamp: datetime, folder: Path, engine: EngineSettings | None = None) -> Snapshot:
    """Return ``snapshot`` as it would have been at ``timestamp``, with the same vocabularies and catalog.

    Everything else is made of the interactions before ``timestamp`` alone, so that what is fitted on it knows nothing
    of what came later. It lies in ``folder``, under its hash.

    Raises:
        InvalidInput: ``timestamp`` is after the snapshot's own, or no interaction happened before it.
    """
    as_of, manifest = _whole_second(timestamp), snapshot.manifest
    if as_of > manifest.as_of:
        raise InvalidInput(f"The snapshot is as of {manifest.as_of}; it cannot tell what was known at {as_of}.")
    if manifest.first_event_at is None or as_of <= manifest.first_event_at:
        raise InvalidInput(f"No interaction happened before {as_of}; the first was at {manifest.first_event_at}.")
    return of_interactions(snapshot, snapshot.interactions.before(int(as_of.timestamp())), as_of, folder, engine)


def of_interactions(
    snapshot: Snapshot,
    interactions: Interactions,
    as_of: datetime,
    folder: Path,
    engine: EngineSettings | None = None,
) -> Snapshot:
    """Return ``snapshot`` as it would be, had only ``interactions`` happened, with the same vocabularies and catalog.

    ``interactions`` are of the same users, all of them before ``as_of``. It lies in ``folder``, under its hash.
    """
    manifest = snapshot.manifest
    with _workshop(folder, engine) as (new, duckdb):
        for name in ("users.npy", "items.npy", "catalog.parquet"):
            shutil.copyfile(snapshot.folder / name, new / name)
        for dimension in manifest.dimensions:
            source, target = (root / "dimensions" / dimension for root in (snapshot.folder, new))
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("users"))
        interactions.save(new / "interactions")
        write_aggregates(new, manifest.event_types, manifest.dimensions, as_of, manifest.settings, duckdb)
        catalog_version = manifest.versions.get("catalog", "")
        return _seal(new, folder, as_of, manifest.event_types, manifest.dimensions, manifest.settings, catalog_version)


def weighed(
    snapshot: Snapshot, event_weights: Mapping[str, float], folder: Path, engine: EngineSettings | None = None
) -> Snapshot:
    """Return ``snapshot`` as it would be, had it been built with ``event_weights``. It lies in ``folder``."""
    manifest = snapshot.manifest
    settings = SnapshotSettings(event_weights=dict(event_weights), half_life_days=manifest.settings.half_life_days)
    other = Snapshot(snapshot.folder, manifest.model_copy(update={"settings": settings}))
    return of_interactions(other, snapshot.interactions, manifest.as_of, folder, engine)


def _events(log: Sequence[Path], as_of: datetime | None, duckdb: DuckDB) -> tuple[Table, datetime]:
    """Return the events of ``log`` before ``as_of``, and that moment."""
    empty = InvalidInput("The log is empty. Import some events first: `python -m features import events`.")
    if not log:
        raise empty
    events = duckdb.read_tables(log)
    first, last = duckdb.to_polars(events.aggregate(first=events.timestamp.min(), last=events.timestamp.max())).row(0)
    if last is None:
        raise empty
    as_of = _whole_second(as_of or last + timedelta(seconds=1))
    if as_of <= first:
        raise InvalidInput(f"No event happened before {as_of}; the log reaches from {first} to {last}.")
    return events.filter(events.timestamp < as_of), as_of


def _whole_second(timestamp: datetime) -> datetime:
    """Return ``timestamp`` in UTC, cut to the second; a naive one is taken as UTC."""
    aware = timestamp.replace(tzinfo=UTC) if timestamp.tzinfo is None else timestamp.astimezone(UTC)
    return aware.replace(microsecond=0)


@contextmanager
def _workshop(parent: Path, settings: EngineSettings | None) -> Iterator[tuple[Path, DuckDB]]:
    """Give an empty folder below ``parent``, gone afterwards unless it was renamed, and an engine to fill it."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=parent) as folder:
        (new := Path(folder) / "snapshot").mkdir()
        with open_engine(settings or EngineSettings(), Path(folder) / "spill") as engine:
            yield new, engine


def _seal(
    new: Path,
    parent: Path,
    as_of: datetime,
    event_types: Sequence[str],
    dimensions: Sequence[str],
    settings: SnapshotSettings,
    catalog_version: str,
) -> Snapshot:
    """Write the manifest into the folder ``new`` and give it its name."""
    interactions = Interactions.load(new / "interactions")
    times = interactions.all.timestamp_s
    in_catalog = pl.scan_parquet(new / "catalog.parquet").select(pl.col("in_catalog").sum()).collect().item()
    manifest = Manifest(
        format=FORMAT,
        snapshot_hash="",
        as_of=as_of,
        first_event_at=datetime.fromtimestamp(int(times.min()), UTC),
        last_event_at=datetime.fromtimestamp(int(times.max()), UTC),
        event_types=tuple(event_types),
        dimensions=tuple(dimensions),
        counts={
            "users": interactions.n_users,
            "items": len(load_array(new / "items.npy")),
            "items_in_catalog": in_catalog,
            "interactions": len(times),
            "sessions": int(interactions.all.session.max()) + 1,
        },
        versions={name: version(name) for name in ("attune", "duckdb", "ibis-framework", "numpy", "polars")}
        | {"python": platform.python_version(), "catalog": catalog_version},
        settings=settings,
    )
    manifest = manifest.model_copy(update={"snapshot_hash": _content_hash(new, manifest)})
    (new / "manifest.json").write_text(manifest.model_dump_json(indent=2) + "\n")
    named = parent / manifest.snapshot_hash
    if not (named / "manifest.json").exists():
        new.rename(named)
    return Snapshot.load(named)


def _content_hash(folder: Path, manifest: Manifest) -> str:
    """Return 16 hexadecimal digits that depend on what the snapshot says, and not on who wrote it or when."""
    digest = hashlib.sha256(manifest.model_dump_json(exclude={"snapshot_hash", "versions"}).encode())
    for path in sorted(folder.rglob("*.*"), key=lambda path: path.relative_to(folder).as_posix()):
        digest.update(f"\n{path.relative_to(folder).as_posix()}\n".encode())
        if path.suffix == ".npy":
            array = load_array(path)
            digest.update(f"{array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).view(np.uint8).data)
        else:
            for rows in pl.read_parquet(path).iter_slices(100_000):
                digest.update(rows.write_ndjson().encode())
    return digest.hexdigest()[:16]


def _fingerprint(files: Sequence[Path], new: Path, choices: str) -> str:
    """Return a line that changes with what a snapshot is made of.

    The files of the history never change, so their names, sizes and times stand for them; those in ``new`` are written
    for each build, so their content does.
    """
    digest = hashlib.sha256(f"{FORMAT} {choices}".encode())
    for path in sorted(files):
        if path.parent == new:
            digest.update(path.read_bytes())
        else:
            state = path.stat()
            digest.update(f"{path} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _made_from(layout: Layout, made_from: str) -> Snapshot | None:
    try:
        latest = Snapshot.latest(layout)
        return latest if (latest.folder / "made_from").read_text().strip() == made_from else None
    except (AttuneError, OSError):
        return None
