"""What a cadence of e-mail that adapts to each person earns, beside every fixed one.

``python -m benchmarks.cadence [--quick] [--json OUT]``

In a simulated world people differ in how much mail they tolerate: a message that comes too soon is seldom opened, and
may make its reader unsubscribe. The campaign, its policy and its quiet hours are what ``/v1/decide`` answers by; what
they know of a person is how the last messages went. Counted are opens minus unsubscribes, over people who subscribe one
after the other; the policy starts without any knowledge.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from serving.campaigns import Campaign
from tests.mail_worlds import MailWorld, fixed, lived, news

INTERVALS = ("every_1", "every_2", "every_4", "every_7", "every_14")
POLICY = {"exploration": 0.1}


def main(
    quick: Annotated[bool, typer.Option(help="One world of fewer people.")] = False,
    out: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
) -> None:
    """Compare cadences, and fail where the adaptive one does not earn most."""
    worlds = [
        MailWorld.of_all_kinds(800 if quick else 2_000, np.random.default_rng(seed))
        for seed in range(1 if quick else 3)
    ]
    contestants: dict[str, Campaign] = {name: fixed(name) for name in INTERVALS}
    contestants["one interval, learned"] = news("linear_thompson", POLICY)
    contestants["adaptive"] = news("linear_thompson", POLICY, knows_people=True)
    table = Table("cadence", "opens", "unsubscribes", "opens - unsubscribes", "messages")
    figures: dict[str, float] = {}
    for name, campaign in contestants.items():
        runs = [lived(world, campaign, np.random.default_rng(seed)) for seed, world in enumerate(worlds)]
        opens, lost, messages = (
            sum(getattr(run, part) for run in runs) for part in ("opens", "unsubscribes", "messages")
        )
        figures[f"{name.replace(', ', '_').replace(' ', '_')}_net"] = opens - lost
        table.add_row(name, *(f"{figure:,}" for figure in (opens, lost, opens - lost, messages)))
    best = max(figures[f"{name}_net"] for name in INTERVALS)
    figures["adaptive_per_best_fixed"] = figures["adaptive_net"] / best
    console = Console()
    console.print(table)
    console.print(
        f"The adaptive cadence earns {figures['adaptive_per_best_fixed']:.3f} times what the best fixed one does."
    )
    if out:
        out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if figures["adaptive_net"] <= best:
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
