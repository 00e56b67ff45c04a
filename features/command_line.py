"""How a command ends: its result, or a message and an exit status."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from features.errors import AttuneError, InvalidInput

Var = Annotated[Path, typer.Option("--var", envvar="ATTUNE_VAR", help="Folder of run-time data.")]

console = Console(stderr=True, highlight=False)


def run(app: typer.Typer, name: str) -> None:
    """Run ``app`` as ``python -m name``: a user's mistake ends in a message and status 2, never in a traceback."""
    try:
        app(prog_name=f"python -m {name}")
    except AttuneError as error:
        console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        console.print("stopped")
        sys.exit(130)


def write(path: Path, text: str) -> None:
    """Write all of ``text`` to ``path``, or nothing.

    Raises:
        InvalidInput: the file cannot be written.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be written: {error.strerror}. Give a file in a folder that exists."
        ) from None
