"""Where the calls on a `Store` run: at once for one in memory, in a thread of its own for one in a file."""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ..interface import BrokerError, Limits, UnavailableError
from .files import OpenFiles, broker_error, open_file, open_memory, worse
from .store import Store

__all__ = ["Executor", "FileExecutor", "MemoryExecutor"]

T = TypeVar("T")

MAX_WAITING = 10_000  # calls that wait for the disk; more are refused
MAX_GROUP = 1_000  # calls that share a transaction
OPEN_DEADLINE = 60.0  # seconds to check a file; a second is enough for a gigabyte on a fast disk
CLOSE_DEADLINE = 5.0  # seconds for the last transaction and SQLite's own clean-up

_log = logging.getLogger(__name__)


class Executor(Protocol):
    """Runs calls on one store, in the order in which they were made."""

    failure: BrokerError | None
    """Why a call could not be run; None while the store works. The owner sets it to None after a probe."""

    async def open(self) -> None:
        """Open the store.

        Raises:
            BrokerError: that isn't possible.
        """

    async def run(self, call: Callable[[Store], T], on_result: Callable[[T], None] | None = None) -> T:
        """Run `call` in a transaction, then `on_result` with its result on the loop's thread; return the result.

        Raises:
            UnavailableError: SQLite refused.
        """

    async def close(self) -> None:
        """Finish what was asked for, and close the store."""


class MemoryExecutor:
    """Runs calls on a store in memory, on the loop's thread: a statement is faster than switching to a thread."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.failure: BrokerError | None = None
        self._store = Store(open_memory(), limits, clock)

    async def open(self) -> None:
        """Do nothing: the store is open."""

    async def run(self, call: Callable[[Store], T], on_result: Callable[[T], None] | None = None) -> T:
        """Run `call` in a transaction, then `on_result` with its result, without yielding to other tasks.

        Raises:
            UnavailableError: SQLite refused, for example because memory is full.
        """
        try:
            result = self._store.transact(call)
        except sqlite3.Error as error:
            failure = broker_error(error, None)
            self.failure = worse(self.failure, failure)
            raise failure from error
        if on_result is not None:
            on_result(result)
        return result

    async def close(self) -> None:
        """Close the store; what it held is gone."""
        self._store.close()


@dataclass(eq=False, slots=True)
class _Job:
    """One call on its way to the thread and back."""

    call: Callable[[Store], Any]
    on_result: Callable[[Any], None] | None
    future: asyncio.Future[Any]
    result: Any = None
    stored: bool = False
    error: Exception | None = None

    def finish(self) -> None:
        """Give the result to whoever waits for it; call this on the loop's thread."""
        try:
            if self.stored and self.on_result is not None:
                self.on_result(self.result)
        finally:
            if not self.future.done():
                if self.error is None:
                    self.future.set_result(self.result)
                else:
                    self.future.set_exception(self.error)


class FileExecutor:
    """Runs calls on a store in a file, in a thread, so that the loop never waits for the disk.

    Each result is on the disk before it is returned. Calls that arrive while the disk is busy share one transaction
    (group commit): a hundred publishers share one write instead of queueing for a hundred.
    """

    def __init__(self, path: Path, limits: Limits, clock: Callable[[], float], *, deadline: float) -> None:
        self.failure: BrokerError | None = None
        self._path = path
        self._limits = limits
        self._clock = clock
        self._deadline = deadline
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()

    async def open(self) -> None:
        """Start the thread and wait until it has opened the file.

        Raises:
            BrokerError: see `open_file`; or opening took longer than a minute.
        """
        self._loop = asyncio.get_running_loop()
        opened = self._loop.create_future()
        self._closed = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._serve, args=(opened,), name=f"broker-{self._path.name}", daemon=True
        )
        self._thread.start()
        try:
            await self._wait(opened, OPEN_DEADLINE)
        except BaseException:
            await self.close()
            raise

    async def run(self, call: Callable[[Store], T], on_result: Callable[[T], None] | None = None) -> T:
        """Run `call` in a transaction, then `on_result` with its result on the loop's thread; return the result.

        If the caller is cancelled before the transaction begins, nothing is run; after that, both are run.

        Raises:
            UnavailableError: the disk refused or didn't answer in time, or too many calls are waiting for it.
        """
        if self._jobs.qsize() >= MAX_WAITING:
            waiting = f"{MAX_WAITING} calls wait for the disk of {str(self._path)!r}; publish less, or later"
            self.failure = worse(self.failure, UnavailableError(waiting))
            raise UnavailableError(waiting)
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(call, on_result, future))
        try:
            return await self._wait(future, self._deadline)
        except UnavailableError as error:
            self.failure = worse(self.failure, error)
            raise

    async def close(self) -> None:
        """Finish what was asked for, close the file and end the thread; at most 5 s."""
        self._jobs.put(None)
        await asyncio.wait([self._closed], timeout=CLOSE_DEADLINE)
        self._thread.join(0.1)
        if self._thread.is_alive():
            _log.error("the disk of %r does not answer; its thread is left running", str(self._path))

    async def _wait(self, future: asyncio.Future[T], deadline: float) -> T:
        try:
            async with asyncio.timeout(deadline):
                return await future
        except TimeoutError:
            raise UnavailableError(
                f"the disk of {str(self._path)!r} did not answer within {deadline:g} s; publish again with the same key"
            ) from None

    # everything below runs in the thread

    def _serve(self, opened: asyncio.Future[None]) -> None:
        job = _Job(lambda _: None, None, opened)
        try:
            self._open()
        except Exception as error:
            job.error = error
            self._return([job])
        else:
            self._return([job])
            while self._serve_group():
                pass
            self._close()
        self._return([_Job(lambda _: None, None, self._closed)])

    def _open(self) -> None:
        self._store: Store | None = Store(open_file(self._path), self._limits, self._clock)
        self._files = OpenFiles(self._path)

    def _close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            with suppress(sqlite3.Error):
                store.close()

    def _serve_group(self) -> bool:
        """Wait for a call and run it with all that wait by then; return False when the thread is to end."""
        group: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            if not job.future.cancelled():
                group.append(job)
            if len(group) == MAX_GROUP or self._jobs.empty():
                break
            job = self._jobs.get_nowait()
        self._run_group(group)
        self._return(group)
        return job is not None

    def _run_group(self, group: list[_Job]) -> None:
        """Run calls; whatever succeeds is in files that can be found again, even if they were just deleted."""
        try:
            store = self._reopened()
        except BrokerError as error:
            for job in group:
                job.error = error
            return
        self._run_together(group, store)
        try:
            self._save_lost_wal()
        except BrokerError as error:
            for job in group:
                job.error = job.error or error

    def _reopened(self) -> Store:
        """Return the store; open it again if its write-ahead log was lost.

        Raises:
            BrokerError: the database is gone, or can't be written or opened.
        """
        if self._files.is_gone(self._path):
            raise UnavailableError(f"{str(self._path)!r} was moved or deleted; put it back, or start again")
        self._save_lost_wal()
        if self._store is None:
            self._open()
        assert self._store is not None
        return self._store

    def _save_lost_wal(self) -> None:
        """If the write-ahead log is gone, write its contents to the database: the file is still open here.

        Raises:
            BrokerError: that isn't possible now; the next call tries again.
        """
        store = self._store
        if store is None or self._files.is_gone(self._path) or not self._files.is_gone(self._files.wal):
            return
        try:
            store.checkpoint()
        except sqlite3.Error as error:
            raise broker_error(error, self._path) from error
        _log.warning("%r was moved or deleted; what it held has been saved", str(self._files.wal))
        self._close()

    def _run_together(self, group: list[_Job], store: Store) -> None:
        try:
            store.transact(lambda store: _run_all(group, store))
        except Exception:
            # one of them failed; the others must not fail with it
            for job in group:
                self._run_alone(job, store)
        else:
            for job in group:
                job.stored = True

    def _run_alone(self, job: _Job, store: Store) -> None:
        try:
            job.result = store.transact(job.call)
            job.stored = True
        except sqlite3.Error as error:
            job.error = broker_error(error, self._path)
            job.error.__cause__ = error
        except Exception as error:
            job.error = error

    def _return(self, group: list[_Job]) -> None:
        with suppress(RuntimeError):  # the loop has closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._finish, group)

    def _finish(self, group: list[_Job]) -> None:
        for job in group:
            self._loop.call_soon(job.finish)  # one that raises doesn't keep the others from finishing


def _run_all(group: list[_Job], store: Store) -> None:
    for job in group:
        job.result = job.call(store)
