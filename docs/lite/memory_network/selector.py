"""Waiting for several sockets at once, and the event loop that does."""

from __future__ import annotations

import asyncio
import select
import selectors
import time
from typing import Any

from .sockets import open_sockets
from .threads import Waker, give_way

__all__ = ["MemoryLoop", "MemorySelector", "Poll"]


class MemorySelector(selectors._BaseSelectorImpl):
    """A selector over sockets in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._waker: Waker | None = None
        self._interrupted = False

    def wake(self) -> None:
        """End a wait with nothing, because the loop has something to do."""
        self._interrupted = True
        if self._waker is not None:
            self._waker.wake()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; wait for it at most `timeout` seconds."""
        give_way()
        self._interrupted = False
        deadline = None if timeout is None else time.monotonic() + timeout
        while not (ready := self._ready()) and not self._interrupted:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            self._wait(left)
        return ready

    def _wait(self, timeout: float | None) -> None:
        self._waker = waker = Waker()
        watched = [open_sockets[key.fd] for key in self.get_map().values() if key.fd in open_sockets]
        for one in watched:
            one.watchers.add(waker)
        try:
            waker.wait(timeout)
        finally:
            self._waker = None
            for one in watched:
                one.watchers.discard(waker)

    def _ready(self) -> list[tuple[selectors.SelectorKey, int]]:
        found = []
        for key in self.get_map().values():
            if (one := open_sockets.get(key.fd)) is None:
                continue
            events = selectors.EVENT_READ * one.readable | selectors.EVENT_WRITE * one.writable
            if events & key.events:
                found.append((key, events & key.events))
        return found


class MemoryLoop(asyncio.SelectorEventLoop):
    """An event loop over sockets in memory; JavaScript may call into it while it waits."""

    _selector: MemorySelector

    def __init__(self, selector: MemorySelector | None = None) -> None:
        super().__init__(selector or MemorySelector())

    def call_soon(self, *args: Any, **options: Any) -> asyncio.Handle:  # type: ignore[override]
        """Do what a loop does, and wake it."""
        handle = super().call_soon(*args, **options)
        self._selector.wake()
        return handle

    def call_at(self, *args: Any, **options: Any) -> asyncio.TimerHandle:  # type: ignore[override]
        """Do what a loop does, and wake it."""
        handle = super().call_at(*args, **options)
        self._selector.wake()
        return handle


class Poll:
    """Do what `select.poll` does, for sockets in memory and without waiting."""

    def __init__(self) -> None:
        self._events: dict[int, int] = {}

    def register(self, fd: Any, events: int = select.POLLIN | select.POLLOUT) -> None:
        """Look at a file, too."""
        self._events[fd if isinstance(fd, int) else fd.fileno()] = events

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        """Return what is ready now."""
        ready = []
        for fd, wanted in self._events.items():
            one = open_sockets.get(fd)
            found = 0 if one is None else (select.POLLIN * one.readable | select.POLLOUT * one.writable) & wanted
            if found:
                ready.append((fd, found))
        return ready
