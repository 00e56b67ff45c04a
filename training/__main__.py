"""``python -m training``: fit, evaluate and promote models."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from features.command_line import Var, console, in_a_folder, run, write
from features.errors import InvalidInput, NotFound
from features.layout import Layout

# Commands import what they need when they are called: some of it takes seconds, and `--help` needs none.

# There is a process for each core: more threads than that would only wait for each other. Read when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
output = Console(highlight=False)

DEFAULT_VAR = Path("var")
HoldoutDays = Annotated[int, typer.Option(min=1, help="Length of the held-out period, counted back from the last day.")]
Workers = Annotated[
    int, typer.Option(min=1, help="Processes to fit and rank in, each of which needs memory; 1 stays in this one.")
]
CORES = len(os.sched_getaffinity(0))
Seed = Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")]


@app.command("fit")
def fit_command(
    models: Annotated[list[str] | None, typer.Argument(metavar="MODEL...", help="Which to fit.")] = None,
    all_models: Annotated[bool, typer.Option("--all", help="Fit every model.")] = False,
    settings: Annotated[Path | None, typer.Option(help="TOML file with the settings of the one model.")] = None,
    auto: Annotated[bool, typer.Option("--auto", help="Choose the parts of a model, and all settings.")] = False,
    budget_minutes: Annotated[float, typer.Option(min=0.1, help="Time to choose in, with --auto.")] = 15.0,
    holdout_days: HoldoutDays = 28,
    seed: Seed = 0,
    workers: Workers = CORES,
    var: Var = DEFAULT_VAR,
) -> None:
    """Fit models on the latest snapshot, and make the best of them the challenger.

    Each is fitted twice with the same settings: on what happened before the held-out period, to be tested on that
    period, and on everything, to be served. With --auto, the days before the held-out period choose what to fit; a
    choice that was interrupted goes on where it was.
    """
    from features.snapshot import Snapshot
    from training.backtest import PLACES, buyers
    from training.diagnostics import warnings
    from training.fit import MODELS
    from training.processes import processes
    from training.report import comparison, figures
    from training.tracking import CHALLENGER
    from training.workbench import Configuration, Workbench

    names = list(MODELS) if all_models else list(dict.fromkeys(models or []))
    if not names and not auto:
        raise InvalidInput(f"Say which model to fit, --all or --auto. Models: {', '.join(MODELS)}.")
    if settings and auto:
        raise InvalidInput(f"--settings {settings} is for one model, and --auto chooses the settings itself.")
    if settings and len(names) > 1:
        raise InvalidInput(f"--settings {settings} is for one model; {len(names)} are to be fitted.")
    configurations = [Configuration.of(name, settings) for name in names]
    layout = Layout(var)
    snapshot = Snapshot.latest(layout)
    with processes(workers) as pool, _progress() as progress:
        bench = Workbench.of(layout, snapshot, holdout_days, seed, progress, pool)
        if auto:
            from training.auto import choose

            configurations.append(
                choose(bench.backtest, layout, bench.tracking, budget_minutes, seed, progress, pool, workers)
            )
        fitted = bench.fit_all(configurations, datetime.now(UTC))
    tests = {name: ranked for name, (_, ranked) in fitted.items()}
    best = max(tests, key=lambda name: tests[name].filter(target="all")["ndcg"].to_numpy().mean())
    bench.tracking.name(fitted[best][0], CHALLENGER)
    output.print(comparison(figures(tests, bench.backtest, seed)))
    bought_by = buyers(bench.backtest.past)
    for name, ranked in tests.items():
        for sentence in warnings(ranked, bought_by):
            console.print(f"[bold white on red] {name} [/] [bold red]{sentence}[/]", soft_wrap=True)
    why = f", the best of {len(tests)} by NDCG@{PLACES} of all purchases" if len(tests) > 1 else ""
    console.print(f"Version {fitted[best][0]} ({best}{why}) is the challenger. To serve it: python -m training promote")


@app.command("evaluate")
def evaluate_command(
    models: Annotated[list[str] | None, typer.Argument(metavar="[MODEL...]", help="Which; all by default.")] = None,
    holdout_days: HoldoutDays = 28,
    seed: Seed = 0,
    workers: Workers = CORES,
    json_file: Annotated[
        Path | None, typer.Option("--json", callback=in_a_folder, help="Where to write the figures, too.")
    ] = None,
    var: Var = DEFAULT_VAR,
) -> None:
    """Test models with their default settings on the last days of the latest snapshot, and print one table."""
    from features.snapshot import Snapshot
    from training.fit import MODELS
    from training.processes import processes
    from training.report import comparison, figures
    from training.workbench import Configuration, Workbench

    configurations = [Configuration.of(name) for name in dict.fromkeys(models or MODELS)]
    layout = Layout(var)
    snapshot = Snapshot.latest(layout)
    with processes(workers) as pool, _progress() as progress:
        bench = Workbench.of(layout, snapshot, holdout_days, seed, progress, pool)
        tests = bench.test_all(configurations)
    found = figures(tests, bench.backtest, seed)
    if json_file:
        write(json_file, json.dumps(found, indent=2))
    output.print(comparison(found))


@app.command("simulate")
def simulate_command(
    shoppers: Annotated[int, typer.Option(min=1, max=100_000, help="How many there are.")] = 500,
    days: Annotated[int, typer.Option(min=1, max=366, help="For how long they come, until now.")] = 14,
    url: Annotated[
        str | None, typer.Option(help="Of a running service: they ask it, and it gets their events.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(callback=in_a_folder, help="Write their events here, as JSONL, without campaigns.")
    ] = None,
    seed: Seed = 0,
    var: Var = DEFAULT_VAR,
) -> None:
    """Let simulated shoppers of known tastes visit: in the log of --var, a running service, or a file of events."""
    import asyncio

    import numpy as np

    from training.simulation import Shoppers, lived, sent, written

    if url is not None and out is not None:
        raise InvalidInput("Give --url or --out, not both.")
    rng = np.random.default_rng(seed)
    world, until = Shoppers.of(shoppers, rng), datetime.now(UTC)
    if out is not None:
        events = asyncio.run(written(out, world, days, until, rng))
    elif url is not None:
        events = asyncio.run(sent(url, world, days, until, rng))
    else:
        events = asyncio.run(lived(Layout(var), world, days, until, rng))
    console.print(f"{shoppers:,} shoppers did {events:,} things in {days} days: {out or url or var}.")


@app.command("promote")
def promote_command(
    if_better: Annotated[
        bool, typer.Option("--if-better", help="Only where clearly better, not where as good.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Whatever the test says; it must still load and answer.")
    ] = False,
    workers: Workers = CORES,
    var: Var = DEFAULT_VAR,
) -> None:
    """Serve the challenger, if it does as well as the champion; ends with status 1 where it does not."""
    from training.tracking import CHALLENGER, CHAMPION, Tracking

    layout = Layout(var)
    tracking = Tracking(layout.mlflow) if layout.mlflow.is_dir() else None
    challenger = tracking.named(CHALLENGER) if tracking else None
    if tracking is None or challenger is None:
        raise NotFound(f"There is no challenger in {layout.mlflow}. Fit one: python -m training fit blend")

    from features.snapshot import Snapshot
    from training.processes import processes
    from training.promote import promote
    from training.workbench import Workbench

    tags = challenger.run.tags
    snapshot = Snapshot.load(layout.snapshots / tags["snapshot_hash"])
    with processes(workers) as pool, _progress() as progress:
        bench = Workbench.of(layout, snapshot, int(tags["holdout_days"]), int(tags["seed"]), progress, pool)
        verdict = promote(challenger, tracking.named(CHAMPION), bench, layout, force=force, if_better=if_better)
    for sentence in verdict.sentences:
        console.print(sentence, soft_wrap=True)
    if not verdict.promote:
        raise typer.Exit(1)


@app.command("benchmark")
def benchmark_command(
    folder: Annotated[Path, typer.Argument(help="Folder of the data set's Parquet files.")],
    protocol: Annotated[str, typer.Option(help="leave-one-out, split or sessions.")],
    json_file: Annotated[Path, typer.Option("--json", callback=in_a_folder, help="Where to write what came of it.")],
    budget_minutes: Annotated[float, typer.Option(min=0.1, help="For choosing and fitting.")] = 15.0,
    seed: Seed = 0,
    ids_only: Annotated[bool, typer.Option("--ids-only", help="Know nothing of items but their ids.")] = False,
    workers: Workers = CORES,
    var: Annotated[
        Path | None, typer.Option(help="Folder to keep and track the trials in, so that an interrupted run goes on.")
    ] = None,
) -> None:
    """Test on a public data set the models that its validation part chooses; the test part is looked at once."""
    from training.benchmark import benchmark
    from training.datasets import Protocol

    if protocol not in tuple(Protocol):
        raise InvalidInput(f"There is no protocol {protocol!r}. Protocols: {', '.join(Protocol)}.")
    layout = Layout(var) if var else None
    with _progress() as progress:
        result = benchmark(folder, Protocol(protocol), budget_minutes, seed, ids_only, progress, workers, layout)
    write(json_file, json.dumps(result, indent=2))
    for name, value in result["metrics"].items():
        output.print(f"{name:10} {value:.4f}")


@app.command("ui")
def ui_command(port: Annotated[int, typer.Option(help="Where to serve it.")] = 5000, var: Var = DEFAULT_VAR) -> None:
    """Open MLflow's pages on the runs and versions."""
    from serving.servers import require_free, started
    from training import tracking

    require_free(port)
    command = tracking.ui_command(tracking.Tracking(Layout(var).mlflow), port)
    console.print(f"MLflow: http://localhost:{port} (stop with Ctrl+C)")
    with started(command, os.environ) as server:
        server.wait()


@app.command("demo")
def demo_command(port: Annotated[int, typer.Option(help="Where to serve.")] = 3000, var: Var = DEFAULT_VAR) -> None:
    """Import The Complete Journey, build, fit, compare, promote and serve; what is there already is kept."""
    from training.demo import demo

    demo(Layout(var), port, _progress())


def _progress() -> Progress:
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console)


if __name__ == "__main__":
    run(app, "training")
