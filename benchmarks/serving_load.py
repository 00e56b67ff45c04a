"""A client of few instructions: connections that stay open, requests made beforehand, one process of its own.

``python -m benchmarks.serving_load PORT PATH USERS SECONDS [--rate R]`` prints JSON: answers, rps, p50_ms, p99_ms,
failed, and client_us, the microseconds of processor that an answer cost the client.
"""

from __future__ import annotations

import asyncio
import json
from time import perf_counter, process_time
from typing import Annotated

import numpy as np
import typer
import uvloop

CONNECTIONS = 8
LENGTH = b"\r\ncontent-length: "
"""As uvicorn writes it, which all that is measured answers through."""


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered, or when its next moment has come."""

    def __init__(self, requests: list[bytes], moments: list[float] | None, until: float) -> None:
        self.requests, self.moments, self.until = requests, moments, until
        self.took: list[float] = []
        self.failed = self.at = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        now = perf_counter()
        if now >= self.until or (self.moments is not None and self.at >= len(self.moments)):
            if not self.done.done():
                self.done.set_result(None)
            return
        if self.moments is None:
            self.begun = now
        elif self.moments[self.at] > now:
            asyncio.get_running_loop().call_later(self.moments[self.at] - now, self.ask)
            return
        else:
            self.begun = self.moments[self.at]  # from when it was due: who waits for a slow answer waits too
        self.transport.write(self.requests[self.at % len(self.requests)])  # type: ignore[attr-defined]
        self.at += 1

    def data_received(self, data: bytes) -> None:
        answer = self.buffer = self.buffer + data if self.buffer else data
        head = answer.find(b"\r\n\r\n")
        if head < 0:
            return
        told = answer.index(LENGTH, 0, head) + len(LENGTH)
        length = int(answer[told : answer.index(b"\r\n", told)])
        if len(answer) < head + 4 + length:
            return
        self.failed += answer[9:12] != b"200"
        self.took.append(perf_counter() - self.begun)
        self.buffer = b""
        self.ask()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError("The service closed the connection."))


def requests(path: str, users: int, n: int, seed: int) -> list[bytes]:
    """Return ``n`` requests of random users."""
    made = []
    for user in np.random.default_rng(seed).integers(users, size=n).tolist():
        body = {"user_id": f"user-{user:07}"}
        if path == "/v1/recommend":
            body |= {"n": 20, "recipe": "measured"}
        text = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        made.append(f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text)
    return made


async def load(port: int, path: str, users: int, seconds: float, rate: float | None) -> dict[str, float]:
    """Return what ``CONNECTIONS`` connections see for ``seconds``, at ``rate`` requests/s or as many as they can."""
    loop, clients = asyncio.get_running_loop(), []
    made = [requests(path, users, 5_000, number) for number in range(CONNECTIONS)]
    begun, used = perf_counter(), process_time()
    for number in range(CONNECTIONS):
        moments = None
        if rate is not None:
            gap = CONNECTIONS / rate
            moments = [begun + gap * (number / CONNECTIONS + turn) for turn in range(int(seconds / gap))]
        client = Client(made[number], moments, begun + seconds + (5 if rate else 0))
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    took = np.concatenate([client.took for client in clients])
    p50, p99 = np.percentile(1_000 * took, [50, 99])
    failed = sum(client.failed for client in clients)
    return {
        "answers": len(took),
        "rps": len(took) / (perf_counter() - begun),
        "p50_ms": p50,
        "p99_ms": p99,
        "failed": failed,
        "client_us": 1e6 * (process_time() - used) / len(took),
    }


def main(
    port: int,
    path: str,
    users: int,
    seconds: float,
    rate: Annotated[float | None, typer.Option(help="Requests/s; as many as are answered where not given.")] = None,
) -> None:
    """Ask, and print what was seen."""
    print(json.dumps(uvloop.run(load(port, path, users, seconds, rate))))


if __name__ == "__main__":
    typer.run(main)
