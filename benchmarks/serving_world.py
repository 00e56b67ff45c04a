"""A large shop made up for measuring, as arrays: making it through the log would take longer than the measurement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import cast

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import sparse

from features.catalog import FIELDS
from features.events import PURCHASE, STANDARD_EVENT_TYPES
from features.interactions import History, Interactions
from features.snapshot import Manifest, Snapshot, SnapshotSettings
from features.vocabulary import Vocabulary
from models.affinity import Affinity, AffinitySettings
from models.bundle import Bundle
from models.item_to_item import ItemToItem, ItemToItemSettings
from models.popularity import Popularity, PopularitySettings
from models.successors import Successors, SuccessorsSettings

NOW = datetime(2026, 1, 31, tzinfo=UTC)
DIMENSIONS = {"brand": 1_000, "category": 300, "colour": 12, "material": 30, "size": 8, "style": 50}
"""The dimensions, in order of their names, and how many values each has."""
ITEMS_OF_A_TASTE = 250
TASTES_OF_A_USER = 3


@dataclass(frozen=True)
class World:
    """What the scorers ask of a snapshot."""

    manifest: Manifest
    users: Vocabulary
    items: Vocabulary
    interactions: Interactions
    catalog: pl.DataFrame
    codes: dict[str, NDArray[np.int64]]

    def values(self, dimension: str) -> Vocabulary:
        """Return the values of a dimension."""
        return Vocabulary.of(f"{dimension}-{value:04}" for value in range(DIMENSIONS[dimension]))

    def item_values(self, dimension: str) -> sparse.csr_matrix:
        """Return which value of a dimension each item has."""
        n = len(self.items)
        ones = np.ones(n, np.float32)
        return sparse.csr_matrix((ones, (np.arange(n), self.codes[dimension])), (n, DIMENSIONS[dimension]))

    @cached_property
    def weights(self) -> sparse.csr_matrix:
        """How often each user did something with each item; shape (users, items)."""
        rows = self.interactions.all
        shape = (self.interactions.n_users, len(self.items))
        ones = np.ones(len(rows), np.float32)
        return sparse.csr_matrix((ones, (self.interactions.users(), rows.item)), shape)


def world(n_items: int, n_users: int, length: int, rng: Generator) -> World:
    """Return a shop of ``n_items`` and ``n_users`` with ``length`` interactions each, views and purchases.

    An item belongs to a taste, whose items share some brands and categories; a user has three tastes, and chooses
    within a taste by popularity.
    """
    taste = rng.integers(max(1, n_items // ITEMS_OF_A_TASTE), size=n_items)
    codes = {name: (taste * 7 + rng.integers(1 + size // 20, size=n_items)) % size for name, size in DIMENSIONS.items()}
    catalog = pl.DataFrame(
        {
            "item_id": [f"item-{item:07}" for item in range(n_items)],
            "item_type": "product",
            "title": [f"Item number {item}" for item in range(n_items)],
            "price": np.round(np.exp(rng.normal(3, 0.8, n_items)), 2),
            "list_price": np.round(np.exp(rng.normal(3.2, 0.8, n_items)), 2),
            "stock": rng.integers(0, 20, n_items).astype(np.float64),
            "visible": True,
            "published_at": [NOW - timedelta(days=float(days)) for days in rng.integers(1, 1_000, n_items)],
        },
        strict=False,
    )
    texts = {name: pl.lit(None, pl.String) for name in FIELDS if name not in catalog.columns and name != "expires_at"}
    catalog = catalog.with_columns(
        pl.col("published_at").dt.cast_time_unit("us"),
        expires_at=pl.lit(None, pl.Datetime("us", "UTC")),
        in_catalog=pl.lit(True),
        **texts,
        **{
            name: pl.Series([[f"{name}-{value:04}"] for value in codes[name].tolist()], dtype=pl.List(pl.String))
            for name in DIMENSIONS
        },
    ).select(*FIELDS, "in_catalog", *DIMENSIONS)

    by_taste = np.argsort(taste, kind="stable").astype(np.int32)
    start = np.concatenate([[0], np.cumsum(np.bincount(taste))])
    tastes = rng.integers(len(start) - 1, size=(n_users, TASTES_OF_A_USER))
    chosen = tastes[np.repeat(np.arange(n_users), length), rng.integers(TASTES_OF_A_USER, size=n_users * length)]
    size = np.diff(start)[chosen]
    item = by_taste[start[chosen] + np.minimum((size * rng.random(len(chosen)) ** 2).astype(np.int64), size - 1)]
    end_s = int(NOW.timestamp())
    times = np.sort(rng.integers(end_s - 90 * 86_400, end_s, (n_users, length)), axis=1).ravel()
    purchase = rng.random(len(item)) < 0.1
    history = History(
        item=item,
        event_type=np.where(purchase, PURCHASE, 0).astype(np.uint8),
        timestamp_s=times,
        quantity=purchase.astype(np.float32),
        value=np.zeros(len(item), np.float32),
        session=np.full(len(item), -1, np.int32),
    )
    manifest = Manifest(
        format=1,
        snapshot_hash="made-up",
        as_of=NOW,
        first_event_at=None,
        last_event_at=None,
        event_types=STANDARD_EVENT_TYPES,
        dimensions=tuple(DIMENSIONS),
        counts={},
        versions={},
        settings=SnapshotSettings(),
    )
    return World(
        manifest,
        Vocabulary.of(f"user-{user:07}" for user in range(n_users)),
        Vocabulary.of(catalog["item_id"].to_list()),
        Interactions(np.arange(n_users + 1, dtype=np.int64) * length, history),
        catalog,
        codes,
    )


def bundle_of(shop: World, rng: Generator) -> Bundle:
    """Return what the scorers of the measured recipe learn of ``shop``."""
    snapshot = cast("Snapshot", shop)
    scorers = [
        Popularity.fit(snapshot, PopularitySettings(), rng),
        ItemToItem.fit(snapshot, ItemToItemSettings(), rng),
        Successors.fit(snapshot, SuccessorsSettings(neighbours=100, distance=3), rng),
        Affinity.fit(snapshot, AffinitySettings(), rng),
    ]
    return Bundle.of(snapshot, scorers, "item-to-item", NOW, "benchmark")
