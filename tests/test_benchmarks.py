"""What the README says of every benchmark."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.figures import save
from benchmarks.table import HERE
from features.command_line import in_a_folder
from features.errors import InvalidInput

PARTS = {"serving_load", "serving_rivals", "table"}
"""What others start, and what shows their figures."""
BENCHMARKS = sorted(
    path.stem for path in HERE.glob("*.py") if "__main__" in path.read_text(encoding="utf-8") and path.stem not in PARTS
)


def test_there_are_benchmarks() -> None:
    assert len(BENCHMARKS) > 10


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_has_a_short_form_and_writes_its_figures(name: str) -> None:
    source = (HERE / f"{name}.py").read_text(encoding="utf-8")
    (main,) = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    assert {"quick", "out"} <= {argument.arg for argument in main.args.args}


def test_figures_are_refused_before_the_work_where_they_could_not_be_written(tmp_path: Path) -> None:
    save({"answers": 3}, in_a_folder(tmp_path / "figures.json"))
    assert (tmp_path / "figures.json").read_text(encoding="utf-8") == '{\n  "answers": 3\n}\n'
    with pytest.raises(InvalidInput, match="there is no such folder"):
        in_a_folder(tmp_path / "none" / "figures.json")
