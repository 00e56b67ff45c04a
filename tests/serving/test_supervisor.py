"""Workers that share a socket: killed, replaced, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

ANSWERING = """
import os
from serving.supervisor import listening, supervise

listener = listening(0)
print(listener.getsockname()[1], flush=True)

def work():
    while True:
        connection, _ = listener.accept()
        connection.sendall(str(os.getpid()).encode())
        connection.close()

raise SystemExit(supervise(2, work))
"""


@contextmanager
def program(script: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def worker(port: int) -> int:
    """Return which worker answers; one that is being killed may take a connection with it, but refuses none."""
    while True:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            if answer := connection.recv(100):
                return int(answer)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def answering() -> Iterator[tuple[subprocess.Popen[str], int]]:
    with program(ANSWERING) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())


def test_a_worker_that_is_killed_is_replaced_and_no_connection_is_refused(
    answering: tuple[subprocess.Popen[str], int],
) -> None:
    process, port = answering
    killed = set()
    for _ in range(5):
        pid = worker(port)
        assert pid not in killed | {process.pid}
        os.kill(pid, signal.SIGKILL)
        killed.add(pid)
    assert worker(port) not in killed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_reaches_the_workers(answering: tuple[subprocess.Popen[str], int], number: signal.Signals) -> None:
    process, port = answering
    pid = worker(port)
    process.send_signal(number)
    assert process.wait(timeout=20) == 0
    assert not is_running(pid)


def test_workers_end_with_what_watches_over_them(answering: tuple[subprocess.Popen[str], int]) -> None:
    process, port = answering
    worker(port)
    process.kill()
    process.wait()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for _ in range(200):
            try:
                probe.bind(("0.0.0.0", port))
                break
            except OSError:
                subprocess.run(["sleep", "0.05"], check=True)
        else:
            pytest.fail("A worker still listens.")


def test_a_worker_that_fails_by_itself_ends_the_service_with_its_status() -> None:
    script = "from serving.supervisor import supervise; raise SystemExit(supervise(2, lambda: exit(3)))"
    with program(script) as process:
        assert process.wait(timeout=20) == 3
