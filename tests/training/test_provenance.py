"""Which code made a bundle."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from training import provenance


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for package in provenance.PACKAGES:
        (tmp_path / package).mkdir()
    (tmp_path / "models" / "als.py").write_text("FACTORS = 8\n")
    monkeypatch.setattr(provenance, "HOUSE", tmp_path)
    return tmp_path


def test_any_changed_line_changes_the_hash(house: Path) -> None:
    before = provenance.code_hash()
    assert provenance.code_hash() == before
    (house / "models" / "als.py").write_text("FACTORS = 9\n")
    assert provenance.code_hash() != before


def test_without_a_repository_the_version_is_that_of_the_package(house: Path) -> None:
    assert provenance.code_version() == version("attune")


def test_in_a_repository_git_describes_the_version(house: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=house, check=True, capture_output=True)

    git("init")
    git("add", ".")
    git("commit", "-m", "One")
    git("tag", "v1")
    assert provenance.code_version() == "v1"
    (house / "models" / "als.py").write_text("FACTORS = 9\n")
    assert provenance.code_version() == "v1-dirty"
