"""``python -m serving``: answer requests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from features.command_line import Var, console, run
from features.errors import Unavailable
from features.layout import Layout
from serving.servers import require_free, service_command, service_environment, started

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _commands() -> None:
    """Answer requests."""


@app.command("start")
def start_command(
    port: Annotated[int, typer.Option(envvar="PORT", help="Where to listen.")] = 3000, var: Var = Path("var")
) -> None:
    """Serve the promoted bundle until stopped, and each one that is promoted after it."""
    layout = Layout(var)
    require_free(port)
    if not layout.champion.is_file():
        console.print(
            f"[yellow]warning:[/] Nothing is promoted in {var} yet, so requests are answered with 503 until "
            "`python -m training promote` has been run."
        )
    with started(service_command(port), service_environment(layout, os.environ)) as server:
        status = server.wait()
    if status > 0:
        raise Unavailable(f"The service ended with status {status}; it says why above.")


if __name__ == "__main__":
    run(app, "serving")
