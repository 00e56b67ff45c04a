"""What a cadence of e-mail that adapts to each person earns, beside every fixed one.

``python -m benchmarks.cadence [--quick] [--json OUT]``

In a simulated world people differ in how much mail they tolerate: a message that comes too soon is seldom opened, and
may make its reader unsubscribe. How often is as senders report it (``tests.mail_worlds.MailWorld.of_all_kinds``): at a
message a week, 0.1 to 0.5 % of the messages lose a subscriber. A harsher world, where people leave eight times as
easily, is shown beside it. The campaign, its policy and its quiet hours are what ``/v1/decide`` answers by; what they
know of a person is how the last messages went. Counted are opens minus unsubscribes over 360 days, for people who
subscribe one after the other over the first half of them; in each world the policy starts anew.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from scipy.stats import t

from benchmarks.figures import Json, save
from features.command_line import run_alone
from serving.campaigns import Campaign
from tests.mail_worlds import Earned, MailWorld, fixed, lived, news

INTERVALS = ("every_1", "every_2", "every_4", "every_7", "every_14")
ADAPTIVE = "adaptive"
POLICY = {"exploration": 0.1}
WORLDS = 5
PEOPLE = 400
FIRST_SEED = 100
"""Of the worlds; what is assumed of mail was chosen on worlds of lower seeds."""
REPORTED = "as senders report it"
ANNOYANCE = {REPORTED: 0.01, "made harsher": 0.08}


def contestants() -> dict[str, Campaign]:
    """Return the campaigns by what the table calls them."""
    campaigns = {name: fixed(name) for name in INTERVALS}
    campaigns["one interval, learned"] = news("linear_thompson", POLICY)
    campaigns[ADAPTIVE] = news("linear_thompson", POLICY, knows_people=True)
    return campaigns


def ratio(numerator: list[Earned], denominator: list[Earned]) -> tuple[float, float, float]:
    """Return the mean over the worlds of what one earns per what the other does, and its 95 % interval."""
    of_each = np.array([one.net / other.net for one, other in zip(numerator, denominator, strict=True)])
    width = float(t.ppf(0.975, len(of_each) - 1) * of_each.std(ddof=1) / np.sqrt(len(of_each)))
    mean = float(of_each.mean())
    return mean, mean - width, mean + width


def shown(runs: dict[str, list[Earned]], title: str) -> Table:
    """Return the sums over the worlds, and what the adaptive cadence earns beside each."""
    names = ("cadence", "opens", "unsubscribes", "net", "messages", "of which unsubscribe", "adaptive earns, times")
    table = Table(*names, title=title)
    for name, of_each in runs.items():
        opens, lost, messages = (
            sum(getattr(run, part) for run in of_each) for part in ("opens", "unsubscribes", "messages")
        )
        figures = (f"{figure:,}" for figure in (opens, lost, opens - lost, messages))
        mean, low, high = ratio(runs[ADAPTIVE], of_each)
        beside = "" if name == ADAPTIVE else f"{mean:.3f} ({low:.3f} to {high:.3f})"
        table.add_row(name, *figures, f"{lost / messages:.2%}", beside)
    return table


def main(
    quick: Annotated[bool, typer.Option(help="Two worlds of fewer people, too few to tell: nothing fails.")] = False,
    out: Json = None,
) -> None:
    """Compare cadences, and fail where the adaptive one does not earn clearly more than every fixed one.

    What must be clear is the world as senders report it; the harsher one is shown.
    """
    found = {}
    for kind, annoyance in ANNOYANCE.items():
        people, n_worlds = (100, 2) if quick else (PEOPLE, WORLDS)
        seeds = range(FIRST_SEED, FIRST_SEED + n_worlds)
        worlds = [MailWorld.of_all_kinds(people, np.random.default_rng(seed), annoyance) for seed in seeds]
        runs = {
            name: [
                lived(world, campaign, np.random.default_rng(seed)) for seed, world in zip(seeds, worlds, strict=True)
            ]
            for name, campaign in contestants().items()
        }
        Console(width=120).print(shown(runs, f"The world {kind}"))
        found[kind] = {
            "net": {name: [run.net for run in of_each] for name, of_each in runs.items()},
            "adaptive_per_fixed": {
                name: dict(zip(("mean", "low", "high"), ratio(runs[ADAPTIVE], runs[name]), strict=True))
                for name in INTERVALS
            },
        }
    save(found, out)
    beside = found[REPORTED]["adaptive_per_fixed"].values()
    if not quick and min(one["low"] for one in beside) <= 1:
        raise SystemExit(1)


if __name__ == "__main__":
    run_alone(main, "benchmarks.cadence")
