"""What the README tells to type is understood. What it sends to the service: ``tests/serving/test_lamps.py``."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
from typer.main import get_group

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(
    {
        " ".join(found.partition("  #")[0].split())
        for found in re.findall(
            r"python -m ((?:features|training|evaluation|serving) [^`\n)]+)", README.replace("\\\n", "")
        )
        if "python" not in found  # a line of the picture of the data's way
    }
)


def test_the_readme_shows_commands_of_each_package() -> None:
    assert {command.split()[0] for command in COMMANDS} == {"features", "training", "evaluation", "serving"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_is_one_with_these_options(command: str) -> None:
    package, *words = shlex.split(command)
    group = get_group(import_module(f"{package}.__main__").app)
    with group.make_context(package, words, resilient_parsing=True) as context:
        name, found, rest = group.resolve_command(context, words)
        assert found is not None
        found.make_context(name, rest, parent=context)
