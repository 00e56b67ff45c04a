"""The house: which package may import which, and what may stand where."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ARROW = {
    "features": set(),
    "models": {"features"},
    "evaluation": {"features"},
    "serving": {"features", "models", "evaluation"},
    "training": {"features", "models", "evaluation", "serving"},
}
FENCES = {
    "bentoml": "serving/service.py",
    "mlflow": "training/tracking.py",
    "implicit": "models/",
    "lightgbm": "models/",
    "fastapi": "serving/",
}
CLOCKS = {"now", "utcnow", "today", "time"}
EDGES = (
    "__main__.py",
    "serving/application.py",
    "serving/assembly.py",
    "serving/service.py",
    "training/demo.py",
    "training/tracking.py",
)
"""Where a clock may be read and the environment asked: the commands, the service and its assembly, and the tracking of
runs."""

SOURCES = sorted(path for package in ARROW for path in (ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_package_imports_only_from_those_to_its_left(path: Path) -> None:
    package = named(path).split("/")[0]
    ours = {name.split(".")[0] for name in imports(path)} & ARROW.keys()
    assert ours - {package} <= ARROW[package]


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_fenced_library_is_imported_only_behind_its_fence(path: Path) -> None:
    for name in imports(path):
        fence = FENCES.get(name.split(".")[0])
        assert fence is None or named(path).startswith(fence), f"{name} belongs in {fence}"


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_no_file_unpickles_what_others_may_supply(path: Path) -> None:
    assert {"pickle", "cloudpickle", "joblib", "dill", "shelve"}.isdisjoint(imports(path))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "np.load":
            allowed = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert allowed.get("allow_pickle") == "False", f"line {node.lineno}: np.load without allow_pickle=False"


@pytest.mark.parametrize("path", [p for p in SOURCES if not named(p).endswith(EDGES)], ids=named)
def test_below_the_edges_nobody_reads_the_clock_the_environment_or_a_global_seed(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Attribute):
            continue
        owner, where = ast.unparse(node.value), f"line {node.lineno}: {ast.unparse(node)}"
        assert not (owner in {"datetime", "datetime.datetime", "time"} and node.attr in CLOCKS), where
        assert not (owner == "os" and node.attr in {"environ", "getenv"}), where
        assert not (owner == "np.random" and node.attr not in {"Generator", "default_rng", "SeedSequence"}), where


def test_every_package_is_listed_in_pyproject_and_nothing_else_is() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {named(path.parent).replace("/", ".") for path in SOURCES}
    assert set(listed) == folders


def test_no_file_is_a_drawer_for_leftovers() -> None:
    assert {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}.isdisjoint(path.name for path in SOURCES)


def test_every_dependency_is_pinned_without_an_address() -> None:
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(line.count("==") == 1 and "/" not in line and "@" not in line for line in pins)
    pinned = {line.split("==")[0].lower() for line in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *(name for names in extras.values() for name in names)]:
        name = requirement.split("[")[0].split("<")[0].split(">")[0].split("=")[0].strip().lower()
        assert name in pinned, f"{name} is not in constraints.txt"
