"""Connections that a teacher can slow down, so that a class can see what happens to a slow one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...wire.limited_protocol import LimitedProtocol
from ...wire.send_state import SendState

__all__ = ["Throttle", "ThrottledProtocol"]

TICK = 0.1  # seconds between two sends


class Throttle:
    """Lets a connection send ten times a second, each time its share of a rate in bytes per second.

    A share that was not used is not saved up. Messages are sent whole, so one send may exceed its share; then the
    next ones get less.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, step: Callable[[int], int], *, rate: int) -> None:
        """Call `step` with the number of bytes that it may send; it returns how many it has sent."""
        self.is_full = False
        """Whether the transport is full because the peer itself is slow."""
        self._loop = loop
        self._step = step
        self._share = rate * TICK
        self._credit = 0.0
        self._timer = loop.call_later(TICK, self._tick)

    def stop(self) -> None:
        """Send no more."""
        self._timer.cancel()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK, self._tick)
        self._credit = min(self._credit, 1.0) + self._share
        self._credit -= self._step(max(0, int(self._credit)))


class ThrottledProtocol(LimitedProtocol):
    """The protocol of a classroom: a `LimitedProtocol` whose connections the teacher can slow down."""

    _throttle: Throttle | None = None

    def throttle(self, bytes_per_second: int | None) -> None:
        """Send at most this many bytes a second, as if the peer read no faster; None removes the limit.

        Whatever exceeds the limit stays in the outbox and counts as for any slow peer, so in the end the connection
        is closed with 4008. What ASGI's `send` passes comes after it, as usual. Pongs are sent at once, because a
        slow peer is not a dead one.
        """
        was_full = not self.writable.is_set()
        if self._throttle is not None:
            was_full = self._throttle.is_full
            self._stop_throttle()
        if self.disconnected:
            return
        if bytes_per_second is not None:
            if self.send_state is SendState.OPEN:
                self._enter(SendState.PAUSED)
            self.writable.clear()
            self._throttle = Throttle(self.loop, self._send_share, rate=bytes_per_second)
            self._throttle.is_full = was_full
        elif not was_full:
            self.resume_writing()

    def pause_writing(self) -> None:
        """Stop taking messages from the outbox, because the transport is full."""
        super().pause_writing()
        if self._throttle is not None:
            self._throttle.is_full = True

    def resume_writing(self) -> None:
        """Take messages again at the next tick, because the peer reads again."""
        if self._throttle is None:
            super().resume_writing()
        else:
            self._cancel_stall_timer()
            self._throttle.is_full = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the throttle."""
        super().connection_lost(exc)
        self._stop_throttle()

    def _stop_throttle(self) -> None:
        if self._throttle is not None:
            self._throttle.stop()
            self._throttle = None

    def _send_share(self, size: int) -> int:
        """Send `size` bytes from the outbox, or a few more to finish a message; return how many."""
        if self._throttle is None or self._throttle.is_full:
            return 0
        self.writable.set()  # a task that waits in `send` continues once, and waits again in its next `send`
        self.writable.clear()
        if self.source is None or self.send_state is not SendState.PAUSED or self.transport.is_closing():
            return 0
        self._write_pong()
        data = self.source.take_frames(size) if size else b""
        if data:
            self.transport.write(data)
        return len(data)
