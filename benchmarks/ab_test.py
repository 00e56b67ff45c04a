"""Whether the A/B statistics keep their promises: in simulated tests, and on two real ones.

``python -m benchmarks.ab_test [DATA] [--quick] [--json OUT]``

DATA is a folder with cookie_cats.parquet and hillstrom_email.parquet; without it only the simulations run.

Every figure is a share of simulated tests, so with 5,000 of them it is known to within .6 percentage points (two
standard errors of a share of 5 %).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from benchmarks.figures import Json, save
from evaluation.ab_test.analysis import analyse
from evaluation.ab_test.confidence_sequence import ConfidenceSequence
from evaluation.ab_test.contrast import Contrast
from evaluation.ab_test.design import Design
from evaluation.ab_test.results import Analysis, Lift
from evaluation.ab_test.sample_ratio import sequential_p_values
from evaluation.ab_test.units import read
from features.command_line import run_alone
from tests.experiment_worlds import Arrivals, clustered, contrasts, correlated

DAYS = 30
CONFIDENCE = 0.95
SEQUENCE = ConfidenceSequence(CONFIDENCE)
TRUE_LIFT = 0.1


def covers(estimates: Contrast, truth: float, critical: Any, *, relative: bool = False) -> np.ndarray:
    """Return whether each interval holds ``truth``."""
    low, high = (estimates.relative_interval if relative else estimates.difference_interval)(critical)
    return (low <= truth) & (truth <= high)


def watched(tests: int, rng: np.random.Generator) -> dict[str, float]:
    """Return how often a test that is looked at every day errs on any day: there is no lift in half of them."""
    figures: dict[str, float] = {}
    for metric, spends in (("rate", False), ("spend", True)):
        for kind, lift in (("aa", 0.0), ("ab", TRUE_LIFT)):
            arrivals = Arrivals(lift=lift, spends=spends)
            estimates = arrivals.watched(tests, DAYS, rng)
            fixed, always = estimates.fixed_critical_value(CONFIDENCE), SEQUENCE.critical_value(estimates.units)
            for name, critical in (("fixed", fixed), ("always", always)):
                held = covers(estimates, arrivals.true_difference, critical).all(axis=1)
                figures[f"{kind}_{metric}_{name}_wrong_on_some_day"] = 1 - held.mean()
                held = covers(estimates, lift, critical, relative=True).all(axis=1)
                figures[f"{kind}_{metric}_{name}_relative_wrong_on_some_day"] = 1 - held.mean()
            end = estimates.z[:, -1]
            figures[f"{kind}_{metric}_fixed_found_on_last_day"] = (np.abs(end) > fixed[:, -1]).mean()
            figures[f"{kind}_{metric}_always_found_by_last_day"] = (np.abs(estimates.z) > always).any(axis=1).mean()
    return figures


def coverage(tests: int, rng: np.random.Generator) -> dict[str, float]:
    """Return how often 95 % intervals read once hold the true lift."""
    figures: dict[str, float] = {}
    for metric, spends in (("rate", False), ("spend", True)):
        arrivals = Arrivals(units_per_day=5_000, lift=TRUE_LIFT, spends=spends)
        figures |= both(metric, arrivals.watched(tests, 1, rng), arrivals.true_difference, TRUE_LIFT)
    pairs = [clustered(1_000, TRUE_LIFT, rng) for _ in range(tests)]
    figures |= both("ratio", contrasts(pairs), 0.2 * TRUE_LIFT, TRUE_LIFT)
    pairs = [correlated(1_000, 0.7, 0.2, rng) for _ in range(tests)]
    return figures | both("mean_with_cuped", contrasts(pairs), 0.2, 0.02)


def both(metric: str, estimates: Contrast, difference: float, relative: float) -> dict[str, float]:
    """Return the coverage of the difference and of the relative lift."""
    critical = estimates.fixed_critical_value(CONFIDENCE)
    return {
        f"{metric}_difference": covers(estimates, difference, critical).mean(),
        f"{metric}_relative": covers(estimates, relative, critical, relative=True).mean(),
    }


def narrowing(tests: int, rng: np.random.Generator) -> dict[str, float]:
    """Return the variance with CUPED over that without: as reported, as seen between tests, and 1 - correlation^2."""
    figures: dict[str, float] = {}
    for correlation in (0.3, 0.6, 0.9):
        estimates = contrasts([correlated(1_000, correlation, 0.0, rng) for _ in range(tests)])
        # Without a covariate, the difference of two means of 1,000 unit normals has variance 2 / 1,000.
        figures[f"correlation_{correlation}_reported"] = float(np.mean(1 - estimates.variance_reduction))
        figures[f"correlation_{correlation}_seen"] = float(np.var(estimates.difference) / (2 / 1_000))
        figures[f"correlation_{correlation}_theory"] = 1 - correlation**2
    return figures


def sample_ratio(tests: int, rng: np.random.Generator) -> dict[str, float]:
    """Return how often a test assigned as planned is accused on some day, and one assigned 52 : 48 is caught."""
    figures: dict[str, float] = {}
    for name, share in (("fair", 0.5), ("tilted", 0.52)):
        first = rng.binomial(500, share, (tests, DAYS)).cumsum(axis=1)
        counts = np.stack([first, 500 * np.arange(1, DAYS + 1) - first], axis=-1)
        once = stats.chisquare(counts, counts.sum(axis=-1, keepdims=True) / 2, axis=-1).pvalue
        figures[f"{name}_chi_square_on_some_day"] = (once < 0.01).any(axis=1).mean()
        figures[f"{name}_chi_square_on_last_day"] = (once[:, -1] < 0.01).mean()
        figures[f"{name}_sequential_on_some_day"] = (sequential_p_values(counts, np.full(2, 0.5))[:, -1] < 0.01).mean()
    return figures


def real(data: Path) -> dict[str, Any]:
    """Return what the two real tests show, the lifts beside those of statsmodels."""
    cats = analysed(
        data / "cookie_cats.parquet",
        Design(unit="userid", variant="version", metrics=("retention_1", "retention_7", "sum_gamerounds")),
    )
    path = data / "hillstrom_email.parquet"
    hillstrom = analysed(
        path, Design(variant="segment", metrics=("visit", "conversion", "spend"), control="No E-Mail", read_once=True)
    )
    return {
        "cookie_cats_sample_ratio_p_value": cats.sample_ratio.p_value,
        "cookie_cats_mismatch_flagged": cats.sample_ratio.mismatch,
        "hillstrom_mismatch_flagged": hillstrom.sample_ratio.mismatch,
        "hillstrom": [
            {
                "metric": lift.metric,
                "variant": lift.variant,
                "control": lift.control_value,
                "value": lift.variant_value,
                "difference": [lift.difference.value, lift.difference.low, lift.difference.high],
                "relative": [lift.relative.value, lift.relative.low, lift.relative.high],
                "always": [lift.difference.always_low, lift.difference.always_high],
                "statsmodels_distance": distance_to_statsmodels(path, lift),
            }
            for lift in hillstrom.lifts
        ],
    }


def analysed(path: Path, design: Design) -> Analysis:
    """Return the reading of the file ``path``."""
    return analyse(read(path, design), design)


def distance_to_statsmodels(path: Path, lift: Lift) -> float:
    """Return the largest absolute difference to Welch's interval and p-value as statsmodels computes them."""
    frame = pd.read_parquet(path, columns=["segment", lift.metric])
    sides = (DescrStatsW(frame.loc[frame["segment"] == side, lift.metric]) for side in (lift.variant, "No E-Mail"))
    theirs = CompareMeans(*sides)
    low, high = theirs.tconfint_diff(1 - CONFIDENCE, usevar="unequal")
    p_value = theirs.ttest_ind(usevar="unequal")[1]
    ours = (lift.difference.low, lift.difference.high, lift.p_value)
    return float(np.max(np.abs(np.subtract(ours, (low, high, p_value)))))


def main(
    data: Annotated[Path | None, typer.Argument(help="Folder of the two real tests.")] = None,
    tests: Annotated[int, typer.Option(help="Simulated tests for each figure.")] = 5_000,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of them.")] = False,
    seed: Annotated[int, typer.Option(help="Of the simulations.")] = 0,
    out: Json = None,
) -> None:
    """Simulate A/B tests, and read two real ones."""
    rng = np.random.default_rng(seed)
    tests = tests // 10 if quick else tests
    console = Console(width=120, highlight=False)
    results: dict[str, Any] = {}
    for title, simulate in (
        (f"Share wrong or found, watched on each of {DAYS} days", watched),
        ("Coverage of 95% intervals read once", coverage),
        ("CUPED: variance with over variance without", narrowing),
        ("Sample-ratio mismatch: share flagged below .01", sample_ratio),
    ):
        figures = {name: float(value) for name, value in simulate(tests, rng).items()}
        results[simulate.__name__] = figures
        table = Table("figure", f"{tests:,} tests", title=title, title_justify="left")
        for name, value in figures.items():
            table.add_row(name, f"{value:.4f}")
        console.print(table)
    if data:
        results["real"] = real(data)
        console.print_json(json.dumps(results["real"]))
    save(results, out)


if __name__ == "__main__":
    run_alone(main, "benchmarks.ab_test")
