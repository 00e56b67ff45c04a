"""Tiny worlds whose right answers are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse

from features.events import STANDARD_EVENT_TYPES, Event
from features.interactions import COLUMNS, History, Interactions
from features.snapshot import FORMAT, Manifest, Snapshot, SnapshotSettings
from features.vocabulary import Vocabulary

NOW = datetime(2026, 1, 31, tzinfo=UTC)
"""When every world is looked at."""


def event(user_id: str, item_id: str, days_ago: float = 1.0, event_type: str = "purchase", **rest: Any) -> Event:
    """Return an event ``days_ago`` days before ``NOW``."""
    name = f"{user_id} {event_type} {item_id} {days_ago}"
    return Event(name, event_type, user_id, NOW - timedelta(days=days_ago), item_id, **rest)


def item(item_id: str, **attributes: Any) -> dict[str, Any]:
    """Return a catalog row that may be shown, with ``attributes``; a list of texts is a dimension."""
    return {"item_id": item_id, "title": f"Item {item_id}", "price": 1.0, **attributes}


def snapshot(
    folder: Path, events: Iterable[Event], items: Sequence[Mapping[str, Any]], as_of: datetime = NOW
) -> Snapshot:
    """Write the snapshot of ``events`` and of the catalog rows ``items`` to ``folder``, and return it, opened."""
    events = sorted(events, key=lambda one: (one.user_id.encode(), one.timestamp))
    users = Vocabulary.of(one.user_id for one in events)
    vocabulary = Vocabulary.of([*(row["item_id"] for row in items), *(one.item_id for one in events)])
    settings = SnapshotSettings()
    folder.mkdir(parents=True)
    users.save(folder / "users.npy")
    vocabulary.save(folder / "items.npy")

    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for one in events:
        columns["item"].append(vocabulary.index(one.item_id))
        columns["event_type"].append(STANDARD_EVENT_TYPES.index(one.event_type))
        columns["timestamp_s"].append(int(one.timestamp.timestamp()))
        columns["quantity"].append(one.quantity)
        columns["value"].append(one.value or 0.0)
        columns["session"].append(-1)
    rows = History(**{name: np.array(columns[name], dtype) for name, dtype in COLUMNS.items()})
    user = users.indices(one.user_id for one in events)
    Interactions(np.searchsorted(user, np.arange(len(users) + 1)).astype(np.int64), rows).save(folder / "interactions")

    catalog = _catalog(items, vocabulary)
    catalog.write_parquet(folder / "catalog.parquet")
    dimensions = tuple(name for name, dtype in catalog.schema.items() if dtype == pl.List(pl.String))
    weights = np.array([settings.event_weights.get(one.event_type, 0.0) for one in events], np.float32)
    shape = (len(users), len(vocabulary))
    combined = sparse.csr_matrix((weights, (user, rows.item)), shape)
    _save_matrix(folder / "matrices" / "combined", combined)
    for name in {one.event_type for one in events}:
        of_type = np.array([one.event_type == name for one in events], np.float32)
        _save_matrix(folder / "matrices" / name, sparse.csr_matrix((of_type, (user, rows.item)), shape))
    for dimension in dimensions:
        values = Vocabulary.of(value for row in catalog[dimension] for value in row)
        (folder / "dimensions" / dimension).mkdir(parents=True)
        values.save(folder / "dimensions" / dimension / "values.npy")
        pairs = [(i, values.index(value)) for i, row in enumerate(catalog[dimension]) for value in row]
        i, j = np.array(pairs, np.int32).reshape(-1, 2).T
        has = sparse.csr_matrix((np.ones(len(pairs), np.float32), (i, j)), (len(vocabulary), len(values)))
        _save_matrix(folder / "dimensions" / dimension / "items", has)
        _save_matrix(folder / "dimensions" / dimension / "users", combined @ has)

    manifest = Manifest(
        format=FORMAT,
        snapshot_hash="0" * 16,
        as_of=as_of,
        first_event_at=min((one.timestamp for one in events), default=None),
        last_event_at=max((one.timestamp for one in events), default=None),
        event_types=STANDARD_EVENT_TYPES,
        dimensions=dimensions,
        counts={"events": len(events), "users": len(users), "items": len(vocabulary)},
        versions={},
        settings=settings,
    )
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return Snapshot.load(folder)


def _catalog(items: Sequence[Mapping[str, Any]], vocabulary: Vocabulary) -> pl.DataFrame:
    known = {row["item_id"]: row for row in items}
    standard = {
        "item_type": pl.String,
        "title": pl.String,
        "url": pl.String,
        "image_url": pl.String,
        "price": pl.Float64,
        "list_price": pl.Float64,
        "stock": pl.Float64,
        "visible": pl.Boolean,
        "published_at": pl.Datetime("us", "UTC"),
        "expires_at": pl.Datetime("us", "UTC"),
    }
    dimensions = sorted({name for row in items for name in row} - standard.keys() - {"item_id"})
    schema = {"item_id": pl.String, "in_catalog": pl.Boolean, **standard} | {
        name: pl.List(pl.String) for name in dimensions
    }
    default: dict[str, Any] = {"item_type": "product", "visible": True, **{name: [] for name in dimensions}}
    return pl.DataFrame(
        [
            {**dict.fromkeys(standard), **default, **known.get(name, {}), "item_id": name, "in_catalog": name in known}
            for name in vocabulary.ids()
        ],
        schema,
    )


def _save_matrix(folder: Path, matrix: sparse.csr_matrix) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    matrix.sum_duplicates()
    for name in ("data", "indices", "indptr"):
        np.save(folder / f"{name}.npy", getattr(matrix, name), allow_pickle=False)
