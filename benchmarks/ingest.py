"""How fast events come in: over HTTP, each batch durable before it is acknowledged, and from files.

``python -m benchmarks.ingest [--quick] [--json OUT]``

The real service takes batches of 50 events on several connections at once, with one worker and with two; afterwards the
log must hold exactly what was acknowledged. Then `python -m features import events` reads such events from a
file of each format. Everybody else on the machine slows this down, so processor seconds stand beside the rates.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer
from numpy.random import Generator
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Json, save
from benchmarks.live_service import Connection, running
from features.command_line import run_alone
from features.event_log import EventLog
from features.layout import Layout

BATCH = 50
CONNECTIONS = 8
USERS = 20_000
ITEMS = 20_000
TYPES = ("view", "view", "view", "click", "add_to_cart", "purchase")


@dataclass
class Figures:
    """What was seen over HTTP: events acknowledged, seconds, processor seconds, milliseconds of each batch."""

    acknowledged: int
    seconds: float
    cpu_s: float
    milliseconds: list[float]


def events(n: int, rng: Generator, name: str) -> list[dict[str, Any]]:
    """Return ``n`` events such as a shop's pages send; ``name`` makes their ids differ from those of other calls."""
    users, items = (rng.integers(0, limit, n).tolist() for limit in (USERS, ITEMS))
    kinds = rng.integers(0, len(TYPES), n).tolist()
    return [
        {
            "event_id": f"{name}-{number}",
            "event_type": TYPES[kind],
            "user_id": f"visitor-{user}",
            "item_id": f"item-{item}",
            "timestamp": f"2026-01-{1 + number % 28:02}T{number % 24:02}:{number % 60:02}:00Z",
            "value": 9.99 if TYPES[kind] == "purchase" else None,
            "session_id": f"{user}-{number % 28}",
            "context": {"device": "phone", "channel": "web", "page_type": "product"},
        }
        for number, (user, item, kind) in enumerate(zip(users, items, kinds, strict=True))
    ]


async def _load(port: int, seconds: float, name: str) -> tuple[int, list[float]]:
    milliseconds: list[float] = []
    acknowledged = 0

    async def send(number: int) -> None:
        nonlocal acknowledged
        rng = np.random.default_rng(number)
        connection = await Connection.to(port)
        batch = 0
        while time.monotonic() < until:
            batch += 1
            body = json.dumps(events(BATCH, rng, f"{name}-{number}-{batch}")).encode()
            begun = time.perf_counter()
            status, answer = await connection.send("POST", "/v1/events", body)
            if status != 200:
                raise SystemExit(f"A batch was answered with {status}: {answer.decode()[:300]}")
            milliseconds.append(1000 * (time.perf_counter() - begun))
            acknowledged += BATCH
        connection.close()

    until = time.monotonic() + seconds
    await asyncio.gather(*(send(number) for number in range(CONNECTIONS)))
    return acknowledged, milliseconds


def over_http(var: Path, workers: int, seconds: float) -> Figures:
    """Return how fast the service takes events in, after making sure that the log holds all of them."""
    with running(var, workers, "/livez") as service:
        asyncio.run(_load(service.port, 1, "first"))
        with closing(EventLog(Layout(var))) as log:
            before = len(log)
        cpu_s, begun = service.cpu_s(), time.monotonic()
        acknowledged, milliseconds = asyncio.run(_load(service.port, seconds, "measured"))
        elapsed_s, cpu_s = time.monotonic() - begun, service.cpu_s() - cpu_s
    with closing(EventLog(Layout(var))) as log:
        if len(log) - before != acknowledged:
            raise SystemExit(f"{acknowledged} events were acknowledged, and the log holds {len(log) - before} of them.")
    return Figures(acknowledged, elapsed_s, cpu_s, milliseconds)


def write_file(path: Path, n: int) -> None:
    """Write ``n`` events to ``path`` in the format of its name."""
    rows = events(n, np.random.default_rng(0), path.stem)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return
    frame = pl.DataFrame([{name: value for name, value in row.items() if name != "context"} for row in rows])
    frame = frame.with_columns(context=pl.lit(json.dumps(rows[0]["context"])))
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)


def imported(path: Path, var: Path) -> tuple[float, float]:
    """Return the seconds, and the processor seconds, that the import of ``path`` into ``var`` takes."""
    used, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "features", "import", "events", str(path), "--var", str(var)]
    subprocess.run(command, check=True, env=os.environ)
    seconds, then = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, then.ru_utime + then.ru_stime - used.ru_utime - used.ru_stime


def main(
    seconds: Annotated[float, typer.Option(help="How long to send over HTTP, for each number of workers.")] = 30,
    rows: Annotated[int, typer.Option(help="Events in each file.")] = 1_000_000,
    quick: Annotated[bool, typer.Option(help="Send for 4 seconds, and import 100,000 events.")] = False,
    out: Json = None,
) -> None:
    """Measure how fast events come in."""
    seconds, rows = (4, 100_000) if quick else (seconds, rows)
    figures: dict[str, float] = {}
    table = Table(
        "way in", "events", "seconds", "events/s", "CPU s", "events/CPU s", "p50 ms", "p99 ms", title="Ingest"
    )

    def add(name: str, key: str, n: int, took_s: float, cpu_s: float, *percentiles: float) -> None:
        table.add_row(
            *(name, f"{n:,}", f"{took_s:.1f}", f"{n / took_s:,.0f}", f"{cpu_s:.1f}", f"{n / cpu_s:,.0f}"),
            *(f"{one:.1f}" for one in percentiles),
        )
        figures[f"{key}_per_s"], figures[f"{key}_per_cpu_s"] = n / took_s, n / cpu_s

    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):
            found = over_http(Path(folder) / f"http-{workers}", workers, seconds)
            p50, p99 = np.percentile(found.milliseconds, [50, 99]).tolist()
            name = f"HTTP, {workers} worker{'s' * (workers > 1)}, batches of {BATCH}"
            key = f"http_{workers}"
            add(name, key, found.acknowledged, found.seconds, found.cpu_s, p50, p99)
            figures |= {f"{key}_p50_ms": p50, f"{key}_p99_ms": p99}
        for kind in ("parquet", "csv", "jsonl"):
            path = Path(folder) / f"events.{kind}"
            write_file(path, rows)
            add(f"file, {kind}", kind, rows, *imported(path, Path(folder) / f"import-{kind}"))
    Console().print(table)
    save(figures, out)


if __name__ == "__main__":
    run_alone(main, "benchmarks.ingest")
