"""What is done again and again beside the requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread


@contextmanager
def repeating(work: Callable[[], None], every_s: float, name: str) -> Iterator[None]:
    """Run ``work()`` every ``every_s`` seconds in a thread called ``name`` until the context is left.

    ``work`` must not raise, or it is not run again.
    """
    left = Event()

    def run() -> None:
        while not left.wait(every_s):
            work()

    thread = Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()
