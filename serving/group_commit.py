"""One writer for each process, which makes whatever waits at the same time durable in one transaction."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, TypeVar

from features.database import transaction
from features.errors import Busy, Unavailable

log = logging.getLogger("attune")

T = TypeVar("T")

MAX_WAITING: Final = 10_000
"""How much may wait, by weight: a second or two of work."""
MAX_GROUP: Final = 2_000
"""How much becomes one transaction, by weight; the first of a group waits until the last is done."""


@dataclass(slots=True)
class _Waiting:
    work: Callable[[], Any]
    weight: int
    future: asyncio.Future[Any] | None
    result: Any = None
    error: BaseException | None = None


class GroupCommit:
    """Runs work on a database in a thread of its own, many pieces in one durable transaction.

    Reaching the disk takes as long for one event as for hundreds, so what waits meanwhile goes together. A piece of
    work that fails is undone alone. Use it from event loops, inside of ``running()``.
    """

    def __init__(self, database: sqlite3.Connection, lock: Path) -> None:
        """Write to ``database``, a connection that nobody else uses, taking turns with other processes at ``lock``."""
        self._database = database
        self._lock = lock
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._weight = 0
        self._weighing = Lock()

    async def committed(self, work: Callable[[], T], weight: int = 1) -> T:
        """Return what ``work()`` returns, once what it wrote is durable; ``weight`` tells how much that is.

        ``work`` runs in the writer's thread, inside of a transaction.

        Raises:
            Busy: too much waits already; ``work`` will not run.
            Unavailable: the database cannot be written to; nothing was.
        """
        if self._weight and self._weight + weight > MAX_WAITING:
            raise Busy(
                f"{self._weight:,} changes wait to be written, and {MAX_WAITING:,} may. Nothing of this request was"
                " taken: send it again after the time in Retry-After."
            )
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(_Waiting(work, weight, future))
        return await future

    def soon(self, work: Callable[[], Any], weight: int = 1) -> bool:
        """Run ``work()`` with the next transaction, without telling how it went; return whether there was room."""
        if self._weight + weight > MAX_WAITING:
            return False
        self._put(_Waiting(work, weight, None))
        return True

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write until the context is left; what waits then is still written."""
        thread = Thread(target=self._write, name="writer", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._queue.put(None)
            thread.join()

    def _write(self) -> None:
        with self._lock.open("w") as lock:
            ended = False
            while not ended and (first := self._queue.get()) is not None:
                group, weight = [first], first.weight
                try:
                    while weight < MAX_GROUP:
                        waiting = self._queue.get_nowait()
                        if waiting is None:
                            ended = True
                            break
                        group.append(waiting)
                        weight += waiting.weight
                except Empty:
                    pass
                # SQLite's own waiting is a sleep that grows; a process that waits here goes on at once.
                fcntl.flock(lock, fcntl.LOCK_EX)
                try:
                    self._commit(group)
                finally:
                    fcntl.flock(lock, fcntl.LOCK_UN)
                self._put_down(weight)
                for loop in {waiting.future.get_loop() for waiting in group if waiting.future is not None}:
                    with suppress(RuntimeError):  # who asked has gone away with their event loop
                        loop.call_soon_threadsafe(_tell, group, loop)

    def _commit(self, group: list[_Waiting]) -> None:
        try:
            with transaction(self._database):
                for waiting in group:
                    try:
                        with transaction(self._database):
                            waiting.result = waiting.work()
                    except Exception as error:  # whatever goes wrong with one piece, the others must not suffer
                        waiting.error = error
                        if waiting.future is None:
                            log.exception("Something that nobody waits for could not be written.")
        except sqlite3.Error as error:
            log.exception("Nothing could be written to the database.")
            refused = Unavailable(f"The database cannot be written to: {error}. Nothing was taken; try again later.")
            for waiting in group:
                waiting.error = waiting.error or refused

    def _put(self, waiting: _Waiting) -> None:
        with self._weighing:
            self._weight += waiting.weight
        self._queue.put(waiting)

    def _put_down(self, weight: int) -> None:
        with self._weighing:
            self._weight -= weight


def _tell(group: list[_Waiting], loop: asyncio.AbstractEventLoop) -> None:
    for waiting in group:
        future = waiting.future
        if future is None or future.get_loop() is not loop or future.done():  # done: who asked has gone away
            continue
        if waiting.error is not None:
            future.set_exception(waiting.error)
        else:
            future.set_result(waiting.result)
