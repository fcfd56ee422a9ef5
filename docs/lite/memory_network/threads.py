"""Threads that take turns, for a Python that has none: Pyodide in a browser.

Each thread runs on a WebAssembly stack of its own and gives way to the others whenever it blocks
(JavaScript Promise Integration). Nothing interrupts a thread that computes. Locks, events, queues
and executors of the standard library work on top of it unchanged.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from js import clearTimeout, setTimeout
from pyodide.code import run_js
from pyodide.ffi import can_run_sync, create_proxy, run_sync

__all__ = ["Lock", "ThreadHandle", "Waker", "current_ident", "give_way", "run_in", "sleep", "start_thread"]

MAIN = threading.get_ident()  # the number of the thread that runs the cells
TURN = 0.01  # seconds that a thread keeps the processor before others get a turn

_idents = itertools.count(MAIN + 1)
_outside = asyncio._get_running_loop()  # Pyodide's own event loop, in which JavaScript calls Python
_running = SimpleNamespace(ident=MAIN, since=0.0)

_start = run_js(
    """(run) => setTimeout(() => {
      run.callPromising().catch((error) => console.error(String(error))).finally(() => run.destroy());
    }, 0)"""
)
_new_promise = run_js(
    "() => { const { promise, resolve } = Promise.withResolvers(); return [promise, () => resolve()]; }"
)
_next_turn = run_js(
    """(() => {
      const { port1, port2 } = new MessageChannel();
      const waiting = [];
      port1.onmessage = () => waiting.shift()();
      return () => new Promise((resolve) => { waiting.push(resolve); port2.postMessage(0); });
    })()"""
)


def current_ident() -> int:
    """Return the number of the running thread."""
    return int(_running.ident)


@contextmanager
def _suspended() -> Iterator[None]:
    """Let go of what belongs to the running thread: its number, its event loop and the loop's task."""
    ident = _running.ident
    loop = asyncio._get_running_loop()
    task = asyncio.current_task(loop) if loop is not None else None
    if loop is not None and task is not None:
        asyncio.tasks._leave_task(loop, task)
    asyncio._set_running_loop(_outside)
    _running.ident = MAIN
    try:
        yield
    finally:
        _running.ident = ident
        _running.since = time.monotonic()
        asyncio._set_running_loop(loop)
        if loop is not None and task is not None:
            asyncio.tasks._enter_task(loop, task)


class Waker:
    """What one thread waits for, once, and another thread or a JavaScript callback wakes."""

    def __init__(self) -> None:
        self.promise, self._resolve = _new_promise()
        self.woken = False

    def wake(self) -> None:
        """End the wait, or the next one."""
        if not self.woken:
            self.woken = True
            self._resolve()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until `wake`, at most `timeout` seconds; return whether it came.

        Raises:
            RuntimeError: the browser has no stack switching here, so Python can't wait.
        """
        if self.woken:
            return True
        if not can_run_sync():
            raise RuntimeError("this code was called by JavaScript and can't block; await it in a cell instead")
        timer = None if timeout is None else setTimeout(self._resolve, max(0.0, timeout) * 1_000)
        with _suspended():
            run_sync(self.promise)
        if timer is not None:
            clearTimeout(timer)
        return self.woken


def give_way() -> None:
    """Let the other threads run if this one has had its turn."""
    if time.monotonic() - _running.since > TURN and can_run_sync():
        with _suspended():
            run_sync(_next_turn())


def sleep(seconds: float) -> None:
    """Do what `time.sleep` does."""
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    Waker().wait(seconds)


class Lock:
    """Do what `threading.Lock` does."""

    def __init__(self) -> None:
        self._locked = False
        self._waiting: deque[Waker] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; wait for it at most `timeout` seconds if that isn't negative."""
        deadline = None if timeout < 0 else time.monotonic() + timeout
        while self._locked:
            if not blocking:
                return False
            waker = Waker()
            self._waiting.append(waker)
            if not waker.wait(None if deadline is None else deadline - time.monotonic()):
                self._waiting.remove(waker)
                return False
        self._locked = True
        return True

    def release(self) -> None:
        """Free the lock, and wake the thread that has waited longest."""
        if not self._locked:
            raise RuntimeError("release unlocked lock")
        self._locked = False
        if self._waiting:
            self._waiting.popleft().wake()

    def locked(self) -> bool:
        """Return whether a thread has it."""
        return self._locked

    def _at_fork_reinit(self) -> None:
        self.__init__()  # type: ignore[misc]  # as the standard library's locks do

    __enter__ = acquire

    def __exit__(self, *exc_info: object) -> None:
        self.release()


class ThreadHandle:
    """What `threading.Thread` knows of a thread: its number, and whether it has ended."""

    def __init__(self) -> None:
        self.ident = 0
        self._done = False
        self._waiting: list[Waker] = []

    def is_done(self) -> bool:
        """Return whether the thread has ended."""
        return self._done

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended, at most `timeout` seconds."""
        if not self._done:
            waker = Waker()
            self._waiting.append(waker)
            waker.wait(None if timeout is None or timeout < 0 else timeout)

    def _set_done(self) -> None:
        self._done = True
        for waker in self._waiting:
            waker.wake()


def start_thread(
    function: Callable[[], object], handle: ThreadHandle | None = None, daemon: bool = True
) -> ThreadHandle:
    """Do what `_thread.start_joinable_thread` does; a page that is closed ends every thread."""
    handle = handle or ThreadHandle()
    handle.ident = next(_idents)
    run_in(handle.ident, function, handle._set_done)
    return handle


def run_in(ident: int, function: Callable[[], object], finished: Callable[[], object]) -> None:
    """Run a function on a stack of its own, as the thread with this number."""

    def run() -> None:
        _running.ident = ident
        asyncio._set_running_loop(None)
        try:
            function()
        except SystemExit:
            pass
        finally:
            finished()
            _running.ident = MAIN
            asyncio._set_running_loop(_outside)

    _start(create_proxy(run))
