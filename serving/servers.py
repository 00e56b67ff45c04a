"""Servers that a command starts and stays with."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

from features.errors import InvalidInput, Unavailable
from features.layout import Layout

ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""A worker answers one request after another: more threads would only take turns with the other workers."""


def service_command(port: int) -> list[str]:
    """Return the command that serves on ``port``."""
    return [sys.executable, "-m", "serving", "start", "--port", str(port)]


def service_environment(layout: Layout, given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which the service answers from ``layout``; ``given`` holds where it says otherwise."""
    return {"BENTOML_DO_NOT_TRACK": "True", **ONE_THREAD, **given, "ATTUNE_VAR": str(layout.root.resolve())}


def require_free(port: int) -> None:
    """Make sure that a server can listen on ``port`` of this machine.

    Raises:
        InvalidInput: it is no port.
        Unavailable: something listens there already.
    """
    if not 1 <= port <= 65535:
        raise InvalidInput(f"{port} is not a port; ports are 1 to 65535.")
    with socket.socket() as probe:
        # A server that has just stopped leaves connections behind, and they do not hinder the next one.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError as error:
            raise Unavailable(
                f"Port {port} cannot be used: {error.strerror}. Stop what listens there, or choose another port."
            ) from None


def begin_anew(environment: Mapping[str, str]) -> NoReturn:
    """Run the command of this process again in its place, in ``environment``."""
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


@contextmanager
def started(command: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``command``, pass on what asks this process to stop, and stop it at the end of the block."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        server.send_signal(number)

    # Its own group: Ctrl+C in a terminal would otherwise reach it twice, once from here.
    server = subprocess.Popen(command, env=dict(environment), start_new_session=True)
    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield server
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if server.poll() is None:
            server.terminate()
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
