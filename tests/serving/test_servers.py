"""Servers as a command starts them."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.live_service import free_port
from features.command_line import run
from serving.__main__ import app

COMPILING = """
import sys
from numba.core.event import trigger_event
import serving.__main__
import serving.champion

def compiling(layout):
    with trigger_event("numba:compile"):
        print("compiles", flush=True)

def supervise(workers, work):
    print("serves", flush=True)
    return 0

if "COMPILES" in sys.argv:
    serving.champion.import_scorers = compiling
serving.__main__.supervise = supervise
serving.__main__.app(["start", "--port", sys.argv[1], "--var", sys.argv[2]])
"""


def test_a_taken_port_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(sys, "argv", ["serving", "start", "--port", str(port), "--var", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            run(app, "serving")
    assert ended.value.code == 2
    assert f"Port {port} cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize(("compiles", "done"), [([], ["serves"]), (["COMPILES"], ["compiles", "compiles", "serves"])])
def test_a_process_that_had_to_compile_makes_place_once_for_one_that_has_not(
    tmp_path: Path, compiles: list[str], done: list[str]
) -> None:
    command = [sys.executable, "-c", COMPILING, str(free_port()), str(tmp_path), *compiles]
    said = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True).stdout
    assert [line for line in said.splitlines() if line in ("compiles", "serves")] == done
