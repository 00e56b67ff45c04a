"""What policies earn in a world of 12 arms and 3 tastes, and whether their propensities are what happened.

``python -m benchmarks.policies [--quick] [--json OUT]``

Three of the arms, the best for each taste, are added midway. A reward is known only some time after its decision. The
achievable gain is that of somebody who knows every rate, over the arms on offer at the time; gains are counted from
uniform choice and from the best fixed arm, over expected rewards of the arms chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from scipy.stats import chi2

from benchmarks.figures import Json, save
from features.command_line import run_alone
from models.evidence import Evidence
from models.policies import POLICIES, Fixed, FixedSettings, Policy, choose
from tests.decision_worlds import TasteWorld

DECISIONS = 10_000
ADDED_AT = DECISIONS // 2
MEAN_DELAY = 200


@dataclass(frozen=True)
class Run:
    """What one policy did in one world.

    Attributes:
        earned: Expected reward of the arm chosen at each decision; shape (n,).
        p_value: Of how often each arm was chosen against the sum of its logged probabilities, by chi-square.
    """

    earned: np.ndarray
    p_value: float


def on_offer(world: TasteWorld, decision: int) -> list[str]:
    """Return the arms at ``decision``: the last three only from ``ADDED_AT`` on."""
    return world.arms if decision >= ADDED_AT else world.arms[:-3]


def run(policy: Policy, world: TasteWorld, seed: int, *, contextual: bool) -> Run:
    """Return what ``policy`` does in ``DECISIONS`` decisions whose rewards come after about ``MEAN_DELAY`` more."""
    rng = np.random.default_rng(seed)
    tastes, contexts = world.visitors(DECISIONS, rng)
    delays = rng.exponential(MEAN_DELAY, DECISIONS).astype(int)
    due: dict[int, list[Evidence]] = {}
    evidence, earned = Evidence(), np.empty(DECISIONS)
    observed, expected = np.zeros(len(world.arms)), np.zeros(len(world.arms))
    covariance = np.zeros((len(world.arms), len(world.arms)))
    for i in range(DECISIONS):
        evidence = sum(due.pop(i, ()), evidence)
        arms, context = on_offer(world, i), contexts[i] if contextual else ()
        p = policy.probabilities(evidence, arms, context)
        arm = choose(arms, p, rng).arm
        index = arms.index(arm)
        earned[i] = world.rates[tastes[i], index]
        reward = float(rng.random() < earned[i])
        due.setdefault(i + 1 + int(delays[i]), []).append(policy.evidence(arm, reward, context))
        p = np.pad(p, (0, len(world.arms) - len(p)))
        observed[index] += 1
        expected += p
        covariance += np.diag(p) - np.outer(p, p)
    difference = observed - expected
    statistic = difference @ np.linalg.pinv(covariance, rcond=1e-9) @ difference
    rank = np.linalg.matrix_rank(covariance, tol=1e-9 * np.trace(covariance))
    return Run(earned, float(chi2.sf(statistic, rank)) if rank else 1.0)


def main(
    quick: Annotated[bool, typer.Option(help="One world for each policy.")] = False,
    out: Json = None,
) -> None:
    """Compare the policies."""
    world = TasteWorld.of_twelve_arms()
    seeds = range(1 if quick else 5)
    later = np.arange(DECISIONS) >= ADDED_AT
    oracle = np.where(later, world.rates.max(axis=1).mean(), world.rates[:, :-3].max(axis=1).mean())
    fixed = np.where(later, world.rates.mean(axis=0).max(), world.rates[:, :-3].mean(axis=0).max())
    uniform = np.where(later, world.rates.mean(), world.rates[:, :-3].mean())
    best_fixed = Fixed(FixedSettings(shares={world.arms[8]: 1.0, world.arms[11]: 1e9}))  # the new one once on offer
    contestants: list[tuple[str, Policy, bool]] = [
        ("uniform", POLICIES["uniform"](), False),
        ("epsilon_greedy", POLICIES["epsilon_greedy"](), False),
        ("best fixed arm (known beforehand)", best_fixed, False),
        ("thompson", POLICIES["thompson"](), False),
        ("epsilon_greedy, context", POLICIES["epsilon_greedy"](), True),
        ("lin_ucb, context", POLICIES["lin_ucb"](), True),
        ("linear_thompson, context", POLICIES["linear_thompson"](), True),
    ]
    table = Table("policy", "reward / decision", "gain of achievable", "last 1,000", "over best fixed, last 1,000", "p")
    results = {}
    for name, policy, contextual in contestants:
        runs = [run(policy, world, seed, contextual=contextual) for seed in seeds]
        earned = np.mean([one.earned for one in runs], axis=0)
        end = slice(-1000, None)
        figures = {
            "reward_per_decision": earned.mean(),
            "share_of_gain_over_uniform": (earned - uniform).sum() / (oracle - uniform).sum(),
            "share_of_gain_over_uniform_last_1000": (earned - uniform)[end].sum() / (oracle - uniform)[end].sum(),
            "share_of_gain_over_fixed_last_1000": (earned - fixed)[end].sum() / (oracle - fixed)[end].sum(),
            "propensity_p_value": min(one.p_value for one in runs) * len(runs),
        }
        results[name] = {key: float(value) for key, value in figures.items()}
        table.add_row(
            name,
            f"{figures['reward_per_decision']:.4f}",
            *(f"{value:.0%}" for key, value in figures.items() if key.startswith("share")),
            f"{min(figures['propensity_p_value'], 1):.3f}",
        )
    console = Console(width=120)
    console.print(table)
    console.print(
        f"{len(seeds)} worlds of {DECISIONS:,} decisions; somebody who knows every rate earns {oracle.mean():.4f}, the "
        f"best fixed arm {fixed.mean():.4f}.\n"
        "p: of the arms' observed against their logged frequencies, chi-square, the smallest times the worlds."
    )
    save(results, out)


if __name__ == "__main__":
    run_alone(main, "benchmarks.policies")
