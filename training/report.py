"""What tests found, as a table."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from rich import box
from rich.table import Table

from evaluation.intervals import Interval
from training.backtest import PLACES, RECIPES, Backtest, intervals, variety

MEASURES = ("recall", "ndcg")
HEADINGS = {"recall": f"recall@{PLACES}", "ndcg": f"NDCG@{PLACES}"}


def comparison(tests: Mapping[str, pl.DataFrame], backtest: Backtest, seed: int) -> Table:
    """Return one row for each model, with what ``rank_held_out`` says of it; ``seed`` as for ``intervals``."""
    split = backtest.split
    table = Table(
        title=f"Purchases from {split.start:%Y-%m-%d} on ({backtest.days} days)",
        caption=f"all: what {len(split.all.users):,} users bought; new: what {len(split.new.users):,} of them bought "
        "for the first time. Below each mean over users is its 95 % bootstrap interval. Coverage: the share of the "
        f"catalog that is among the {PLACES} of anybody.",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("model", no_wrap=True)
    for target in RECIPES:
        for measure in MEASURES:
            table.add_column(f"{target}\n{HEADINGS[measure]}", justify="right", no_wrap=True)
    table.add_column("all\ncoverage", justify="right")
    in_catalog = backtest.snapshot.catalog["in_catalog"].to_numpy()
    for model, ranked in tests.items():
        found = intervals(ranked, seed)
        cells = [
            _cell(found[target][measure]) if target in found else "-" for target in RECIPES for measure in MEASURES
        ]
        table.add_row(model, *cells, f"{variety(ranked, in_catalog)['all']['coverage']:.1%}")
    return table


def _cell(interval: Interval) -> str:
    mean, low, high = (f"{value:.3f}".removeprefix("0") for value in (interval.mean, interval.low, interval.high))
    return f"[bold]{mean}[/]\n[dim]{low}-{high}[/]"
