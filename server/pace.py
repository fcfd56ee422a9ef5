"""A connection that is slowed down on purpose, so that a class can see what becomes of a slow one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Pacer"]

TICK = 0.1  # seconds between two turns


class Pacer:
    """Gives a connection a turn ten times a second, and so many bytes each time that it makes a rate.

    What a turn did not use is not saved up, and what it took too much, because a message goes out whole, is paid off
    before the next.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, step: Callable[[int], int], *, rate: int) -> None:
        """Call `step` with the bytes that it may send; it says how many it has sent."""
        self.is_full = False
        """Whether the peer itself does not keep up either."""
        self._loop = loop
        self._step = step
        self._share = rate * TICK
        self._credit = 0.0
        self._timer = loop.call_later(TICK, self._turn)

    def stop(self) -> None:
        """Give no more turns."""
        self._timer.cancel()

    def _turn(self) -> None:
        self._timer = self._loop.call_later(TICK, self._turn)
        self._credit = min(self._credit, 1.0) + self._share
        self._credit -= self._step(max(0, int(self._credit)))
