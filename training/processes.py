"""Processes to fit, to ask and to rank in, beside each other, and the memory that they take together."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from threading import Event, Thread

import psutil


@dataclass(slots=True)
class Memory:
    """The memory of this process and of all it started.

    Attributes:
        peak_mb: The most that they held at once so far, in MiB; what several of them share counts once.
    """

    peak_mb: float = 0.0


@contextmanager
def processes(number: int) -> Iterator[Executor]:
    """Give ``number`` processes to fit and rank in; for one, a thread of this process.

    They are started afresh: a copy of this process could hang in the locks of libraries that use threads. What they
    have not begun when they are left is not done.
    """
    executor = ThreadPoolExecutor(1) if number == 1 else ProcessPoolExecutor(number, get_context("spawn"), _get_ready)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def watched_memory(every_s: float = 1.0) -> Iterator[Memory]:
    """Give the memory of this process and of all it starts, looked at every ``every_s`` seconds, and at the end."""
    memory, over = Memory(), Event()

    def watch() -> None:
        last = False
        while not last:
            last = over.wait(every_s)
            memory.peak_mb = max(memory.peak_mb, _resident_mb())

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield memory
    finally:
        over.set()
        watcher.join()


def _resident_mb() -> float:
    this, total = psutil.Process(), 0
    for one in (this, *this.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            held = one.memory_full_info()
            # Only Linux divides what is shared among those who share it; elsewhere it is left out.
            total += getattr(held, "pss", held.uss)
    return total / 2**20


def _get_ready() -> None:
    # Ctrl+C reaches every process of the terminal. It ends these at once, so that nobody waits for what they do.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process as soon as the one that started it has: if that was killed, nobody else ends this one."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
