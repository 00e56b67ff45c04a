"""What a cadence of e-mail that adapts to each person earns, beside every fixed one.

``python -m benchmarks.cadence [--quick] [--json OUT]``

In a simulated world people differ in how much mail they tolerate: a message that comes too soon is seldom opened, and
may make its reader unsubscribe. How often is as senders report it (``tests.mail_worlds.MailWorld.of_all_kinds``): at a
message a week, 0.1 to 0.5 % of the messages lose a subscriber. The campaign, its policy and its quiet hours are what
``/v1/decide`` answers by; what they know of a person is how the last messages went. Counted are opens minus
unsubscribes over 360 days, for people who subscribe one after the other over the first half of them; in each world the
policy starts without any knowledge.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from scipy.stats import t

from serving.campaigns import Campaign
from tests.mail_worlds import Earned, MailWorld, fixed, lived, news

INTERVALS = ("every_1", "every_2", "every_4", "every_7", "every_14")
POLICY = {"exploration": 0.1}
WORLDS = 5
PEOPLE = 400


def main(
    quick: Annotated[bool, typer.Option(help="Two worlds of fewer people.")] = False,
    out: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
) -> None:
    """Compare cadences, and fail where the adaptive one does not earn clearly more than every fixed one."""
    people = 100 if quick else PEOPLE
    worlds = [MailWorld.of_all_kinds(people, np.random.default_rng(seed)) for seed in range(2 if quick else WORLDS)]
    contestants: dict[str, Campaign] = {name: fixed(name) for name in INTERVALS}
    contestants["one interval, learned"] = news("linear_thompson", POLICY)
    contestants["adaptive"] = news("linear_thompson", POLICY, knows_people=True)
    runs: dict[str, list[Earned]] = {}
    table = Table("cadence", "opens", "unsubscribes", "opens - unsubscribes", "messages", "of which unsubscribe")
    for name, campaign in contestants.items():
        runs[name] = [lived(world, campaign, np.random.default_rng(seed)) for seed, world in enumerate(worlds)]
        opens, lost, messages = (
            sum(getattr(run, part) for run in runs[name]) for part in ("opens", "unsubscribes", "messages")
        )
        figures = (f"{figure:,}" for figure in (opens, lost, opens - lost, messages))
        table.add_row(name, *figures, f"{lost / messages:.2%}")
    console = Console()
    console.print(table)
    net = {name: np.array([run.net for run in of_name]) for name, of_name in runs.items()}
    found: dict[str, dict[str, float]] = {}
    for name in INTERVALS:
        ratio = net["adaptive"] / net[name]
        width = t.ppf(0.975, len(ratio) - 1) * ratio.std(ddof=1) / np.sqrt(len(ratio))
        found[name] = {"mean": ratio.mean(), "low": ratio.mean() - width, "high": ratio.mean() + width}
        console.print(
            f"The adaptive cadence earns {ratio.mean():.3f} times ({found[name]['low']:.3f} to "
            f"{found[name]['high']:.3f}, 95 % over {len(ratio)} worlds) what {name} does."
        )
    if out:
        per_name = {name: of_name.tolist() for name, of_name in net.items()}
        out.write_text(json.dumps({"net": per_name, "adaptive_per_fixed": found}, indent=2) + "\n", encoding="utf-8")
    if min(one["mean" if quick else "low"] for one in found.values()) <= 1:
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
