"""How a command ends: its result, or a message and an exit status."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Final, TextIO

import typer
from rich.console import Console
from rich.markup import escape

from features.errors import AttuneError, InvalidInput

Var = Annotated[Path, typer.Option("--var", envvar="ATTUNE_VAR", help="Folder of run-time data.")]

NO_ROOM: Final = os.strerror(errno.ENOSPC)

console = Console(stderr=True, highlight=False)


def run(app: typer.Typer, name: str) -> None:
    """Run ``app`` as ``python -m name``: what a user or the machine does wrong ends in a message and status 2."""
    try:
        app(prog_name=f"python -m {name}")
        return
    except AttuneError as error:
        said = str(error)
    except sqlite3.Error as error:  # the disk is full, a file is damaged ...
        said = f"The database cannot be used: {error}."
    except OSError as error:
        said = f"{f'{error.filename}: ' if error.filename else ''}{error.strerror or error}."
    except KeyboardInterrupt:
        console.print("stopped")
        sys.exit(130)
    except Exception as error:  # libraries tell of a full disk by errors of their own
        if NO_ROOM not in str(error):
            raise
        said = f"{error}."
    console.print(f"[bold red]error:[/] {escape(said)}", soft_wrap=True)
    sys.exit(2)


def run_alone(main: Callable[..., None], name: str) -> None:
    """Run the one command that ``python -m name`` has; see ``run``."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run(app, name)


def in_a_folder(path: Path | None) -> Path | None:
    """Return ``path``, as an option's value is checked before the work begins whose result goes there.

    Raises:
        InvalidInput: there is no folder that it could lie in.
    """
    if path is not None and not path.absolute().parent.is_dir():
        raise InvalidInput(f"{path} cannot be written: there is no such folder. Give a file in one that exists.")
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """Give a file that becomes ``path`` at the end of the block, whole, or not at all; a device or pipe is written to.

    Raises:
        InvalidInput: the file cannot be written.
    """
    is_file = path.is_file() or not path.exists()
    new = path.with_name(f".{path.name}.new") if is_file else path
    try:
        with new.open("w", encoding="utf-8") as file:
            yield file
        if is_file:
            new.replace(path)
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be written: {error.strerror}. Give a file in a folder that exists, on a disk with room."
        ) from None
    finally:
        if is_file:
            with suppress(OSError):
                new.unlink()


def write(path: Path, text: str) -> None:
    """Write all of ``text`` to ``path``, or nothing; see ``whole_file``."""
    with whole_file(path) as file:
        file.write(text)
