"""A store in a file, used by a thread of its own, so that the loop never waits for the disk.

Whatever was asked for while the disk was busy is run in one transaction (group commit): a hundred publishers
share one write instead of queueing for a hundred.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from .database import failure, open_file
from .protocol import BrokerError, Limits, UnavailableError
from .store import Store

__all__ = ["Writer"]

T = TypeVar("T")

WAITING = 10_000  # calls that wait for the disk before further ones are refused
TOGETHER = 1_000  # calls that share a transaction at most
OPEN_DEADLINE = 60.0  # seconds to check a file; a second is enough for a gigabyte on a quick disk
CLOSE_DEADLINE = 5.0  # seconds for the last transaction and SQLite's own clean-up

_log = logging.getLogger(__name__)


class _Job:
    """One call on its way to the thread and back."""

    __slots__ = ("call", "error", "future", "result", "then")

    def __init__(self, call: Callable[[Store], Any], then: Callable[[Any], None], future: asyncio.Future[Any]) -> None:
        self.call = call
        self.then = then
        self.future = future
        self.result: Any = None
        self.error: Exception | None = None

    def finish(self) -> None:
        """Hand the result on; on the loop's thread."""
        try:
            if self.error is None:
                self.then(self.result)
        finally:
            self._answer()

    def _answer(self) -> None:
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class Writer:
    """Runs calls on a store in a file, in the order of their coming, each on the disk before it is answered."""

    def __init__(self, path: Path, limits: Limits, clock: Callable[[], float], *, deadline: float) -> None:
        self._path = path
        self._limits = limits
        self._clock = clock
        self._deadline = deadline
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()

    async def open(self) -> None:
        """Start the thread and wait until it has opened the file.

        Raises:
            BrokerError: as `open_file`; or it took longer than a minute.
        """
        self._loop = asyncio.get_running_loop()
        opened = self._loop.create_future()
        self._closed = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._serve, args=(opened,), name=f"broker-{self._path.name}", daemon=True
        )
        self._thread.start()
        try:
            await self._in_time(opened, OPEN_DEADLINE)
        except BaseException:
            await self.close()
            raise

    async def run(self, call: Callable[[Store], T], then: Callable[[T], None]) -> T:
        """Run `call` in a transaction, and `then` with its result on the loop's thread, in the order of the calls.

        `then` is also run when the caller has been cancelled after the transaction began, and before it: a call
        that nobody waits for any more when its turn comes is left out.

        Raises:
            UnavailableError: the disk refused, did not answer in time, or too many calls wait for it.
        """
        if self._jobs.qsize() >= WAITING:
            raise UnavailableError(f"{WAITING} calls wait for the disk of {str(self._path)!r}; publish less, or later")
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(call, then, future))
        return await self._in_time(future, self._deadline)

    async def close(self) -> None:
        """Finish what was asked for, close the file and end the thread; at most 5 s."""
        self._jobs.put(None)
        await asyncio.wait([self._closed], timeout=CLOSE_DEADLINE)
        self._thread.join(0.1)
        if self._thread.is_alive():
            _log.error("the disk of %r does not answer; its thread is left behind", str(self._path))

    async def _in_time(self, future: asyncio.Future[T], deadline: float) -> T:
        try:
            async with asyncio.timeout(deadline):
                return await future
        except TimeoutError:
            raise UnavailableError(
                f"the disk of {str(self._path)!r} did not answer within {deadline:g} s; publish again with the same key"
            ) from None

    # in the thread

    def _serve(self, opened: asyncio.Future[None]) -> None:
        job = _Job(lambda _: None, lambda _: None, opened)
        try:
            store = Store(open_file(self._path), self._limits, self._clock)
            self._identity = os.stat(self._path)
        except Exception as error:
            job.error = error
            self._hand_back([job])
        else:
            self._hand_back([job])
            while self._serve_group(store):
                pass
            with suppress(sqlite3.Error):
                store.close()
        self._hand_back([_Job(lambda _: None, lambda _: None, self._closed)])

    def _serve_group(self, store: Store) -> bool:
        """Run everything that waits; whether to go on."""
        group: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            if not job.future.cancelled():
                group.append(job)
            if len(group) == TOGETHER or self._jobs.empty():
                break
            job = self._jobs.get_nowait()
        if (missing := self._missing()) is not None:
            for one in group:
                one.error = missing
        else:
            self._run_together(group, store)
        self._hand_back(group)
        return job is not None

    def _missing(self) -> BrokerError | None:
        """What is wrong where the file is gone: SQLite would go on writing to one that nobody finds again."""
        with suppress(OSError):
            if os.path.samestat(os.stat(self._path), self._identity):
                return None
        return UnavailableError(f"{str(self._path)!r} was moved or deleted; put it back, or start again")

    def _run_together(self, group: list[_Job], store: Store) -> None:
        try:
            store.transact(lambda store: _run_all(group, store))
        except Exception:
            # one of them failed, and the others must not fail with it
            for job in group:
                self._run_alone(job, store)

    def _run_alone(self, job: _Job, store: Store) -> None:
        try:
            job.result = store.transact(job.call)
        except sqlite3.Error as error:
            job.error = failure(error, self._path)
            job.error.__cause__ = error
        except Exception as error:
            job.error = error

    def _hand_back(self, group: list[_Job]) -> None:
        with suppress(RuntimeError):  # the loop has closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._finish, group)

    def _finish(self, group: list[_Job]) -> None:
        for job in group:
            self._loop.call_soon(job.finish)  # whatever one of them raises, the others are finished


def _run_all(group: list[_Job], store: Store) -> None:
    for job in group:
        job.result = job.call(store)
