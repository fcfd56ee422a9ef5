"""One write for each connection per pass of the event loop, whatever was queued for it in that pass (lesson 04)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol
from weakref import WeakKeyDictionary

__all__ = ["Flushable", "Flusher", "FrameSource", "flusher_of"]

TURN = 256  # connections that are written to before the loop does something else


class Flushable(Protocol):
    """What a `Flusher` flushes, such as an outbox. No call here waits or raises."""

    def flush(self) -> None:
        """Send what is queued."""

    def abort(self) -> None:
        """End the connection, because `flush` has failed in a way that nobody expected."""


class FrameSource(Protocol):
    """Where a connection takes ready-made frames from, such as a `FrameOutbox`. No call here waits or raises."""

    @property
    def dequeued(self) -> int:
        """Return how many messages have been taken or dropped so far."""

    def __len__(self) -> int:
        """Return how many messages are queued."""

    def flush(self) -> None:
        """Send what is queued: by `FanoutProtocol.flush`, or with the writer that was set."""

    def set_writer(self, write: Callable[[bytes], object] | None) -> None:
        """Allow whole frames to be written (the connection is open and its peer keeps up); forbid it with None."""

    def abort(self) -> None:
        """Call `FanoutProtocol.abort`."""

    def take_frames(self, size: int) -> bytes:
        """Return queued frames, whole and joined: all, or as many as it takes to fill `size` bytes."""

    def set_blocked(self, *, blocked: bool) -> None:
        """Say whether the peer does not keep up."""

    def end(self, code: int, reason: str) -> None:
        """Drop what is queued and call `FanoutProtocol.close_now`: the peer is too slow."""

    def connection_lost(self) -> None:
        """Drop what is queued: the connection is over."""


class Flusher:
    """Flushes every source that was added, once per pass of its event loop."""

    def __init__(self) -> None:
        self._sources: list[Flushable] = []
        self._scheduled = False

    def add(self, source: Flushable) -> None:
        """Flush a source in the next pass of the loop, with all that is queued in it by then."""
        self._sources.append(source)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Flush up to `TURN` sources, and the others in the next pass."""
        turn, self._sources = self._sources[:TURN], self._sources[TURN:]
        for source in turn:
            try:
                source.flush()
            except (Exception, asyncio.CancelledError):  # no task runs here that somebody could have cancelled
                # it must not stop the others; a connection that cannot be written to is aborted
                logging.getLogger("uvicorn.error").exception("a connection failed to send frames")
                source.abort()
        self._scheduled = bool(self._sources)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._flush)


_flushers: WeakKeyDictionary[asyncio.AbstractEventLoop, Flusher] = WeakKeyDictionary()


def flusher_of(loop: asyncio.AbstractEventLoop) -> Flusher:
    """Return the one flusher of an event loop."""
    flusher = _flushers.get(loop)
    if flusher is None:
        flusher = _flushers[loop] = Flusher()
    return flusher
