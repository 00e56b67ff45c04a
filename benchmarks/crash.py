"""Whether anything acknowledged is lost, or counted twice, when the service is killed at random moments under load.

``python -m benchmarks.crash [--quick] [--json OUT]``

Clients send batches of events to the real service; a batch that is not acknowledged is sent again until it is, as a
shop does. At random moments all workers are killed with ``kill -9``, and a few times everything is, the supervisor
included, and started anew. In the end each event must be in the log once, each visitor's profile must count each event
once, and the profiles rebuilt from the log must be those that lived through it all, byte for byte.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
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
from benchmarks.live_service import Connection, LiveService, free_port, started
from features.command_line import run_alone
from features.database import open_database
from features.layout import Layout, point
from features.profile_store import SQLiteProfileStore

CLIENTS = 4
BATCH = 20
USERS = 300
PAUSE_S = 0.02


@dataclass
class Figures:
    """What was seen.

    Attributes:
        acknowledged: Events of each visitor.
        sent_again: Batches that were sent more than once.
        ready_s: How long after the death of all workers the service was ready.
        ready_cpu_s: Processor seconds that the new workers had used by then, each on average.
        cold_ready_s: How long after everything was killed, and started anew, it was ready.
    """

    acknowledged: Counter[str] = field(default_factory=Counter)
    sent_again: int = 0
    ready_s: list[float] = field(default_factory=list)
    ready_cpu_s: list[float] = field(default_factory=list)
    cold_ready_s: list[float] = field(default_factory=list)


async def _send(port: int, number: int, figures: Figures, ended: asyncio.Event) -> None:
    """Send batches until ``ended``; each until it is acknowledged."""
    rng, connection, batch = np.random.default_rng(number), None, 0
    while not ended.is_set():
        batch += 1
        events = _events(rng, f"{number}-{batch}")
        body, tries = json.dumps(events).encode(), 0
        while True:
            try:
                tries += 1
                connection = connection or await Connection.to(port)
                status, _ = await connection.send("POST", "/v1/events", body)
                if status == 200:
                    break
            except (OSError, EOFError):
                connection = None
            await asyncio.sleep(PAUSE_S)
        figures.sent_again += tries > 1
        figures.acknowledged.update(event["user_id"] for event in events)
        await asyncio.sleep(PAUSE_S)


def _events(rng: Generator, name: str) -> list[dict[str, Any]]:
    moments = rng.integers(28 * 86_400, size=BATCH).tolist()
    return [
        {
            "event_id": f"{name}-{place}",
            "event_type": "view",
            "user_id": f"visitor-{rng.integers(USERS)}",
            "item_id": f"item-{rng.integers(2_000):04}",
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_767_225_600 + second)),
            "session_id": str(second // 3_600),
        }
        for place, second in enumerate(moments)
    ]


async def _ready(service: LiveService) -> float:
    return await asyncio.to_thread(service.wait_until_ready)


async def crashed(var: Path, workers: int, kills: int, whole: int, rng: Generator) -> tuple[LiveService, Figures]:
    """Return the service after ``kills`` kills of all workers and ``whole`` of everything, at random moments."""
    figures, ended, port = Figures(), asyncio.Event(), free_port()
    service = started(var, workers, port)
    await _ready(service)
    clients = [asyncio.create_task(_send(port, number, figures, ended)) for number in range(CLIENTS)]
    for of_everything in rng.permutation([False] * kills + [True] * whole).tolist():
        await asyncio.sleep(rng.uniform(0.05, 0.6))
        if of_everything:
            service.kill()
            service = started(var, workers, port)
            figures.cold_ready_s.append(await _ready(service))
        else:
            for pid in service.workers():
                os.kill(pid, signal.SIGKILL)
            figures.ready_s.append(await _ready(service))
            figures.ready_cpu_s.append(service.cpu_s() / workers)
    ended.set()
    await asyncio.gather(*clients)
    return service, figures


def stored(layout: Layout) -> tuple[Counter[str], Counter[str], dict[str, bytes]]:
    """Return how many events the log has of each visitor, how many views each profile counts, and the profiles."""
    with closing(open_database(layout.database)) as database:
        counts = dict(database.execute("SELECT user_id, count(DISTINCT event_id) FROM events GROUP BY user_id"))
        store = SQLiteProfileStore(database)
        profiles = {user_id: store.person(user_id).profile for user_id in store.user_ids()}
    views = {user_id: profile.count(0) for user_id, profile in profiles.items()}
    return Counter(counts), Counter(views), {name: profile.to_bytes() for name, profile in profiles.items()}


def main(
    kills: Annotated[int, typer.Option(min=1, help="How often all workers are killed.")] = 100,
    whole: Annotated[int, typer.Option(help="How often everything is killed and started anew.")] = 3,
    workers: Annotated[int, typer.Option(help="Processes of the service.")] = 2,
    quick: Annotated[bool, typer.Option(help="10 kills of the workers and 1 of everything.")] = False,
    out: Json = None,
) -> None:
    """Kill the service under load, and fail if anything acknowledged is lost or counted twice."""
    kills, whole = (10, 1) if quick else (kills, whole)
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        point(layout.champion, swap.make_bundles(layout)[0])
        service, figures = asyncio.run(crashed(layout.root, workers, kills, whole, np.random.default_rng(0)))
        service.process.terminate()
        service.process.wait(timeout=60)
        in_log, in_profiles, live = stored(layout)
        rebuild = [sys.executable, "-m", "features", "fold", "--rebuild", "--var", str(layout.root)]
        subprocess.run(rebuild, check=True)
        rebuilt = stored(layout)[2]
    sent = figures.acknowledged
    lost = (sent - in_log).total() + (sent - in_profiles).total()
    duplicated = (in_log - sent).total() + (in_profiles - sent).total()
    differing = sum(live.get(name) != rebuilt.get(name) for name in live.keys() | rebuilt.keys())
    table = Table("", "", title=f"{kills + whole} crashes, {workers} workers, under load", show_header=False)
    rows = {
        "events acknowledged": f"{sent.total():,}",
        "batches sent again": f"{figures.sent_again:,}",
        "lost": f"{lost:,}",
        "counted twice": f"{duplicated:,}",
        "rebuilt profiles that differ": f"{differing:,} of {len(live):,}",
        "ready after the workers' death": _range(figures.ready_s),
        "of which processor seconds of each new worker": _range(figures.ready_cpu_s),
        "ready after the death of everything": _range(figures.cold_ready_s),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table)
    found = {
        "kills": kills + whole,
        "acknowledged": sent.total(),
        "sent_again": figures.sent_again,
        "lost": lost,
        "duplicated": duplicated,
        "rebuilt_differing": differing,
        "ready_s_median": float(np.median(figures.ready_s)),
        "ready_s_max": max(figures.ready_s),
        "ready_cpu_s_max": max(figures.ready_cpu_s),
        "cold_ready_s_max": max(figures.cold_ready_s, default=0.0),
    }
    save(found, out)
    if lost or duplicated or differing:
        raise SystemExit(1)


def _range(seconds: list[float]) -> str:
    return f"{np.median(seconds):.2f} s, at most {max(seconds):.2f} s" if seconds else "not tried"


if __name__ == "__main__":
    run_alone(main, "benchmarks.crash")
