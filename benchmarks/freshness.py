"""Whether an acknowledged event is in the very next ranking of the visitor, and a stock-out in everybody's.

``python -m benchmarks.freshness [--quick] [--json OUT]``

The real service runs with two workers, under a load of other visitors' events and rankings. Each check sends one event
of a visitor over one connection and, once it is acknowledged, asks for a ranking of that visitor over another, which
leads to the other worker about as often as to the same one. The ranking is stale if its ``profile_version`` is older
than the event, or if a filter on the number of the visitor's views (``profile.item_views = 3``) finds another number. A
stock-out is stale if the next ranking of a list still has the item, or if it lacks it when it is back.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.random import Generator
from rich.console import Console
from rich.table import Table

from benchmarks import swap
from benchmarks.figures import Json, save
from benchmarks.live_service import Connection, running
from features.command_line import run_alone
from features.layout import Layout, point

CHECKERS = 4
CONNECTIONS = 4
"""How many connections each checker chooses from."""
LOADERS = 2
STOCK_SHARE = 0.2
"""The part of the checks that are of a stock-out."""


@dataclass
class Figures:
    """What was seen: checks and how many were stale, of profiles and of stock, and how long a check took."""

    checks: Counter[str] = field(default_factory=Counter)
    stale: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    load: int = 0


async def _checked_event(ways: list[Connection], rng: Generator, visitor: str, views: int, figures: Figures) -> None:
    one, other = rng.choice(len(ways), 2, replace=False)
    event = {"user_id": visitor, "event_type": "view", "item_id": f"item-{rng.integers(2_000):04}"}
    acknowledged = await ways[one].ask("POST", "/v1/events", event)
    request = {"user_id": visitor, "n": 1, "filter": f"price > 0 AND profile.item_views = {views}"}
    answer = await ways[other].ask("POST", "/v1/recommend", request)
    figures.checks["events"] += 1
    figures.stale["events"] += answer["profile_version"] < acknowledged["profile_version"] or not answer["items"]


async def _checked_stock(ways: list[Connection], rng: Generator, item: str, figures: Figures) -> None:
    one, other = rng.choice(len(ways), 2, replace=False)
    for stock in (0, 5):
        await ways[one].ask("PATCH", f"/v1/items/{item}", {"stock": stock})
        answer = await ways[other].ask("POST", "/v1/rank", {"user_id": "anybody", "items": [item, "item-0000"]})
        figures.checks["stock"] += 1
        figures.stale["stock"] += (item in [found["item_id"] for found in answer["items"]]) != bool(stock)


async def _check(port: int, number: int, checks: int, figures: Figures) -> None:
    rng = np.random.default_rng(number)
    ways = [await Connection.to(port) for _ in range(CONNECTIONS)]
    views: Counter[str] = Counter()
    done = 0
    while done < checks:
        begun = time.perf_counter()
        if rng.random() < STOCK_SHARE / 2:  # each is two checks
            await _checked_stock(ways, rng, f"item-{1 + number * 100 + int(rng.integers(100)):04}", figures)
            done += 2
        else:
            visitor = f"checked-{number}-{rng.integers(200)}"
            views[visitor] += 1
            await _checked_event(ways, rng, visitor, views[visitor], figures)
            done += 1
        figures.milliseconds.append(1000 * (time.perf_counter() - begun))
    for way in ways:
        way.close()


async def _load(port: int, number: int, figures: Figures) -> None:
    rng = np.random.default_rng(1_000 + number)
    connection = await Connection.to(port)
    while True:
        visitor = f"user-{rng.integers(500):03}"
        items = rng.integers(2_000, size=20).tolist()
        events: list[dict[str, Any]] = [
            {"user_id": visitor, "event_type": "view", "item_id": f"item-{item:04}"} for item in items
        ]
        await connection.ask("POST", "/v1/events", events)
        await connection.ask("POST", "/v1/recommend", {"user_id": visitor, "n": 10})
        figures.load += 2


async def measured(port: int, checks: int) -> Figures:
    """Return what ``checks`` checks see while others use the service too."""
    figures = Figures()
    connection = await Connection.to(port)
    for start in (0, 1_000):
        items = [{"item_id": f"item-{number:04}", "price": 1} for number in range(start, start + 1_000)]
        await connection.ask("POST", "/v1/items", {"put": items})
    connection.close()
    loads = [asyncio.create_task(_load(port, number, figures)) for number in range(LOADERS)]
    await asyncio.gather(*(_check(port, number, checks // CHECKERS, figures) for number in range(CHECKERS)))
    for load in loads:
        load.cancel()
    await asyncio.gather(*loads, return_exceptions=True)
    return figures


def main(
    checks: Annotated[int, typer.Option(help="How many checks.")] = 10_000,
    workers: Annotated[int, typer.Option(help="Processes of the service.")] = 2,
    quick: Annotated[bool, typer.Option(help="1,000 checks.")] = False,
    out: Json = None,
) -> None:
    """Check freshness under load, and fail if anything was stale."""
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        point(layout.champion, swap.make_bundles(layout)[0])
        with running(layout.root, workers) as service:
            begun = time.monotonic()
            figures = asyncio.run(measured(service.port, 1_000 if quick else checks))
            seconds = time.monotonic() - begun
    p50, p99 = np.percentile(figures.milliseconds, [50, 99]).tolist()
    table = Table("checked", "checks", "stale", title=f"Freshness, {workers} workers, under load")
    for name in ("events", "stock"):
        table.add_row(name, f"{figures.checks[name]:,}", f"{figures.stale[name]:,}")
    console = Console()
    console.print(table)
    console.print(
        f"{figures.checks.total() / seconds:,.0f} checks/s beside {figures.load / seconds:,.0f} other requests/s; "
        f"a check took {p50:.1f} ms (p99 {p99:.1f} ms)"
    )
    found = {
        "checks": figures.checks.total(),
        "stale": figures.stale.total(),
        "stale_events": figures.stale["events"],
        "stale_stock": figures.stale["stock"],
        "p50_ms": p50,
        "p99_ms": p99,
    }
    save(found, out)
    if figures.stale.total() or not all(figures.checks.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    run_alone(main, "benchmarks.freshness")
