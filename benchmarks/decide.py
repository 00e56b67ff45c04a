"""How many decisions the service makes each second beside rankings, and whether its state survives ``kill -9``.

``python -m benchmarks.decide [--quick] [--json OUT]``

Two workers. A campaign has six experiences, an audience, a frequency cap and a linear Thompson policy that knows three
numbers of a person; a decision is durable before it is answered. Rounds of ``/v1/decide`` and ``/v1/recommend`` (20
items, logged) take turns; beside requests/s stands what a request costs the workers' processors. Then people ask and
click while everything is killed, several times: of the decisions that were acknowledged none may be missing, nobody may
be above the cap, and what the policy knows must be what a rebuild from the log gives.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import swap
from benchmarks.figures import Json, save
from benchmarks.live_service import Connection, LiveService, free_port, running, started
from features.command_line import run_alone
from features.database import open_database
from features.layout import Layout, point
from models.evidence import Evidence
from serving.decision_fold import DecisionFold, rebuild

WORKERS = 2
CONNECTIONS = 16
USERS = 500
CAP = 5
EXPERIENCES = {f"offer_{i}": {"content": {"title": f"Offer {i}"}} for i in range(6)}
POLICY = {
    "zone": "home",
    "choice": "linear_thompson",
    "context": ["context.mobile", "context.hour / 24", "visits / (visits + 5)"],
    "audience": "context.country = 'ch' OR visits > 100",
    "experiences": EXPERIENCES,
}
CAPPED = POLICY | {"zone": "capped", "per_person": [{"decisions": CAP, "days": 30}]}


@dataclass
class Seen:
    """What clients were told.

    Attributes:
        decisions: Acknowledged decisions.
        seen: Those whose impression was acknowledged.
        clicked: Those whose click was.
    """

    decisions: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    clicked: set[str] = field(default_factory=set)


def asked(zone: str, rng: np.random.Generator, users: int = USERS) -> dict[str, Any]:
    """Return a request of a random user."""
    context = {"mobile": bool(rng.random() < 0.5), "hour": int(rng.integers(24)), "country": "ch"}
    return {"user_id": f"user-{rng.integers(users):03}", "zone": zone, "context": context}


async def asking(port: int, ask: Callable[[Connection, np.random.Generator], Awaitable[None]], seconds: float) -> None:
    """Let ``CONNECTIONS`` connections ask for ``seconds``; one that breaks is not taken up again."""

    async def one(seed: int) -> None:
        rng, connection = np.random.default_rng(seed), await Connection.to(port)
        try:
            while monotonic() < until:
                await ask(connection, rng)
        except (OSError, EOFError):
            pass  # the service was killed
        finally:
            connection.close()

    until = monotonic() + seconds
    await asyncio.gather(*(one(seed) for seed in range(CONNECTIONS)))


def throughput(service: LiveService, path: str, seconds: float) -> tuple[float, float, float]:
    """Return requests/s, processor milliseconds of the workers for each, and the time that 99 % take at most."""
    took: list[float] = []

    async def ask(connection: Connection, rng: np.random.Generator) -> None:
        body = asked("home", rng)
        if path == "/v1/recommend":
            body = {"user_id": body["user_id"], "n": 20}
        begun = perf_counter()
        await connection.ask("POST", path, body)
        took.append(1_000 * (perf_counter() - begun))

    cpu_s, begun = service.cpu_s(), perf_counter()
    asyncio.run(asking(service.port, ask, seconds))
    elapsed, spent = perf_counter() - begun, service.cpu_s() - cpu_s
    return len(took) / elapsed, 1_000 * spent / len(took), float(np.percentile(took, 99))


async def shop(port: int, seen: Seen, seconds: float) -> None:
    """Let people ask, look and click."""

    async def ask(connection: Connection, rng: np.random.Generator) -> None:
        answer = await connection.ask("POST", "/v1/decide", asked("capped", rng, USERS // 5))
        if answer.get("decision_id") is None:
            return
        decision_id = answer["decision_id"]
        seen.decisions.add(decision_id)
        kind = "click" if rng.random() < 0.3 else "impression"
        event = {
            "event_id": f"{kind} {decision_id}",
            "event_type": kind,
            "user_id": "somebody",
            "decision_id": decision_id,
        }
        await connection.ask("POST", "/v1/events", event)
        (seen.clicked if kind == "click" else seen.seen).add(decision_id)

    await asking(port, ask, seconds)


def crashes(var: Path, times: int, seconds: float) -> dict[str, float]:
    """Return what is wrong after the service was killed ``times`` under load, and how much was acknowledged."""
    seen, ready_s = Seen(), []
    rng = np.random.default_rng(0)
    for _ in range(times):
        service = started(var, WORKERS, free_port())
        ready_s.append(service.wait_until_ready())

        async def until_killed(service: LiveService = service) -> None:
            loop = asyncio.get_running_loop()
            loop.call_later(seconds * (0.5 + rng.random()), service.kill)
            await shop(service.port, seen, 2 * seconds)

        asyncio.run(until_killed())
    with running(var, WORKERS) as service:
        asyncio.run(asyncio.sleep(2))  # what is left is folded
        assert service.is_ready()
    with closing(open_database(Layout(var).database)) as database:
        kept = {name for (name,) in database.execute("SELECT decision_id FROM decisions")}
        above = database.execute(
            "SELECT count(*) FROM (SELECT 1 FROM decisions WHERE campaign = 'capped'"
            " GROUP BY user_id HAVING count(*) > ?)",
            (CAP,),
        ).fetchone()[0]
        live = known(database)
    rebuild(Layout(var))
    with closing(open_database(Layout(var).database)) as database:
        again = known(database)
        earned = dict(
            database.execute("SELECT decision_id, reward FROM decisions JOIN decision_outcomes USING (number)")
        )
    lost = sum(name not in earned for name in seen.seen | seen.clicked)
    wrong = sum(earned.get(name) != 1 for name in seen.clicked) + sum(earned.get(name) != 0 for name in seen.seen)
    counted = sum(count for count, _ in live.values())
    return {
        "acknowledged": len(seen.decisions),
        "missing": sum(name not in kept for name in seen.decisions),
        "above_cap": above,
        "rewards_lost": lost,
        "rewards_wrong": wrong,
        "counted_twice": counted - len(earned),
        "rebuilt_differs": float(
            max((abs(a - b) for arm in live for a, b in zip(live[arm], again[arm], strict=True)), default=0.0)
        ),
        "ready_s": max(ready_s),
    }


def known(database: Any) -> dict[str, tuple[float, float]]:
    """Return how often each experience of the capped campaign was seen, and what it earned."""
    of_campaigns = {name: one for (name, _), one in DecisionFold(database).evidence().items()}
    evidence = of_campaigns.get("capped", Evidence())
    return {arm: (evidence.arms[arm].count, evidence.arms[arm].total) for arm in sorted(evidence.arms)}


def main(
    quick: Annotated[bool, typer.Option(help="Fewer and shorter rounds, and fewer crashes.")] = False,
    out: Json = None,
) -> None:
    """Measure decisions, and fail if one is lost or a cap broken."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        var = Path(folder)
        point(Layout(var).champion, swap.make_bundles(Layout(var))[0])
        with running(var, WORKERS) as service:

            async def define() -> None:
                connection = await Connection.to(service.port)
                await connection.ask("PUT", "/v1/campaigns/home", POLICY)
                await connection.ask("PUT", "/v1/campaigns/capped", CAPPED)

            asyncio.run(define())
            rounds: dict[str, list[tuple[float, float, float]]] = {"/v1/recommend": [], "/v1/decide": []}
            for path in rounds:
                throughput(service, path, 1)
            for _ in range(2 if quick else 5):
                for path, measured in rounds.items():
                    measured.append(throughput(service, path, 2 if quick else 6))
        table = Table("request", "requests/s", "processor ms each", "p99 ms", title=f"{WORKERS} workers")
        for path, measured in rounds.items():
            name = path.rpartition("/")[2]
            middle = [median(values) for values in zip(*measured, strict=True)]
            figures |= dict(zip((f"{name}_rps", f"{name}_cpu_ms", f"{name}_p99_ms"), middle, strict=True))
            table.add_row(path, f"{middle[0]:,.0f}", f"{middle[1]:.3f}", f"{middle[2]:.1f}")
        figures["decide_per_recommend"] = figures["decide_rps"] / figures["recommend_rps"]
        Console().print(table)
        figures |= crashes(var, 3 if quick else 20, 3.0)
    table = Table(title="After kill -9", show_header=False)
    for name in ("acknowledged", "missing", "above_cap", "rewards_lost", "rewards_wrong", "counted_twice"):
        table.add_row(name.replace("_", " "), f"{figures[name]:,.0f}")
    table.add_row("rebuilt differs by", f"{figures['rebuilt_differs']:.3g}")
    table.add_row("slowest start", f"{figures['ready_s']:.1f} s")
    Console().print(table)
    save(figures, out)
    bad = ("missing", "above_cap", "rewards_lost", "rewards_wrong", "counted_twice")
    if not figures["acknowledged"] or any(figures[name] for name in bad) or figures["rebuilt_differs"] > 1e-6:
        raise SystemExit(1)


if __name__ == "__main__":
    run_alone(main, "benchmarks.decide")
