"""What a Bento installs: the libraries that the service's own code leads to, as pinned for everything else."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from models.bundle import SCORERS

ROOT = Path(__file__).parents[2]
HOUSE = ("features", "models", "evaluation", "serving")
UNIMPORTED = {"httptools", "uvloop"}
"""Uvicorn takes them where they are installed; no line of ours names them."""


def pins(path: str) -> dict[str, str]:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def imported(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def source_of(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def libraries() -> set[str]:
    """Return the distributions that some module names which the service leads to."""
    open_, seen, found = (
        ["serving.service", "serving.__main__", *(s.split(":")[0] for s in SCORERS.values())],
        set(),
        set(),
    )
    while open_:
        module = open_.pop()
        source = source_of(module)
        if module in seen or source is None:
            continue
        seen.add(module)
        for name in imported(source):
            top = name.split(".")[0]
            if top in HOUSE:
                open_.append(name)
            elif top not in sys.stdlib_module_names:
                found.add(top)
    distributions = packages_distributions()
    return {canonicalize_name(distributions[name][0]) for name in found}


def with_what_they_need(names: set[str]) -> set[str]:
    """Return ``names`` and, of the machine that runs this, all that they require."""
    open_ = [Requirement(name) for name in names]
    asked: set[tuple[str, str]] = set()
    while open_:
        one = open_.pop()
        for extra in ("", *one.extras):
            if (canonicalize_name(one.name), extra) in asked:
                continue
            asked.add((canonicalize_name(one.name), extra))
            needed = [Requirement(line) for line in requires(one.name) or []]
            open_ += [other for other in needed if other.marker is None or other.marker.evaluate({"extra": extra})]
    return {name for name, _ in asked}


def test_a_bento_installs_all_that_the_service_imports_as_pinned() -> None:
    installed, constraints = pins("serving/requirements.txt"), pins("constraints.txt")
    assert with_what_they_need(libraries() | UNIMPORTED) - installed.keys() == set()
    assert installed == {name: constraints[name] for name in installed}


def test_a_bento_installs_nothing_beyond_what_a_library_of_attune_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    libraries_of_ours = {Requirement(line).name for line in project["dependencies"]}
    assert pins("serving/requirements.txt").keys() <= with_what_they_need(libraries_of_ours - {"mlflow"})
