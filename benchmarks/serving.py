"""How many rankings one worker makes each second, beside what people build first and beside an empty handler.

``python -m benchmarks.serving [--quick] [--json OUT] [--var FOLDER]``

100,000 items with 6 dimensions, 200,000 profiles of 50 interactions in the live store. Attune answers with the whole
pipeline: collaborative, together, affinity and trending sources, two filters, a booster, at most 2 items of a brand,
20 items, every ranking logged. The other answers with FastAPI and ``recommend(recalculate_user=True)`` of implicit,
on the same interactions, in one process, without filters. A second Attune has two workers, as many as a machine of
two cores starts by itself, which they share with the client; a third has ten times the items. Rounds of each
take turns, so that whatever else the machine does meets all; beside requests/s stands what a request costs the
server's processor, which a busy machine distorts less. The last round measures how long answers take at half of the
load that Attune can bear. With ``--var`` the made-up shops stay in FOLDER, for the next run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer
from numpy.random import Generator
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Json, save
from benchmarks.live_service import LiveService, running
from benchmarks.serving_rivals import saved
from benchmarks.serving_world import World, bundle_of, world
from features.command_line import run_alone
from features.database import open_database, transaction
from features.identity import IdentitySettings
from features.layout import Layout, point
from features.profile_arrays import QUANTITY_STEPS
from features.profile_store import SQLiteProfileStore
from features.profiles import Profile, hour_of, weekday_of

LENGTH = 50
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""As implicit asks for: threads within a request take processors from other requests."""
RECIPE = """
[recipes.measured]
sources = [
  { source = "collaborative" },
  { source = "together", anchor = "recent_views" },
  { source = "affinity", weight = 0.5 },
  { source = "trending", weight = 0.1 },
]
filter = "price < 100 AND colour <> 'colour-0003'"
exclude_bought_days = 30
boosters = [{ name = "discount", where = "price < list_price", weight = 0.2 }]
at_most = { brand = 2 }
fill = true
"""


def write_profiles(shop: World, layout: Layout) -> None:
    """Put the interactions of ``shop`` into the live profiles."""
    rows = shop.interactions.all
    n = len(rows)
    table = np.zeros((n, 8 + 11), np.int64)
    table[:, 0], table[:, 2], table[:, 3] = rows.timestamp_s, rows.item + 1, rows.event_type
    table[:, 1] = 1 + rows.timestamp_s // 86_400 % (2**31 - 2)
    table[:, 4] = (rows.quantity * QUANTITY_STEPS).astype(np.int64)
    table[:, 6], table[:, 7] = weekday_of(rows.timestamp_s), hour_of(rows.timestamp_s)
    indptr = shop.interactions.indptr.tolist()
    with closing(open_database(layout.database)) as database, transaction(database):
        database.executemany("INSERT INTO item_numbers (number, item_id) VALUES (?, ?)", enumerate(shop.items.ids(), 1))
        store = SQLiteProfileStore(database, IdentitySettings())
        people = zip(shop.users.ids(), indptr, indptr[1:], strict=False)
        store.add(((name, Profile.of_rows(table[start:end])) for name, start, end in people), 1)


def make(folder: Path, n_items: int, n_users: int, rng: Generator, with_rival: bool) -> None:
    """Make a shop in the run-time folder ``folder``, ready to be served."""
    shop = world(n_items, n_users, LENGTH, rng)
    layout = Layout(folder)
    bundle_id = bundle_of(shop, rng).save(folder / "new")
    layout.bundles.mkdir()
    (folder / "new").rename(layout.bundles / bundle_id)
    write_profiles(shop, layout)
    if with_rival:
        saved(shop.weights, folder / "rival")
    (folder / "recipes.toml").write_text(RECIPE)
    point(layout.champion, bundle_id)


def loaded(service: LiveService, path: str, users: int, seconds: float, rate: float | None = None) -> dict[str, float]:
    """Return what a client process sees, and the microseconds of processor that a request costs the service."""
    before = service.cpu_s()
    line = [sys.executable, "-m", "benchmarks.serving_load", str(service.port), path, str(users), str(seconds)]
    line += [] if rate is None else ["--rate", str(rate)]
    seen: dict[str, float] = json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)
    if seen["failed"]:
        raise SystemExit(f"{seen['failed']:.0f} requests to {path} failed.")
    return seen | {"cpu_us": 1e6 * (service.cpu_s() - before) / seen["answers"]}


def main(
    quick: Annotated[bool, typer.Option(help="A twentieth of everything, in fewer and shorter rounds.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is measured.")] = 5,
    seconds: Annotated[float, typer.Option(help="How long each time.")] = 4,
    var: Annotated[Path | None, typer.Option(help="Folder in which the shops stay.")] = None,
    out: Json = None,
) -> None:
    """Measure, and print a table."""
    items, users = (5_000, 10_000) if quick else (100_000, 200_000)
    if quick:
        rounds, seconds = 2, 1.5
    with ExitStack() as stack:
        root = var or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        small, large = root / f"items-{items}", root / f"items-{10 * items}"
        for folder, n_items in ((small, items), (large, 10 * items)):
            if not Layout(folder).champion.is_file():
                folder.mkdir(parents=True)
                make(folder, n_items, users, np.random.default_rng(0), folder == small)
        attune, two_workers, million = (
            stack.enter_context(
                running(
                    folder,
                    workers,
                    environment=ONE_THREAD
                    | {"ATTUNE_RECIPES": str(folder.resolve() / "recipes.toml"), "ATTUNE_CLOCK": "snapshot"},
                    command=("benchmarks.serving_rivals", "attune"),
                )
            )
            for folder, workers in ((small, 1), (small, 2), (large, 1))
        )
        rival = stack.enter_context(
            running(
                small,
                ready="/docs",
                environment=ONE_THREAD,
                command=("benchmarks.serving_rivals", "implicit", str(small / "rival")),
            )
        )
        what = {
            "empty": (attune, "/v1/empty"),
            "attune": (attune, "/v1/recommend"),
            "attune_2_workers": (two_workers, "/v1/recommend"),
            "million": (million, "/v1/recommend"),
            "baseline": (rival, "/recommend"),
        }
        for service, path in what.values():
            loaded(service, path, users, 0.5)
        seen: dict[str, list[float]] = {name: [] for name in what}
        cost: dict[str, list[float]] = {name: [] for name in what}
        client: dict[str, list[float]] = {name: [] for name in what}
        for _ in range(rounds):
            for name, (service, path) in what.items():
                round_ = loaded(service, path, users, seconds)
                seen[name].append(round_["rps"])
                cost[name].append(round_["cpu_us"])
                client[name].append(round_["client_us"])
        rps = {name: median(rates) for name, rates in seen.items()}
        cpu_us = {name: median(costs) for name, costs in cost.items()}
        calm = loaded(attune, "/v1/recommend", users, 2 * seconds, rps["attune"] / 2)

    figures = {
        "items": items,
        "users": users,
        "attune_rps": rps["attune"],
        "attune_2_workers_rps": rps["attune_2_workers"],
        "baseline_rps": rps["baseline"],
        "empty_rps": rps["empty"],
        "million_rps": rps["million"],
        "times_baseline": median(a / b for a, b in zip(seen["attune"], seen["baseline"], strict=True)),
        "times_baseline_2_workers": median(
            a / b for a, b in zip(seen["attune_2_workers"], seen["baseline"], strict=True)
        ),
        "share_of_empty": median(a / b for a, b in zip(seen["attune"], seen["empty"], strict=True)),
        "million_ratio": median(a / b for a, b in zip(seen["attune"], seen["million"], strict=True)),
        **{f"{name}_cpu_us": one for name, one in cpu_us.items()},
        "client_cpu_us": median(client["attune"]),
        "half_load_rps": calm["rps"],
        "p50_ms": calm["p50_ms"],
        "p99_ms": calm["p99_ms"],
    }
    title = f"One worker where not said otherwise, {items:,} items, {users:,} profiles of {LENGTH} interactions"
    table = Table("what", "requests/s", "processor", title=title)
    for name, text in (
        ("empty", "an empty handler in the same service"),
        ("attune", "Attune, the whole pipeline"),
        ("attune_2_workers", "Attune, 2 workers"),
        ("million", f"Attune, {10 * items:,} items"),
        ("baseline", "FastAPI + implicit"),
    ):
        table.add_row(text, f"{rps[name]:,.0f}", f"{cpu_us[name]:,.0f} us")
    Console().print(table)
    Console().print(
        f"{figures['times_baseline']:.1f} times FastAPI + implicit, with 2 workers"
        f" {figures['times_baseline_2_workers']:.1f} times; {figures['share_of_empty']:.2f} of an empty handler;"
        f" ten times the items take {figures['million_ratio']:.2f} times as long. At half load"
        f" ({calm['rps']:,.0f}/s): p50 {calm['p50_ms']:.1f} ms, p99 {calm['p99_ms']:.1f} ms. The client takes"
        f" {figures['client_cpu_us']:.0f} us of processor for an answer."
    )
    save(figures, out)


if __name__ == "__main__":
    run_alone(main, "benchmarks.serving")
