"""A shop of ten items and five visitors, and bundles made of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np

from features.layout import Layout
from models.affinity import Affinity, AffinitySettings
from models.bundle import Bundle
from models.item_to_item import ItemToItem, ItemToItemSettings
from models.popularity import Popularity, PopularitySettings
from models.scorer import Scorer
from tests.worlds import NOW, event, item, snapshot

SHOP = [
    item("beer", kind=["drink"], tags=["cold", "adult"], price=3.0),
    item("cake", kind=["food"], tags=["sweet"], price=9.0),
    item("coal", kind=["fuel"], tags=[], price=5.0),
    item("milk", kind=["drink"], tags=["cold"], price=1.0),
    item("salt", kind=["food"], tags=[], price=0.5),
    item("tea", kind=["drink"], tags=["hot"], price=4.0),
    item("z-expired", expires_at=NOW),
    item("z-future", published_at=NOW + timedelta(seconds=1)),
    item("z-hidden", visible=False),
    item("z-sold-out", stock=0.0),
]
BASKETS = {
    "ann": ["tea", "milk", "z-hidden", "z-sold-out"],
    "bob": ["tea", "milk", "z-expired", "z-future"],
    "cid": ["tea", "cake", "z-unlisted"],
    "dan": ["tea"],
    "eve": ["beer"],
}
SHOWN = {"beer", "cake", "coal", "milk", "salt", "tea"}


def bundle_of(folder: Path, model: str = "item-to-item") -> Bundle:
    """Return a bundle of the shop, whose snapshot is written to ``folder``."""
    events = [event(user_id, name) for user_id, names in BASKETS.items() for name in names]
    world = snapshot(folder, events, SHOP)
    rng = np.random.default_rng(0)
    scorers: list[Scorer] = [
        Popularity.fit(world, PopularitySettings(), rng),
        ItemToItem.fit(world, ItemToItemSettings(), rng),
        Affinity.fit(world, AffinitySettings(), rng),
    ]
    return Bundle.of(world, scorers, model, NOW, "test")


def add(var: Path, bundle: Bundle) -> str:
    """Put ``bundle`` among the bundles in ``var`` and return its id."""
    bundle_id = bundle.save(var / "new")
    (var / "bundles").mkdir(exist_ok=True)
    (var / "new").rename(var / "bundles" / bundle_id)
    return bundle_id


def point_to(var: Path, bundle_id: str) -> None:
    """Promote the bundle ``bundle_id``."""
    (var / "champion.new").write_text(f"{bundle_id}\n")
    (var / "champion.new").replace(Layout(var).champion)
