"""Off-policy estimates where the truth is known: the Open Bandit Dataset, and simulated worlds.

``python -m benchmarks.off_policy [--open-bandit FOLDER] [--quick] [--json OUT]``

FOLDER holds ``POLICY_CAMPAIGN.parquet`` for the policies random and bts (Saito et al., "Open Bandit Dataset and
Pipeline", NeurIPS 2021). A log of one policy judges the other, whose own log of the same week is the truth, known to
12-16 % itself. The random policy is known exactly. Bernoulli Thompson sampling changed all week long; it is taken as
how often its log shows each item at each position.
"""

from __future__ import annotations

from math import fsum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Json, save
from evaluation.off_policy.analysis import Analysis, analyse, analyse_rankings
from evaluation.off_policy.estimators import doubly_robust, ips, mean_interval, snips
from evaluation.off_policy.logs import LoggedDecisions, LoggedRankings
from evaluation.off_policy.reward_model import Target, predictions
from features.command_line import run_alone
from tests.decision_worlds import LoggedWorld, RankingWorld

CAMPAIGNS = ("all", "men", "women")
PUBLISHED = {"direct method": 0.157, "doubly robust": 0.292, "IPS": 0.311}
"""Relative errors of random -> bts on the small sample of campaign "all", from the data's own examples."""

console = Console(width=150, highlight=False)


def main(
    open_bandit: Annotated[Path | None, typer.Option(help="Folder with the Open Bandit Dataset.")] = None,
    quick: Annotated[bool, typer.Option(help="One campaign, a tenth of the simulated logs.")] = False,
    out: Json = None,
) -> None:
    """Compare off-policy estimates with the truth."""
    results: dict[str, Any] = {"simulated": simulated(200 if quick else 2000)}
    if open_bandit is None:
        console.print("The Open Bandit Dataset was not given (--open-bandit): left out.")
    else:
        results["open_bandit"] = real(open_bandit, CAMPAIGNS[:1] if quick else CAMPAIGNS)
    save(results, out)


# --- the Open Bandit Dataset -------------------------------------------------------------------------------------


def real(folder: Path, campaigns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Print and return how far each estimate is from the mean reward of the judged policy's own log."""
    table = Table("campaign", "policy", "truth", "worth", "rewards", "estimator", "value", "95 % interval")
    for heading in ("error", "published", "holds", "formulas"):
        table.add_column(heading, justify="right")
    rows: list[dict[str, Any]] = []
    for campaign in campaigns:
        for source, judged in (("random", "bts"), ("bts", "random")):
            log = logged(folder, campaign, source, judged)
            own = mean_interval(pd.read_parquet(folder / f"{judged}_{campaign}.parquet")["click"].to_numpy(float))
            answer = analyse(log).answers[0]
            written_out = from_formulas(log)
            for one in answer.estimates:
                published = PUBLISHED.get(one.estimator) if (campaign, source) == ("all", "random") else None
                apart = abs(one.value.mean - written_out[one.estimator]) if one.estimator in written_out else None
                covered = one.value.low <= own.mean <= one.value.high
                error = abs(one.value.mean - own.mean) / own.mean
                rows.append(
                    {
                        "campaign": campaign,
                        "log": source,
                        "policy": judged,
                        "truth": own.mean,
                        "effective_sample_size": answer.overlap.effective_sample_size,
                        "estimator": one.estimator,
                        "value": one.value.mean,
                        "low": one.value.low,
                        "high": one.value.high,
                        "relative_error": error,
                        "published": published,
                        "holds": covered,
                        "from_formulas": apart,
                    }
                )
                table.add_row(
                    *(campaign, judged, f"{own.mean:.4f} ({own.low:.4f}-{own.high:.4f})"),
                    *(f"{answer.overlap.effective_sample_size:.0f}", f"{answer.overlap.effective_rewards:.1f}"),
                    *(one.estimator, f"{one.value.mean:.5f}", f"{one.value.low:.5f}-{one.value.high:.5f}"),
                    *(f"{error:.3f}", "" if published is None else f"{published:.3f}", "yes" if covered else "NO"),
                    "" if apart is None else f"{apart:.0e}",
                )
            for reason in answer.refusals:
                table.add_row(campaign, judged, "", "", "", f"refused: {reason}")
    console.print(table)
    console.print(
        "worth: decisions of the policy itself that would tell as much; rewards: how many carry the estimate; error: "
        "relative, of the mean\nreward in the policy's own log (truth); formulas: distance from the papers' formulas, "
        "summed exactly."
    )
    return rows


def logged(folder: Path, campaign: str, source: str, judged: str) -> LoggedDecisions:
    """Return the log of ``source`` with the probabilities of ``judged`` and a cross-fitted reward model."""
    log = pd.read_parquet(folder / f"{source}_{campaign}.parquet")
    arms, positions = int(log["item_id"].max()) + 1, int(log["position"].max())
    policy = np.full((positions, arms), 1 / arms)
    if judged == "bts":
        seen = pd.read_parquet(folder / f"bts_{campaign}.parquet")
        policy = np.zeros((positions, arms))
        np.add.at(policy, (seen["position"] - 1, seen["item_id"]), 1)
        policy /= policy.sum(axis=1, keepdims=True)
    target = Target(policy, log["position"].to_numpy() - 1)
    arm, reward = log["item_id"].to_numpy(), log["click"].to_numpy(float)
    features = [log[f"user_feature_{i}"].astype("category").cat.codes for i in range(4)]
    context = np.column_stack([log["position"], *features]).astype(float)
    rng = np.random.default_rng(0)
    fold = rng.permutation(len(log)) % 5
    predicted, value = predictions(arm, reward, target, context, np.full(5, True), fold, rng)
    return LoggedDecisions(
        reward, log["propensity_score"].to_numpy(float), target.of(arm), predicted=predicted, predicted_value=value
    )


def from_formulas(log: LoggedDecisions) -> dict[str, float]:
    """Return the estimates as the papers write them, one row after another, by exact summation."""
    assert log.predicted is not None
    assert log.predicted_value is not None
    columns = (log.reward, log.propensity, log.target, log.predicted, log.predicted_value)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    n = len(rows)
    return {
        "IPS": fsum(pi / p * r for r, p, pi, _, _ in rows) / n,
        "SNIPS": fsum(pi / p * r for r, p, pi, _, _ in rows) / fsum(pi / p for _, p, pi, _, _ in rows),
        "direct method": fsum(v for _, _, _, _, v in rows) / n,
        "doubly robust": fsum(v + pi / p * (r - q) for r, p, pi, q, v in rows) / n,
    }


# --- simulated worlds ---------------------------------------------------------------------------------------------


def simulated(logs: int) -> list[dict[str, Any]]:
    """Print and return bias and coverage over ``logs`` logs of each world, and how often an answer is refused."""
    rng = np.random.default_rng(0)
    table = Table("world", "estimator", "truth")
    for heading in ("bias / its error", "hold the truth", "normal intervals", "Bernstein", "refused"):
        table.add_column(heading, justify="right")
    rows: list[dict[str, Any]] = []
    for name, n, rates, logging, target in worlds():
        terms: dict[str, list[np.ndarray]] = {"IPS": [], "SNIPS": [], "doubly robust": []}
        refused = 0
        bound = float(np.max(np.divide(target, logging, out=np.zeros_like(target), where=logging > 0)))
        for _ in range(logs):
            world = LoggedWorld.of(n, rng, rates, logging, target)
            guess = np.full_like(rates, rates.mean())
            log = LoggedDecisions(
                world.reward,
                world.propensity,
                world.target_probability,
                predicted=guess[world.taste, world.action],
                predicted_value=(target * guess).sum(axis=1)[world.taste],
            )
            refused += bool(analyse(log).answers[0].refusals)
            for one, estimator in zip(terms, (ips, snips, doubly_robust), strict=True):
                terms[one].append(estimator(log))
        for one, each in terms.items():
            rows.append(_coverage(name, one, each, world.truth, bound, refused / logs))
    rows += rankings(logs // 4, rng)
    for row in rows:
        table.add_row(
            *(str(row["world"]), str(row["estimator"]), f"{row['truth']:.5f}", f"{row['bias_in_errors']:+.1f}"),
            *(_percent(row[key]) for key in ("holds", "holds_normal", "holds_bernstein", "refused")),
        )
    console.print(table)
    wider = [row["bernstein_times_as_wide"] for row in rows if "bernstein_times_as_wide" in row and not row["refused"]]
    console.print(f"Empirical Bernstein intervals are {min(wider):.1f} to {max(wider):.1f} times as wide as ours.")
    return rows


def worlds() -> list[tuple[str, int, np.ndarray, np.ndarray, np.ndarray]]:
    """Return name, rows, rates, logging and target policy of each world; three tastes and four arms."""
    rates = np.array([[0.30, 0.10, 0.05, 0.20], [0.05, 0.25, 0.10, 0.15], [0.10, 0.05, 0.30, 0.20]])
    logging = np.array([[0.4, 0.3, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4]])
    target = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.6, 0.1, 0.2], [0.1, 0.1, 0.6, 0.2]])
    timid = 0.8 * np.eye(4)[[3, 0, 1]] + 0.05
    never = np.tile([0.0, 0.4, 0.3, 0.3], (3, 1))
    return [
        ("frequent rewards", 2000, rates, logging, target),
        ("rewards of 1 %", 10_000, rates / 15, logging, target),
        ("long-tailed weights", 5000, rates / 3, timid, target),
        ("long-tailed weights, rewards of 0.5 %", 10_000, rates / 30, timid, target),
        ("no overlap: an arm never logged", 5000, rates, never, target),
        ("no overlap: almost never", 1000, rates, np.tile([0.994, 0.002, 0.002, 0.002], (3, 1)), target),
    ]


def rankings(logs: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return bias and coverage where readers go down a list of three and stop at their first click."""
    world = RankingWorld(np.array([0.3, 0.2, 0.1, 0.1, 0.05]), slots=3, stop=1.0)
    logging, target = np.ones(5), np.array([4.0, 3.0, 2.0, 1.0, 1.0])
    truth = world.value(target)
    analyses: list[Analysis] = []
    n = 4000
    row, slot = np.divmod(np.arange(3 * n), 3)
    for _ in range(logs):
        _, clicks, propensity, of_target = world.rankings(n, rng, logging, target)
        log = LoggedRankings(row, slot + 1, clicks.ravel(), propensity.ravel(), of_target.ravel(), given_above=True)
        analyses.append(analyse_rankings(log))
    rows = []
    for at, answer in enumerate(analyses[0].answers):
        for which, one in enumerate(answer.estimates):
            each = [analysis.answers[at].estimates[which].value for analysis in analyses]
            means = np.array([value.mean for value in each])
            rows.append(
                {
                    "world": f"rankings of 3, {answer.assumption}",
                    "estimator": one.estimator,
                    "truth": truth,
                    "bias_in_errors": float((means.mean() - truth) / (means.std() / np.sqrt(logs))),
                    "holds": float(np.mean([value.low <= truth <= value.high for value in each])),
                    "refused": 0.0,
                    "holds_normal": None,
                    "holds_bernstein": None,
                }
            )
    return rows


def _coverage(
    world: str, estimator: str, terms: list[np.ndarray], truth: float, bound: float, refused: float
) -> dict[str, Any]:
    means = np.array([one.mean() for one in terms])
    errors = np.array([one.std(ddof=1) / np.sqrt(len(one)) for one in terms])
    corrected = [mean_interval(one) for one in terms]
    # Maurer and Pontil, "Empirical Bernstein bounds", COLT 2009, theorem 4, two-sided; rewards are 0 or 1.
    n = len(terms[0])
    bernstein = np.sqrt(2 * np.log(4 / 0.05)) * errors + 7 * bound * np.log(4 / 0.05) / (3 * (n - 1))
    width = np.mean([interval.high - interval.low for interval in corrected])
    return {
        "world": world,
        "estimator": estimator,
        "truth": truth,
        "bias_in_errors": float((means.mean() - truth) / (means.std() / np.sqrt(len(means)))),
        "holds": float(np.mean([interval.low <= truth <= interval.high for interval in corrected])),
        "holds_normal": float(np.mean(np.abs(means - truth) <= 1.959964 * errors)),
        "holds_bernstein": float(np.mean(np.abs(means - truth) <= bernstein)),
        "bernstein_times_as_wide": float(2 * bernstein.mean() / width),
        "refused": refused,
    }


def _percent(share: object) -> str:
    return "" if share is None else f"{share:.1%}"


if __name__ == "__main__":
    run_alone(main, "benchmarks.off_policy")
