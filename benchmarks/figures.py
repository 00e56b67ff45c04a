"""The figures of a benchmark, as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from features.command_line import in_a_folder, write

Json = Annotated[Path | None, typer.Option("--json", callback=in_a_folder, help="File for the figures.")]


def save(figures: Mapping[str, Any], path: Path | None) -> None:
    """Write ``figures`` to ``path`` as JSON, if one was given."""
    if path is not None:
        write(path, json.dumps(figures, indent=2) + "\n")
