"""The table of all public sets, ours beside what was published: ``benchmarks/README.md``.

``python -m benchmarks.table RESULTS_DIR [--out FILE]``

RESULTS_DIR holds the JSON files that ``python -m training benchmark``, ``python -m training evaluate``,
``benchmarks.cold_start`` and ``benchmarks.event_weights`` wrote, under any name, but that a file of ``evaluate`` is
called like the shop; of several runs of one set all are shown, by their seed. What there is no file of is left open.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from features.command_line import run_alone, write
from features.errors import InvalidInput, NotFound

HERE: Final = Path(__file__).parent


@dataclass(frozen=True)
class Published:
    """A figure of the literature: the method, its two metrics, and where they stand."""

    method: str
    figures: tuple[float | None, float | None]
    source: str


@dataclass(frozen=True)
class DataSet:
    """A public set.

    Attributes:
        title: What it is.
        metrics: The two that are compared, as the benchmark's JSON calls them.
        published: The best first.
        note: How it is tested.
        scale: What the published figures are to be divided by.
    """

    title: str
    metrics: tuple[str, str]
    published: tuple[Published, ...]
    note: str
    scale: float = 1.0


SETS: Final = {
    "amazon_beauty": DataSet(
        "Amazon Beauty 2014, 5-core: 22,363 users, 12,101 items, 198,502 interactions",
        ("recall@10", "ndcg@10"),
        (
            Published("WEARec", (0.1041, 0.0614), "Xu et al., arXiv:2511.07028 (2025)"),
            Published("STAR", (0.101, None), "Lee et al., arXiv:2410.16458 (2024)"),
            Published("ActionPiece", (0.0775, 0.0424), "Hou et al., ICML 2025, arXiv:2502.13581"),
            Published("TIGER", (0.0648, 0.0384), "Rajput et al., NeurIPS 2023, arXiv:2305.05065"),
            Published("SASRec", (0.0605, 0.0318), "Kang and McAuley, ICDM 2018; figures from TIGER"),
        ),
        "Leave-one-out, strict: learned from all but the last two items of a user; all items ranked but the history.",
    ),
    "gowalla": DataSet(
        "Gowalla, LightGCN's split: 29,858 users, 40,981 items, 810,128 and 217,242 check-ins",
        ("recall@20", "ndcg@20"),
        (
            Published("BSPM", (0.1920, 0.1597), "Choi et al., SIGIR 2023, arXiv:2211.09324"),
            Published("NESCL", (0.1917, 0.1617), "Sun et al., TKDE 2023, arXiv:2402.11523"),
            Published("LightGCN", (0.1830, 0.1554), "He et al., SIGIR 2020, arXiv:2002.02126"),
        ),
        "The given split: all items ranked that the user has not in train.",
    ),
    "diginetica": DataSet(
        "Diginetica, the sessions of SR-GNN and GCE-GNN: 60,858 examples",
        ("hr@20", "mrr@20"),
        (
            Published("DIDN", (56.2, 20.0), "Zhang et al., Information Processing & Management 2022"),
            Published("SGNN-HN", (55.7, 19.5), "Pan et al., CIKM 2020"),
            Published("SLIST", (52.9, 18.9), "Choi et al., WWW 2021; the best that needs no GPU"),
        ),
        "The next item of a session, an item of the session included.",
        scale=100.0,
    ),
}

SHOPS: Final = {
    "complete_journey": "The Complete Journey: 1.47 million purchases by 2,469 households of 92,331 products"
}
"""What is called how, of those whose last days ``evaluate`` holds out."""

INTRODUCTION: Final = """# Benchmarks

Written by `python -m benchmarks.table RESULTS_DIR` from the files that the commands below wrote; nothing is typed in by
hand but what others published. Data sets are not part of this repository: a command takes the folder of one.

```sh
python -m training benchmark DIR --protocol leave-one-out --json RESULTS_DIR/beauty.json   # or split, sessions
python -m benchmarks.cold_start DIR --json RESULTS_DIR/cold_start.json
python -m benchmarks.event_weights DIR --json RESULTS_DIR/event_weights.json
python -m training evaluate --json RESULTS_DIR/complete_journey.json   # after make demo
python -m benchmarks.table RESULTS_DIR
```

Everything of ours is answered by what serves: the same scorers, bundle and pipeline. Parts, settings and trees are
chosen on a validation that is cut from what there is to learn from; the test is looked at once, at the end. `--var DIR`
keeps the trials, so that an interrupted run goes on, and shows them in MLflow.

Recall: found among the first k / all to be found. NDCG: binary gains, divided by the best possible over
min(k, relevant) places. HR: share of questions answered within the first k. MRR: 1 / place, 0 beyond k. The answering
time is computation on one core for each ranking, median (99th percentile) over 150 questions, of each the shortest of
five times. Memory is the most that all processes held at once, looked at every second; what they share counts once.
"""


def main(
    results: Annotated[Path, typer.Argument(metavar="RESULTS_DIR", help="Folder of JSON files.")],
    out: Annotated[Path, typer.Option(help="Where to write the page.")] = HERE / "README.md",
) -> None:
    """Write the page."""
    if not results.is_dir():
        raise NotFound(f"There is no folder {results}. Give the one that holds the JSON files of the runs.")
    write(out, page(_read(results)))
    Console().print(f"Wrote {out}.")


def page(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the page in Markdown; ``found`` holds the contents of the JSON files."""
    parts = [INTRODUCTION]
    for name, one in SETS.items():
        parts.append(_section(one, [run for run in found if run.get("dataset") == name]))
    others = sorted({run["dataset"] for run in found if "dataset" in run} - SETS.keys())
    if others:
        parts.append("## Other sets\n\n" + _others([run for run in found if run.get("dataset") in others]))
    parts += [_held_out(run) for run in found if "shop" in run]
    # What is not of a data set is told apart by what it holds.
    parts += [_cold_start(run) for run in found if "hidden_items" in run]
    parts += [_event_weights(run) for run in found if "any" in run and "new" in run]
    parts.append(_commands())
    return "\n".join(parts)


def _read(folder: Path) -> list[dict[str, Any]]:
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            one = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InvalidInput(f"{path} is not JSON: {error}. Run its benchmark again, or take it away.") from None
        if "protocol" in one and "dataset" not in one:
            one["dataset"] = next((name for name in SETS if name.split("_")[-1] in path.stem), path.stem)
        if "held_out_from" in one:
            one["shop"] = path.stem
        found.append(one)
    return found


def _section(one: DataSet, runs: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for run in sorted(runs, key=lambda run: (bool(run.get("ids_only")), run.get("seed", 0))):
        label = "**Attune**" + (", ids only" if run.get("ids_only") else "") + f" (seed {run.get('seed', 0)})"
        ms = run.get("answering_ms", {})
        rows.append((label, *_figures(one, run["metrics"], "**"), _cost(run), _ms(ms.get("full"))))
        for variant, metrics in run.get("variants", {}).items():
            cost = _kept(one, run, metrics) if variant == "distilled" else ""
            rows.append((f"{label}, {variant}", *_figures(one, metrics), cost, _ms(ms.get(variant))))
    if not runs:
        rows.append(("**Attune**", "not run", "not run", "", ""))
    rows += [
        (other.method, *(_number(figure, 1, one.scale) for figure in other.figures), other.source, "")
        for other in one.published
    ]
    head = ("method", *one.metrics, "cost, or source", "answering")
    return f"## {one.title}\n\n{one.note}\n\n{_table(head, rows)}\n{_chosen(runs)}"


def _figures(one: DataSet, metrics: Mapping[str, float], mark: str = "") -> tuple[str, ...]:
    return tuple(f"{mark}{_number(metrics.get(name), one.scale, one.scale)}{mark}" for name in one.metrics)


def _number(value: float | None, times: float, scale: float) -> str:
    if value is None:
        return "-"
    return f"{value * times:.1f}" if scale > 1 else f"{value * times:.4f}".removeprefix("0")


def _cost(run: Mapping[str, Any]) -> str:
    seconds = run.get("seconds", {})
    told = [f"{seconds['choose'] / 60:.0f} min to choose and fit"] if "choose" in seconds else []
    if "cpu" in seconds:
        told.append(f"{seconds['cpu'] / 60:.0f} min of CPU in all")
    if "peak_memory_mb" in run:
        told.append(f"{run['peak_memory_mb'] / 1024:.1f} GB")
    return ", ".join(told)


def _kept(one: DataSet, run: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    full = run["metrics"].get(one.metrics[1])
    return f"keeps {metrics[one.metrics[1]] / full:.1%}" if full else ""


def _ms(took: Mapping[str, float] | None) -> str:
    return f"{took['median']:.2f} ({took['p99']:.2f}) ms" if took else ""


def _chosen(runs: Iterable[Mapping[str, Any]]) -> str:
    run = next((run for run in runs if not run.get("ids_only")), None)
    shares = (run or {}).get("chosen", {}).get("shares")
    if not shares:
        return ""
    parts = sorted(shares.items(), key=lambda part: -part[1])
    told = ", ".join(f"{name} {share:.0%}" for name, share in parts if share >= 0.005)
    return f"\nShares in what tells the best candidates apart: {told}.\n"


def _others(runs: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (
            run["dataset"] + (", ids only" if run.get("ids_only") else ""),
            run["protocol"],
            ", ".join(f"{name} {value:.4f}" for name, value in run["metrics"].items()),
            _cost(run),
        )
        for run in runs
    ]
    return _table(("set", "protocol", "metrics", "cost"), rows)


def _held_out(run: Mapping[str, Any]) -> str:
    users, places = run["users"], run["places"]
    of_each = [(target, measure) for target in users for measure in ("recall", "ndcg")]
    rows = [
        (name, *(_interval(model[target][measure]) if target in model else "-" for target, measure in of_each))
        for name, model in run["models"].items()
    ]
    head = ("model", *(f"{target}, {measure}@{places}" for target, measure in of_each))
    return (
        f"## {SHOPS.get(run['shop'], run['shop'])}\n\n"
        f"The last {run['days']} days, from {run['held_out_from']} on: all that {users['all']:,} of those who had "
        f"bought before bought then, and what {users['new']:,} of them bought for the first time. Models have the "
        f"settings that they come with.\n\n{_table(head, rows)}"
    )


def _cold_start(run: Mapping[str, Any]) -> str:
    rows = [(label, _interval(values)) for label, values in run["recall@10"].items()]
    visitors = [(label, _interval(values)) for label, values in run["new_visitors_recall@10"].items()]
    return (
        "## Cold start\n\n"
        f"One item in ten ({run['hidden_items']:,}) is hidden from training and histories altogether; {run['asked']:,} "
        "people chose one of these last, and the hidden items alone are ranked.\n\n"
        f"{_table(('hidden items ranked by', 'recall@10'), rows)}\n"
        "People of whom nothing is known, or one click; their last item among all items:\n\n"
        f"{_table(('visitor', 'recall@10'), visitors)}"
    )


def _event_weights(run: Mapping[str, Any]) -> str:
    rows = [
        (question, way, _interval(one["ndcg@20"]), "" if way == "learned" else _interval(one["learned_less_this"], "+"))
        for question, ways in run.items()
        for way, one in ways.items()
        if way != "learned_weights"
    ]
    learned = "; ".join(
        f"{question}: " + ", ".join(f"{name} {value:.2f}" for name, value in ways["learned_weights"]["history"].items())
        for question, ways in run.items()
        if "learned_weights" in ways
    )
    return (
        "## Weights of events\n\n"
        "Held-out purchases, any or of items that the buyer had nothing to do with, foretold from views, add-to-carts "
        "and purchases that are weighed in three ways; by hand: 1, 3, 10. Both: the mean of the two, of each buyer who "
        "was asked both.\n\n"
        f"{_table(('purchases', 'weights', 'NDCG@20', 'learned less this one'), rows)}\n"
        f"Learned, of the events of a history ({learned}).\n"
    )


def _commands() -> str:
    rows = []
    for path in sorted(HERE.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        if 'if __name__ == "__main__"' in source:
            told = (ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0].replace("\n", " ").replace("``", "`")
            rows.append((f"`python -m benchmarks.{path.stem}`", told))
    return f"## All commands\n\n{_table(('command', 'what it shows'), rows)}"


def _interval(values: Mapping[str, float], sign: str = "") -> str:
    if "low" not in values:
        return f"{values['mean']:.4f}"
    return f"{values['mean']:{sign}.4f} ({values['low']:{sign}.4f} to {values['high']:{sign}.4f})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    run_alone(main, "benchmarks.table")
