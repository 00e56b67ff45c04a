"""What a person wants to see of a model, as pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evaluation.intervals import bootstrap_interval
from evaluation.ranking_metrics import NO_ITEM
from training.backtest import by_history, of_targets


def ndcg_by_history(ranked: pl.DataFrame, path: Path, seed: int) -> None:
    """Draw NDCG by length of history, with intervals; ``ranked`` as ``rank_held_out`` returns it."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for target, rows in of_targets(ranked).items():
        groups = [group for group in by_history(rows) if len(group) > 1]
        found = [bootstrap_interval(g["ndcg"].to_numpy(), np.random.default_rng(seed), resamples=200) for g in groups]
        mean = np.array([interval.mean for interval in found])
        spread = np.abs(np.array([[i.low, i.high] for i in found]).T - mean)
        axes.errorbar(
            [float(np.median(g["purchases"])) for g in groups], mean, spread, marker="o", capsize=3, label=target
        )
    axes.set(xscale="log", xlabel="purchases before", ylabel="NDCG@20", title="NDCG by length of history")
    axes.set_ylim(bottom=0)
    axes.legend(title="to be found")
    figure.savefig(path, dpi=100)


def popularity_of_the_recommended(ranked: pl.DataFrame, buyers: NDArray[np.int64], path: Path) -> None:
    """Draw which share of the places the most popular items take, beside their share of the purchases.

    ``buyers`` counts the users who bought each item; shape (items,).
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    most_popular_first = np.argsort(-buyers, kind="stable")
    number = np.arange(1, len(buyers) + 1)
    axes.plot(number, np.cumsum(buyers[most_popular_first]) / max(buyers.sum(), 1), "k--", label="bought before")
    for target, rows in of_targets(ranked).items():
        places = rows["ranking"].to_numpy()
        shown = np.bincount(places[places != NO_ITEM], minlength=len(buyers))
        axes.plot(number, np.cumsum(shown[most_popular_first]) / max(shown.sum(), 1), label=f"recommended: {target}")
    axes.set(
        xscale="log", xlabel="the n most popular items", ylabel="their share", title="Popularity of what is recommended"
    )
    axes.set_ylim(0, 1)
    axes.legend()
    figure.savefig(path, dpi=100)


def learning_curve(curve: pl.DataFrame, path: Path) -> None:
    """Draw NDCG on the held-out period by the number of trees; ``curve`` as ``backtest.learning_curve`` returns it."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for target, rows in of_targets(curve).items():
        axes.plot(rows["trees"], rows["ndcg"], label=target)
    axes.set(xlabel="trees", ylabel="NDCG@20", title="Learning curve, on days that were not learned from")
    axes.set_ylim(bottom=0)
    axes.legend(title="to be found")
    figure.savefig(path, dpi=100)
