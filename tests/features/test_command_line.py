from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
import typer

from features.command_line import run, whole_file, write
from features.errors import InvalidInput, NotFound

NO_ROOM = OSError(28, "No space left on device", "/shop/attune.db")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (NotFound("There is no item [7]."), "error: There is no item [7]."),
        (NO_ROOM, "error: /shop/attune.db: No space left on device."),
        (OSError("The disk is gone"), "error: The disk is gone."),
        (RuntimeError("parquet: No space left on device (os error 28)"), "error: parquet: No space left on device"),
        (sqlite3.OperationalError("database or disk is full"), "error: The database cannot be used: database or disk"),
    ],
)
def test_what_a_user_or_the_machine_does_wrong_ends_in_a_message_and_status_2(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr("sys.argv", ["shop"])
    with pytest.raises(SystemExit) as ended:
        run(app, "shop")
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_mistake_of_ours_is_told_with_all_that_helps_to_find_it(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("sys.argv", ["shop"])
    with pytest.raises(RuntimeError, match="a bug"):
        run(app, "shop")


def test_a_file_is_replaced_as_a_whole_or_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write(path, "old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as file:
        file.writelines(str(1 / n) for n in (1, 0))
    assert path.read_text() == "old"
    write(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    write(tmp_path / "file", "")
    for path in (tmp_path / "none" / "report.json", tmp_path / "file" / "report.json", tmp_path, Path("/dev/full")):
        with pytest.raises(InvalidInput, match="cannot be written: "):
            write(path, "report")


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write(path, "report")
    assert os.read(reader, 100) == b"report"
    os.close(reader)
    assert path.is_fifo()
