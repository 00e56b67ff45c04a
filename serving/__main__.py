"""``python -m serving``: answer requests."""

from __future__ import annotations

import gc
import logging
import os
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer

from features.command_line import Var, console, in_a_folder, run, write
from features.errors import InvalidInput, NotFound, Unavailable
from features.layout import Layout
from serving.servers import begin_anew, require_free, service_environment
from serving.settings import ServingSettings
from serving.supervisor import listening, supervise

RecipesFile = Annotated[
    Path | None, typer.Option(envvar="ATTUNE_RECIPES", help="File of recipes in place of the built-in ones.")
]

COMPILED: Final = "ATTUNE_COMPILED"
"""Set where a process takes the place of one that had to compile, which keeps 200 MB for good; here all is on disk."""

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _commands() -> None:
    """Answer requests."""


@app.command("start")
def start_command(
    port: Annotated[int, typer.Option(envvar="PORT", help="Where to listen.")] = 3000,
    workers: Annotated[
        int | None, typer.Option(min=1, envvar="ATTUNE_WORKERS", help="Processes; as the settings say where not given.")
    ] = None,
    var: Var = Path("var"),
) -> None:
    """Serve the promoted bundle until stopped, and each one that is promoted after it."""
    layout = Layout(var)
    require_free(port)
    os.environ.update(service_environment(layout, os.environ))
    settings = ServingSettings.of_environment(os.environ)
    if not layout.champion.is_file():
        console.print(
            f"[yellow]warning:[/] Nothing is promoted in {var} yet, so requests are answered with 503 until "
            "`python -m training promote` has been run."
        )
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(message)s")
    logging.getLogger("attune").setLevel(logging.INFO)
    listener = listening(port)
    environment = dict(os.environ)
    with TemporaryDirectory() as metrics:
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", metrics)  # where the workers add up their numbers
        gc.disable()  # what is imported is no garbage, and to look for some takes a sixth of the time
        from numba.core.event import install_recorder

        with install_recorder("numba:compile") as compiled:
            from serving.application import answering  # only here: it reads the environment, and takes a second
            from serving.champion import import_scorers

            import_scorers(layout)
        gc.freeze()
        if COMPILED in environment or not compiled.buffer:
            n = workers or settings.workers
            console.print(f"Serving on http://localhost:{port}, {n} workers. Stop with Ctrl+C.")
            if status := supervise(n, lambda: answering(listener)):
                raise Unavailable(f"The service ended with status {status}; it says why above.")
            return
    begin_anew(environment | {COMPILED: "1"})


@app.command("relearn")
def relearn_command(var: Var = Path("var")) -> None:
    """Work out anew, from the whole log, what came of every decision and what policies know by it."""
    from serving.decision_fold import rebuild

    layout = _logged(var)
    rebuild(layout)
    console.print(f"What came of decisions in {var} is made anew.")


@app.command("replay")
def replay_command(
    ranking_id: Annotated[str, typer.Argument(help="As the answer named it.")],
    recipe: Annotated[str | None, typer.Option(help="A recipe to compare with the one that made the list.")] = None,
    recipes: RecipesFile = None,
    var: Var = Path("var"),
) -> None:
    """Make a logged ranking again, by its own recipe or by another one, and show what differs."""
    from rich.table import Table  # here, for what they need takes a second that `start` has no use for

    from serving.recipes import BUILT_IN, Recipes
    from serving.replay import logged, recipes_in_force, replayed

    layout = Layout(var)
    ranking, own = logged(layout, ranking_id)
    other = own if recipe is None else recipes_in_force(layout, Recipes.read(recipes or BUILT_IN))[recipe]
    again = replayed(layout, ranking, other)
    was = list(zip(ranking.items, ranking.scores, strict=True))
    table = Table("place", "then", "score", "now", "score", title=f"Ranking {ranking_id}, {recipe or 'as it was made'}")
    nothing = ("", None)
    for place, (before, after) in enumerate(zip_longest(was, again, fillvalue=nothing), 1):
        cells = [text for name, score in (before, after) for text in (name, "" if score is None else f"{score:.6g}")]
        table.add_row(str(place), *cells, style=None if before == after else "bold")
    console.print(table)
    same = sum(before == after for before, after in zip(was, again, strict=False))
    if was == again:
        console.print("Identical.")
    else:
        console.print(f"{same} of {len(was)} places are the same.")
        if recipe is None:
            raise typer.Exit(1)


@app.command("off-policy")
def off_policy_command(
    recipe: Annotated[str, typer.Argument(help="The recipe that made the rankings, one that explores a place.")],
    other: Annotated[str | None, typer.Option(help="The recipe to judge in its place.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The bundle to judge, by its id; on rankings after its data.")
    ] = None,
    reward: Annotated[str, typer.Option(help="click or purchase.")] = "click",
    window_days: Annotated[float, typer.Option(help="How long after the ranking it may come.")] = 7.0,
    min_effective_sample_size: Annotated[float, typer.Option(help="Below it there is no answer.")] = 100.0,
    json_out: Annotated[
        Path | None, typer.Option("--json", callback=in_a_folder, help="Write the results here.")
    ] = None,
    recipes: RecipesFile = None,
    var: Var = Path("var"),
) -> None:
    """Tell what another recipe or model would have earned at explored places; status 1 where the log cannot tell."""
    from evaluation.explored import PlaceGoal, hindsight
    from evaluation.off_policy import report
    from models.bundle import Bundle
    from serving.hindsight import explored_places
    from serving.recipes import BUILT_IN, Recipes
    from serving.replay import recipes_in_force

    layout = _logged(var)
    if other is None and model is None:
        raise InvalidInput("Say with --other which recipe to judge, or with --model which bundle, or both.")
    given = {"reward": reward, "window_days": window_days, "min_effective_sample_size": min_effective_sample_size}
    goal = PlaceGoal.of(given, "The command line")
    bundle = None if model is None else Bundle.load(layout.bundles / model)
    target = recipes_in_force(layout, Recipes.read(recipes or BUILT_IN))[other or recipe]
    explored = explored_places(layout, recipe, target, bundle, bundle.manifest.as_of if bundle else None)
    found = hindsight(layout, explored, goal)
    for warning in found.warnings:
        console.print(f"[yellow]![/] {warning}")
    console.print(report.terminal(found.analysis))
    if found.difference is not None:
        low, high = found.difference.low, found.difference.high
        console.print(
            f"Against the own items of {recipe} there: {found.difference.mean:+.5g} ({low:+.5g} to {high:+.5g}, 95 %)."
        )
    if json_out is not None:
        write(json_out, report.as_json(found.analysis))
    if found.refusals:
        raise typer.Exit(1)


def _logged(var: Path) -> Layout:
    layout = Layout(var)
    if not layout.database.is_file():
        raise NotFound(f"There is no log in {var}. Give the service's folder with --var.")
    return layout


if __name__ == "__main__":
    run(app, "serving")
