"""Workers that share one socket, each replaced at once when it dies."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from threading import Thread
from types import FrameType
from typing import Final

log = logging.getLogger("attune")

BACKLOG: Final = 2048
STOPPED: Final = frozenset({signal.SIGINT, signal.SIGTERM})


def listening(port: int) -> socket.socket:
    """Return a socket that listens on ``port``: who connects while a worker is replaced waits, and is not refused."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", port))
    listener.listen(BACKLOG)
    return listener


def supervise(workers: int, work: Callable[[], None]) -> int:
    """Keep ``workers`` copies of this process running ``work()`` until SIGINT or SIGTERM; return the exit status.

    What this process has imported its copies have too, so one that was killed is replaced within a fraction of a
    second. It must have no threads of Python. A copy that ends by itself with an error ends the others: the next one
    would fare no better.
    """
    alive, ends = os.pipe()
    copies: set[int] = set()
    stopping = False
    status = 0

    def stop(number: int, _: FrameType | None = None) -> None:
        nonlocal stopping
        stopping = True
        for copy in copies:
            os.kill(copy, number)

    before = {number: signal.signal(number, stop) for number in STOPPED}
    try:
        while True:
            while not stopping and len(copies) < workers:
                signal.pthread_sigmask(signal.SIG_BLOCK, STOPPED)  # not between its birth and its entry
                if (copy := os.fork()) == 0:
                    os.close(ends)
                    _run(work, alive)
                copies.add(copy)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPED)
            if not copies:
                return status
            copy, ended = os.wait()
            copies.discard(copy)
            if stopping:
                continue
            if (code := os.waitstatus_to_exitcode(ended)) > 0:
                status = code
                stop(signal.SIGTERM)
            else:
                log.warning("The worker %d has ended (%d); another takes its place.", copy, code)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(alive)
        os.close(ends)


def _run(work: Callable[[], None], alive: int) -> None:
    """Run ``work()`` and end the process, at the latest when the one that watches over it has ended."""
    status = 1
    try:
        for number in STOPPED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPED)
        Thread(target=_end_with, args=(alive,), daemon=True).start()
        work()
        status = 0
    except SystemExit as exit:
        status = exit.code if isinstance(exit.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _end_with(alive: int) -> None:
    os.read(alive, 1)  # nobody writes: it returns when the other end is closed
    os.kill(os.getpid(), signal.SIGTERM)
