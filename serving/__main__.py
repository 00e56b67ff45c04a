"""``python -m serving``: answer requests."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from features.command_line import Var, console, run
from features.errors import Unavailable
from features.layout import Layout
from serving.servers import require_free, service_environment
from serving.settings import ServingSettings
from serving.supervisor import listening, supervise

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
    listener = listening(port)
    with TemporaryDirectory() as metrics:
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", metrics)  # where the workers add up their numbers
        from serving.service import server  # only here: it reads the environment, and takes seconds

        answer = server()
        console.print(f"Serving on http://localhost:{port}, {workers or settings.workers} workers. Stop with Ctrl+C.")
        status = supervise(workers or settings.workers, lambda: answer(listener))
    if status:
        raise Unavailable(f"The service ended with status {status}; it says why above.")


if __name__ == "__main__":
    run(app, "serving")
