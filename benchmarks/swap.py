"""Whether bundles can be promoted under load: does a request ever fail, or get an answer mixed from two bundles?

``python -m benchmarks.swap [--var VAR] [--quick] [--json OUT]``

The real service answers several connections at once while bundles are promoted in turn. Each answer is compared with
what the pipeline makes offline of the bundle that the answer names; if items or scores differ, it is mixed.
VAR is a run-time folder with at least two bundles; without it two are made of a shop of 2,000 items.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, perf_counter
from typing import Annotated

import httpx
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Json, save
from benchmarks.live_service import running
from features.command_line import run_alone
from features.layout import Layout, point
from models.bundle import Bundle
from models.item_to_item import ItemToItem, ItemToItemSettings
from models.popularity import Popularity, PopularitySettings
from serving.pipeline import Pipeline
from serving.query import Query
from serving.recipes import BUILT_IN, Recipes
from tests.worlds import NOW, event, item, snapshot

N = 10
USERS = 50
CONNECTIONS = 8
POLL_S = 0.05

Expected = dict[tuple[str, str], list[tuple[str, float]]]
"""The items and scores that each bundle gives each user."""


@dataclass
class Figures:
    """What was seen.

    Attributes:
        answers: Those of each bundle.
        failed: Requests without an answer, or with a status other than 200.
        mixed: Answers that are not those of the bundle they name.
        changes: How often a connection saw another bundle than in its answer before.
        promotions: How often a bundle was promoted.
        milliseconds: How long each answer took.
    """

    answers: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    mixed: int = 0
    changes: int = 0
    promotions: int = 0
    milliseconds: list[float] = field(default_factory=list)


def make_bundles(layout: Layout) -> list[str]:
    """Write two bundles that answer differently, by popularity and by what goes together; return their ids."""
    rng = np.random.default_rng(0)
    items = [item(f"item-{i:04}", kind=[f"kind-{i % 20}"]) for i in range(2_000)]
    bought = [(user, int(2_000 * rng.random() ** 2)) for user in range(500) for _ in range(20)]
    events = [event(f"user-{user:03}", f"item-{i:04}", 1 + day / 500) for day, (user, i) in enumerate(bought)]
    world = snapshot(layout.root / "snapshot", events, items)
    scorers = [Popularity.fit(world, PopularitySettings(), rng), ItemToItem.fit(world, ItemToItemSettings(), rng)]
    layout.bundles.mkdir()
    ids = []
    for scorer in scorers:
        ids.append(Bundle.of(world, scorers, scorer.name, NOW, "benchmark").save(layout.root / "new"))
        (layout.root / "new").rename(layout.bundles / ids[-1])
    return ids


def expected(layout: Layout, ids: list[str]) -> Expected:
    """Return what the pipeline makes offline of the bundles ``ids``."""
    answers: Expected = {}
    for bundle_id in ids:
        bundle = Bundle.load(layout.bundles / bundle_id)
        pipeline = Pipeline(bundle, Recipes.read(BUILT_IN))
        for user_id in map(bundle.users.id, range(min(USERS, len(bundle.users)))):
            ranking = pipeline.rank(Query(bundle.history(user_id), bundle.manifest.as_of, N))
            scored = zip(map(bundle.items.id, ranking.items), ranking.scores.tolist(), strict=True)
            answers[bundle.manifest.bundle_id, user_id] = list(scored)
    return answers


@contextmanager
def service(var: Path, target: str = "serving.service:Attune") -> Iterator[str]:
    """Run ``target`` by BentoML's own command on a free port, and give its address when it is ready."""
    environment = {"ATTUNE_CLOCK": "snapshot", "ATTUNE_POLL_S": str(POLL_S), "BENTOML_DO_NOT_TRACK": "True"}
    with running(var, environment=environment, command=("bentoml", "serve", target)) as live:
        yield live.url


async def ask(client: httpx.AsyncClient, answers: Expected, figures: Figures, until: float, seed: int) -> None:
    """Ask for random users one after another until ``until``, and count what comes."""
    rng = np.random.default_rng(seed)
    users = sorted({user_id for _, user_id in answers})
    before = None
    while monotonic() < until:
        user_id = users[rng.integers(len(users))]
        begun = perf_counter()
        try:
            response = await client.post("/v1/recommend", json={"user_id": user_id, "n": N})
            answer = response.raise_for_status().json()
        except httpx.HTTPError:
            figures.failed += 1
            continue
        figures.milliseconds.append(1000 * (perf_counter() - begun))
        version = answer["model_version"]
        figures.answers[version] += 1
        figures.changes += before not in (None, version)
        before = version
        got = [(one["item_id"], one["score"]) for one in answer["items"]]
        figures.mixed += got != answers.get((version, user_id))


async def load(url: str, layout: Layout, ids: list[str], answers: Expected, seconds: float, pause_s: float) -> Figures:
    """Return what ``CONNECTIONS`` connections see while the bundles ``ids`` are promoted in turn."""
    figures = Figures()
    until = monotonic() + seconds
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        asking = [asyncio.create_task(ask(client, answers, figures, until, seed)) for seed in range(CONNECTIONS)]
        while monotonic() < until:
            await asyncio.sleep(pause_s)
            figures.promotions += 1
            point(layout.champion, ids[figures.promotions % len(ids)])
        await asyncio.gather(*asking)
    return figures


def main(
    var: Annotated[Path | None, typer.Option(help="Run-time folder with at least two bundles.")] = None,
    seconds: Annotated[float, typer.Option(help="How long to ask.")] = 60,
    pause_s: Annotated[float, typer.Option(help="Time between two promotions.")] = 0.5,
    quick: Annotated[bool, typer.Option(help="Ask for 10 seconds.")] = False,
    out: Json = None,
) -> None:
    """Promote bundles under load, and fail if a request does or if an answer is mixed."""
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        if var is None:
            ids = make_bundles(layout)
        else:
            shutil.copytree(Layout(var).bundles, layout.bundles)
            ids = sorted(path.parent.name for path in layout.bundles.glob("*/manifest.json"))[:2]
        if len(ids) < 2:
            raise SystemExit(f"{var} has {len(ids)} bundles; two are needed.")
        answers = expected(layout, ids)
        point(layout.champion, ids[0])
        with service(layout.root) as url:
            figures = asyncio.run(load(url, layout, ids, answers, 10 if quick else seconds, pause_s))

    p50, p99 = np.percentile(figures.milliseconds or [np.nan], [50, 99])
    table = Table("promotions", "seen", "answers", "failed", "mixed", "p50 ms", "p99 ms", title="Promotions under load")
    counts = (figures.promotions, figures.changes, figures.answers.total(), figures.failed, figures.mixed)
    table.add_row(*(f"{count:,}" for count in counts), f"{p50:.1f}", f"{p99:.1f}")
    Console().print(table)
    names = ("promotions", "seen", "answers", "failed", "mixed", "p50_ms", "p99_ms")
    save(dict(zip(names, (*counts, float(p50), float(p99)), strict=True)), out)
    if figures.failed or figures.mixed or len(figures.answers) < 2:
        raise SystemExit(1)


if __name__ == "__main__":
    run_alone(main, "benchmarks.swap")
