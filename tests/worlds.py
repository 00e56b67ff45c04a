"""Tiny worlds whose right answers are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from features.catalog import FIELDS, Catalog
from features.engine import EngineSettings
from features.event_log import EventLog
from features.events import Event
from features.layout import Layout
from features.snapshot import Snapshot
from features.snapshot_job import build

NOW = datetime(2026, 1, 31, tzinfo=UTC)
"""When every world is looked at."""

_DTYPES = {
    **dict.fromkeys(("price", "list_price", "stock"), pl.Float64()),
    **dict.fromkeys(("published_at", "expires_at"), pl.Datetime("us", "UTC")),
    "visible": pl.Boolean(),
}


def event(user_id: str, item_id: str, days_ago: float = 1.0, event_type: str = "purchase", **rest: Any) -> Event:
    """Return an event ``days_ago`` days before ``NOW``."""
    name = " ".join(map(str, (user_id, event_type, item_id, days_ago, *rest.values())))
    return Event(name, event_type, user_id, NOW - timedelta(days=days_ago), item_id, **rest)


def item(item_id: str, **attributes: Any) -> dict[str, Any]:
    """Return a catalog row that may be shown, with ``attributes``; a list of texts is a dimension."""
    return {"item_id": item_id, "title": f"Item {item_id}", "price": 1.0, **attributes}


def log(layout: Layout, events: Iterable[Event], items: Iterable[Mapping[str, Any]]) -> None:
    """Put ``events`` into the log and the catalog rows ``items`` into the catalog of a run-time folder."""
    rows = list(items)
    dimensions = sorted({name for row in rows for name, value in row.items() if isinstance(value, list)})
    schema = {name: _DTYPES.get(name, pl.String) for name in FIELDS} | {name: pl.List(pl.String) for name in dimensions}
    default: dict[str, Any] = dict.fromkeys(schema) | {"item_type": "product", "visible": True}
    default |= {name: [] for name in dimensions}
    with closing(Catalog(layout)) as catalog:
        catalog.upsert(pl.DataFrame([default | row for row in rows], schema))
    with closing(EventLog(layout)) as event_log:
        event_log.append(events)


def snapshot(
    folder: Path, events: Iterable[Event], items: Iterable[Mapping[str, Any]], as_of: datetime = NOW
) -> Snapshot:
    """Return the snapshot of ``events`` and of the catalog rows ``items``; the run-time folder is ``folder``."""
    layout = Layout(folder)
    log(layout, events, items)
    return build(layout, as_of=as_of, engine=EngineSettings(threads=1))


def shop_of_habits(folder: Path, users: int = 24, groups: int = 4) -> Layout:
    """Return a run-time folder whose latest snapshot is of a shop where habits are worth more than fashion.

    Item ``all`` is bought by everybody, once. Beyond that every user buys two items of their own every week, and in the
    last 28 days for the first time one that others of their group have bought before.
    """
    events: list[Event] = []
    items = {"all": item("all")}
    for user in range(users):
        name, group = f"u{user:02}", f"group{user % groups}"
        events.append(event(name, "all", days_ago=40 + user))
        for own in (f"own{user:02}a", f"own{user:02}b"):
            items[own] = item(own, group=[group])
            events.extend(event(name, own, days_ago=7 * week + 1) for week in range(16))
        items[group] = item(group, group=[group])
        early_days_ago, late_days_ago = 60 + user, 3
        events.append(event(name, group, early_days_ago if user < users // 2 else late_days_ago))
    snapshot(folder, events, items.values())
    return Layout(folder)
