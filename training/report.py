"""What tests found, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import polars as pl
from rich import box
from rich.table import Table

from training.backtest import PLACES, RECIPES, Backtest, intervals, variety

MEASURES = ("recall", "ndcg")
HEADINGS = {"recall": f"recall@{PLACES}", "ndcg": f"NDCG@{PLACES}"}


def figures(tests: Mapping[str, pl.DataFrame], backtest: Backtest, seed: int) -> dict[str, Any]:
    """Return what ``rank_held_out`` says of each model, ready for JSON; ``seed`` as for ``intervals``.

    ``users`` says how many of them each target is about; ``models`` holds of each model its ``coverage``, a share of
    the catalog, and for each target that has two users the mean of each of ``MEASURES`` over them, with its 95 %
    bootstrap interval.
    """
    split, in_catalog = backtest.split, backtest.snapshot.catalog["in_catalog"].to_numpy()
    models = {}
    for name, ranked in tests.items():
        found = intervals(ranked, seed)
        models[name] = {"coverage": variety(ranked, in_catalog)["all"]["coverage"]} | {
            target: {measure: asdict(found[target][measure]) for measure in MEASURES}
            for target in RECIPES
            if target in found
        }
    return {
        "held_out_from": f"{split.start:%Y-%m-%d}",
        "days": backtest.days,
        "places": PLACES,
        "users": {"all": len(split.all.users), "new": len(split.new.users)},
        "models": models,
        "seed": seed,
    }


def comparison(found: Mapping[str, Any]) -> Table:
    """Return one row for each model of ``figures``."""
    table = Table(
        title=f"Purchases from {found['held_out_from']} on ({found['days']} days)",
        caption=f"all: what {found['users']['all']:,} users bought; new: what {found['users']['new']:,} of them bought "
        "for the first time. Below each mean over users is its 95 % bootstrap interval. Coverage: the share of the "
        f"catalog that is among the {PLACES} of anybody.",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("model", no_wrap=True)
    for target in RECIPES:
        for measure in MEASURES:
            table.add_column(f"{target}\n{HEADINGS[measure]}", justify="right", no_wrap=True)
    table.add_column("all\ncoverage", justify="right")
    for name, model in found["models"].items():
        cells = [
            _cell(model[target][measure]) if target in model else "-" for target in RECIPES for measure in MEASURES
        ]
        table.add_row(name, *cells, f"{model['coverage']:.1%}")
    return table


def _cell(interval: Mapping[str, float]) -> str:
    mean, low, high = (f"{interval[name]:.3f}".removeprefix("0") for name in ("mean", "low", "high"))
    return f"[bold]{mean}[/]\n[dim]{low}-{high}[/]"
