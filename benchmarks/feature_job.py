"""How fast ``python -m features build`` is, and how much memory it takes, on ten million events.

The log is The Complete Journey (the extra ``demo``), seven times over under other user and session ids.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Json, save
from features.command_line import run_alone
from features.event_log import NUMBERED, EventLog
from features.layout import Layout
from features.snapshot import Snapshot

COPIES: Final = 7
EVENTS_PER_S: Final = 500_000
MEMORY_GB: Final = 4.0


def main(
    quick: Annotated[bool, typer.Option(help="The demo's log once, in place of seven times.")] = False,
    threads: Annotated[int, typer.Option(help="Threads of the engine.")] = 2,
    folder: Annotated[Path | None, typer.Option(help="Folder to work in, on a disk with 2 GB to spare.")] = None,
    out: Json = None,
) -> None:
    """Build a snapshot of a large log, and say how long it took and how much memory it needed."""
    console = Console()
    with tempfile.TemporaryDirectory(dir=folder) as name:
        layout = Layout(Path(name))
        with console.status("Writing the log"):
            _python("import", "complete-journey", "--var", name)
            with closing(EventLog(layout)) as log:
                log.append_tables(_copies(log.tables(layout.root), 1 if quick else COPIES))
                events = len(log)
        load = os.getloadavg()[0]
        with console.status(f"Building from {events:,} events"):
            seconds, cpu_s, memory_gb = _python("build", "--var", name, "--threads", str(threads))
        manifest = Snapshot.latest(layout).manifest

    figures = {
        "events": events,
        "users": manifest.counts["users"],
        "threads": threads,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_s, 2),
        "events_per_s": round(events / seconds),
        "peak_memory_gb": round(memory_gb, 2),
        "load_before": round(load, 2),
        "snapshot_hash": manifest.snapshot_hash,
    }
    table = Table("", "measured", "target")
    targets = {"events_per_s": f">= {EVENTS_PER_S:,}", "peak_memory_gb": f"< {MEMORY_GB}"}
    for key, value in figures.items():
        table.add_row(key, value if isinstance(value, str) else f"{value:,}", targets.get(key, ""))
    console.print(table)
    save(figures, out)


def _copies(files: list[Path], times: int) -> Iterator[pa.Table]:
    """Yield the events of ``files`` again, under other ids, until they are there ``times`` times."""
    events = pa.concat_tables(pq.read_table(path, partitioning=None) for path in files)
    for copy in range(1, times):
        rows = pa.array(np.arange(len(events)) + copy * len(events))
        table = events.append_column("row", rows)
        for name in ("event_id", "user_id", "session_id"):
            ids = pc.binary_join_element_wise(f"{copy}", table[name], "-")
            table = table.set_column(table.schema.get_field_index(name), name, ids)
        yield table.select(NUMBERED.names)


def _python(*arguments: str) -> tuple[float, float, float]:
    """Run ``python -m features`` with ``arguments``; return its seconds, its CPU seconds and its peak memory in GB."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "features", *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(os.waitstatus_to_exitcode(status))
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    run_alone(main, "benchmarks.feature_job")
