"""How much a profile takes in the store, and how much memory the service takes with many of them.

``python -m benchmarks.memory [--rate R] [--quick] [--json OUT]``

Profiles of 50 interactions in some 12 visits, with device, browser, source, country and page type, are folded into a
fresh store; the size of the whole database file over their number is what counts, directly after the fold and again
when live events have come in between its rows. Then the real service runs on that store with a bundle of 100,000 items.
First everything that it keeps at hand is filled: each item is seen and shown, and many visitors ask, as fast as they
are answered. Then comes what counts: visitors at random send events and ask for rankings, ``--rate`` of them a second
or as fast as they are answered, and the memory that is the worker's own (anonymous) is looked at from the start of that
to its end, and by how much it grows. The bundle and the libraries are files that workers share, and stand beside it.
In the end the prices and stocks of all items change twice, with a ranking now and then that takes the changes in.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.random import Generator
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Json, save
from benchmarks.live_service import Connection, LiveService, running
from benchmarks.serving_world import bundle_of, world
from features.catalog import Catalog
from features.command_line import run_alone
from features.database import open_database, transaction
from features.event_log import EventLog
from features.layout import Layout, point
from features.profile_arrays import FIRST_KEY
from features.profile_store import SQLiteProfileStore
from features.profiles import Profile

LENGTH = 50
VISITS = 12
SAMPLES = 100
"""So often the memory of the worker is looked at."""
AT_ONCE = 20_000
ASKING_FIRST = 12_000
"""So many visitors ask before the clock starts, at most a quarter of all: more than a worker knows the histories of."""
ITEMS_AT_ONCE = 500
"""As many as a request may rank."""
END = datetime.now(UTC) - timedelta(days=1)
CONTEXT: dict[str, Any] = {
    "device": "mobile",
    "browser": "safari",
    "source": "newsletter",
    "country": "DE",
    "page_type": "product",
}


def main(
    profiles: Annotated[int, typer.Option(help="How many profiles.")] = 1_000_000,
    items: Annotated[int, typer.Option(help="How many items.")] = 100_000,
    soak_minutes: Annotated[float, typer.Option(help="How long to ask and send.")] = 60.0,
    rate: Annotated[float | None, typer.Option(help="Visitors/s; as many as are answered where not given.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="20,000 profiles, 5,000 items, 15 seconds.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where to work; 2 GB for the full size.")] = None,
    out: Json = None,
) -> None:
    """Measure the memory of profiles."""
    if quick:
        profiles, items, soak_minutes = 20_000, 5_000, 0.25
    console = Console()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        layout = Layout(Path(name))
        with console.status("Making a bundle"):
            publish(layout, items, rng)
        with console.status(f"Folding {profiles * LENGTH:,} interactions"):
            begun = time.process_time()
            fill(layout, profiles, items, rng)
            fold_cpu_s = time.process_time() - begun
        figures: dict[str, float] = {
            "profiles": profiles,
            "items": items,
            "bytes_per_profile": layout.database.stat().st_size / profiles,
            "folded_per_cpu_s": profiles * LENGTH / fold_cpu_s,
            "person_us": person_us(layout, profiles, rng),
        }
        with console.status(f"Asking for {soak_minutes:g} minutes"), running(layout.root) as service:
            figures |= asyncio.run(soak(service, profiles, items, 60 * soak_minutes, rate))
        with closing(EventLog(layout)) as log:
            figures["bytes_per_profile_after"] = table_bytes(log, "profiles") / profiles

    targets = {
        "bytes_per_profile": "<= 1,024",
        "bytes_per_profile_after": "<= 1,024",
        "process_mb": "<= 300",
        "catalog_mb": "<= 300",
    }
    table = Table("", "measured", "target", title="Memory")
    for key, value in figures.items():
        table.add_row(key, f"{value:,.1f}", targets.get(key, ""))
    console.print(table)
    save(figures, out)


def publish(layout: Layout, items: int, rng: Generator) -> None:
    """Serve a bundle of ``items``, whose histories are of few users: the others are in the store alone."""
    shop = world(items, 2_000, LENGTH, rng)
    with closing(Catalog(layout)) as catalog:
        catalog.upsert(shop.catalog.drop("in_catalog"))
        versions = {"catalog": f"{catalog.name}:{catalog.version}"}
    shop = replace(shop, manifest=shop.manifest.model_copy(update={"versions": versions}))
    layout.bundles.mkdir(parents=True)
    bundle_id = bundle_of(shop, rng).save(layout.bundles / "new")
    (layout.bundles / "new").rename(layout.bundles / bundle_id)
    point(layout.champion, bundle_id)


def fill(layout: Layout, profiles: int, items: int, rng: Generator) -> None:
    """Fold ``LENGTH`` interactions of each of so many visitors into the store of a run-time folder."""
    with closing(open_database(layout.database)) as database:
        store = SQLiteProfileStore(database)
        with transaction(database):
            numbers = [store.numbers.item(item_id(item)) for item in range(items)]
            names = [store.numbers.named(field, str(name)) for field, name in CONTEXT.items()]
        for first in range(0, profiles, AT_ONCE):
            some = range(first, min(first + AT_ONCE, profiles))
            rows = histories(len(some), np.array(numbers), names, rng)
            with transaction(database):
                store.add(((f"user-{user:07}", Profile.of_rows(rows[user - first])) for user in some), version=0)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def histories(n: int, numbers: np.ndarray, names: list[int], rng: Generator) -> np.ndarray:
    """Return the events of ``n`` visitors as ``Profile.of_rows`` takes them; shape (n, LENGTH, columns)."""
    end_s = int(END.timestamp())
    starts = np.sort(rng.integers(end_s - 180 * 86_400, end_s, (n, VISITS)), axis=1)
    visit = np.sort(rng.integers(VISITS, size=(n, LENGTH)), axis=1)
    second = np.take_along_axis(starts, visit, 1) + rng.integers(1_800, size=(n, LENGTH))
    kind = rng.choice([0, 0, 0, 0, 1, 3], (n, LENGTH))
    session = np.take_along_axis(rng.integers(1, 2**31, (n, VISITS)), visit, 1)
    item = numbers[(len(numbers) * rng.random((n, LENGTH)) ** 2).astype(np.int64)]
    rows = np.zeros((n, LENGTH, FIRST_KEY + 7), np.int64)
    values = np.where(kind == 3, 100 * rng.integers(99, 20_000, (n, LENGTH)), 0)
    columns = (
        second,
        session,
        item,
        kind,
        np.full((n, LENGTH), 1_000),
        values,
        second // 86_400 % 7,
        second // 3_600 % 24,
    )
    for column, values in enumerate(columns):
        rows[:, :, column] = values
    rows[:, :, FIRST_KEY : FIRST_KEY + len(names)] = names
    order = np.lexsort(np.moveaxis(rows[:, :, 5::-1], 2, 0), axis=1)
    return np.take_along_axis(rows, order[:, :, np.newaxis], 1)


def person_us(layout: Layout, profiles: int, rng: Generator) -> float:
    """Return the processor microseconds to read one of so many profiles, and to make its history."""
    with closing(open_database(layout.database)) as database:
        store = SQLiteProfileStore(database)
        index = np.arange(store.item_numbers()[-1][0] + 1, dtype=np.int32)
        users = [f"user-{user:07}" for user in rng.integers(profiles, size=5_000).tolist()]
        begun = time.process_time()
        for user in users:
            store.person(user).profile.history(index)
        return (time.process_time() - begun) / len(users) * 1e6


async def soak(service: LiveService, profiles: int, items: int, seconds: float, rate: float | None) -> dict[str, float]:
    """Return the memory of the worker with all filled that it keeps at hand, and how it grew in the time after that."""
    rng = np.random.default_rng(1)
    connection = await Connection.to(service.port)
    figures = {"fresh_mb": memory_mb(service)["RssAnon"]}
    figures["warm_requests"] = await fill_what_is_kept(connection, profiles, items, rng)
    begun, cpu_s = time.monotonic(), service.cpu_s()
    samples: list[tuple[float, float]] = []
    asked = 0
    while (elapsed_s := time.monotonic() - begun) < seconds:
        if elapsed_s >= len(samples) * seconds / SAMPLES:
            samples.append((elapsed_s, memory_mb(service)["RssAnon"]))
        if rate is not None and (early_s := asked / rate - elapsed_s) > 0:
            await asyncio.sleep(early_s)
        user = a_user(profiles, rng)
        await connection.ask("POST", "/v1/events", seen(f"soak-{asked}", user, int(rng.integers(items))))
        await connection.ask("POST", "/v1/recommend", {"user_id": user, "n": 20})
        asked += 1
    end = memory_mb(service)
    samples.append((time.monotonic() - begun, end["RssAnon"]))
    late = samples[len(samples) // 2 :]
    figures |= {
        "requests": 2 * asked,
        "service_cpu_s": service.cpu_s() - cpu_s,
        "start_mb": samples[0][1],
        "process_mb": end["RssAnon"],
        "most_mb": max(mb for _, mb in samples),
        "files_mb": end["RssFile"],
        "grown_mb": end["RssAnon"] - samples[0][1],
        "grown_mb_per_hour": mb_per_hour(samples),
        "late_grown_mb": end["RssAnon"] - late[0][1],
        "late_grown_mb_per_hour": mb_per_hour(late),
        "catalog_mb": await change_all_items(service, connection, items, rng),
    }
    connection.close()
    return figures


async def fill_what_is_kept(connection: Connection, profiles: int, items: int, rng: Generator) -> int:
    """See and show each item, and rank for many visitors; return how many requests that took."""
    requests: list[tuple[str, Any]] = []
    for first in range(0, items, ITEMS_AT_ONCE):
        some = range(first, min(first + ITEMS_AT_ONCE, items))
        events = [seen(f"first-{item}", a_user(profiles, rng), item) for item in some]
        listed = {"user_id": a_user(profiles, rng), "items": [item_id(item) for item in some]}
        requests += [("/v1/events", {"events": events}), ("/v1/rank", listed)]
    for _ in range(min(ASKING_FIRST, profiles // 4)):
        requests.append(("/v1/recommend", {"user_id": a_user(profiles, rng), "n": 20}))
    for path, body in requests:
        await connection.ask("POST", path, body)
    return len(requests)


async def change_all_items(service: LiveService, connection: Connection, items: int, rng: Generator) -> float:
    """Change price and stock of each item twice; return the most memory in MB that the worker had with the changes."""
    most_mb = 0.0
    for first in [*range(0, items, ITEMS_AT_ONCE)] * 2:
        some = range(first, min(first + ITEMS_AT_ONCE, items))
        price, stock = rng.integers(1, 100), rng.integers(1, 20)
        changes = [{"item_id": item_id(item), "price": float(price), "stock": float(stock)} for item in some]
        await connection.ask("POST", "/v1/items", {"patch": changes})
        await connection.ask("POST", "/v1/recommend", {"user_id": "nobody", "n": 20})
        most_mb = max(most_mb, memory_mb(service)["RssAnon"])
    return most_mb


def seen(event_id: str, user_id: str, item: int) -> dict[str, Any]:
    """Return the event that a visitor sees an item now."""
    return {
        "event_id": event_id,
        "event_type": "view",
        "user_id": user_id,
        "item_id": item_id(item),
        "timestamp": datetime.now(UTC).isoformat(),
        "session_id": event_id,
        "context": CONTEXT,
    }


def a_user(profiles: int, rng: Generator) -> str:
    """Return the id of one of so many visitors."""
    return f"user-{int(rng.integers(profiles)):07}"


def item_id(item: int) -> str:
    """Return the id of an item."""
    return f"item-{item:07}"


def mb_per_hour(samples: list[tuple[float, float]]) -> float:
    """Return the slope of the line through ``samples`` of seconds and MB."""
    seconds, mb = np.array(samples).T
    return float(3_600 * np.polyfit(seconds, mb, 1)[0])


def memory_mb(service: LiveService) -> dict[str, float]:
    """Return the memory of the worker in MB: its own (``RssAnon``), and of files that others may share."""
    (worker,) = service.workers()
    lines = Path(f"/proc/{worker}/status").read_text().splitlines()
    found = dict(line.split(":", 1) for line in lines if line.startswith("Rss"))
    return {name: int(value.split()[0]) * 1_024 / 1e6 for name, value in found.items()}


def table_bytes(log: EventLog, table: str) -> int:
    """Return the bytes of the pages of a table and of its indexes."""
    found: Iterator[tuple[int]] = log._database.execute(
        "SELECT sum(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_schema WHERE tbl_name = ?)", [table]
    )
    return int(next(found)[0])


if __name__ == "__main__":
    run_alone(main, "benchmarks.memory")
