"""The real service in processes of its own, and a client light enough to load it from the same machine."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

START_WITHIN_S: Final = 180
START: Final = ("serving", "start")
"""The module that serves, and its arguments; ``--port`` comes after them."""


@dataclass(frozen=True)
class LiveService:
    """A service that was started.

    Attributes:
        port: Where it listens.
        process: The supervisor, of which the workers are copies; it answers itself where it has none.
    """

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def cpu_s(self) -> float:
        """Return the processor seconds that those who answer have used so far."""
        ticks = 0
        for pid in self.workers() or [self.process.pid]:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def is_ready(self, path: str = "/readyz") -> bool:
        """Return whether it answers ``path`` with 200."""
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
                connection.request("GET", path)
                return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def wait_until_ready(self, path: str = "/readyz") -> float:
        """Return after how many seconds it answers ``path``."""
        begun = time.monotonic()
        while not self.is_ready(path):
            if self.process.poll() is not None or time.monotonic() - begun > START_WITHIN_S:
                raise SystemExit("The service did not start; it says why above.")
            time.sleep(0.01)
        return time.monotonic() - begun

    def kill(self) -> None:
        """End everything at once, as a power cut does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def started(
    var: Path, workers: int, port: int, environment: Mapping[str, str] | None = None, command: Sequence[str] = START
) -> LiveService:
    """Start the service on the run-time folder ``var``; it is not ready yet."""
    line = [sys.executable, "-m", *command, "--port", str(port)]
    surroundings = os.environ | {"ATTUNE_VAR": str(var.resolve()), "ATTUNE_WORKERS": str(workers)}
    return LiveService(port, subprocess.Popen(line, env=surroundings | dict(environment or {}), start_new_session=True))


@contextmanager
def running(
    var: Path,
    workers: int = 1,
    ready: str = "/readyz",
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = START,
) -> Iterator[LiveService]:
    """Give the service on the run-time folder ``var``, ready, and stop it at the end."""
    service = started(var, workers, free_port(), environment, command)
    try:
        service.wait_until_ready(ready)
        yield service
    finally:
        if service.process.poll() is None:
            service.process.terminate()
            try:
                service.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                service.kill()


class Connection:
    """A connection that stays open: one request at a time, with next to no work per request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> Self:
        """Return a connection to the service on ``port``; raises OSError."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Return status and body of the answer; raises OSError or EOFError where the connection breaks."""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        header = await self._reader.readuntil(b"\r\n\r\n")
        length = int(header.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        return int(header[9:12]), await self._reader.readexactly(length)

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer to ``body`` as JSON, which must be a success."""
        status, answer = await self.send(method, path, b"" if body is None else json.dumps(body).encode())
        if status != 200:
            raise SystemExit(f"{method} {path} was answered with {status}: {answer.decode()[:500]}")
        return json.loads(answer)

    def close(self) -> None:
        """Close it."""
        self._writer.close()
