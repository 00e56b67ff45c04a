"""Which code it was."""

from __future__ import annotations

import hashlib
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

HOUSE: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("features", "models", "evaluation", "serving", "training")


def code_version() -> str:
    """Return what ``git describe`` says of the checkout, or the version of the package where there is none."""
    if (HOUSE / ".git").exists():
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--tags"], cwd=HOUSE, capture_output=True, text=True, check=False
        )
        if described.returncode == 0:
            return described.stdout.strip()
    return version("attune")


def code_hash() -> str:
    """Return 16 hexadecimal digits that change with any line of the code, committed or not."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((HOUSE / package).rglob("*")):
            if path.suffix in {".py", ".toml"}:
                digest.update(f"{path.relative_to(HOUSE)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
