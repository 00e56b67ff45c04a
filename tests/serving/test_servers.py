"""Servers as a command starts them."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from features.command_line import run
from serving.__main__ import app


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
