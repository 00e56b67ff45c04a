"""Processes to fit, to ask and to rank in, beside each other."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Thread


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
