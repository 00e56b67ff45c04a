"""Processes to fit, to ask and to rank in, beside each other."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context


@contextmanager
def processes(number: int) -> Iterator[Executor]:
    """Give ``number`` processes to fit and rank in; for one, a thread of this process.

    They are started afresh: a copy of this process could hang in the locks of libraries that use threads. What they
    have not begun when they are left is not done.
    """
    executor: Executor
    if number == 1:
        executor = ThreadPoolExecutor(1)
    else:
        # Ctrl+C reaches every process of the terminal. It ends these at once: nobody waits for them to get ready.
        ready = (signal.SIGINT, signal.SIG_DFL)
        executor = ProcessPoolExecutor(number, get_context("spawn"), signal.signal, ready)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)
