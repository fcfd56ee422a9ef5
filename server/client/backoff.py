"""How long to wait before coming back, so that a thousand clients of a restarted server do not come at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Backoff"]

MOST_DOUBLINGS = 32  # a float takes no more than a thousand


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Exponential backoff with full jitter; the page's ``connection.js`` waits the same.

    It holds no state, so that many clients can share one.
    """

    base: float = 0.5
    """Seconds that the first wait takes at most; the ceiling doubles with every attempt."""

    busy: float = 5.0
    """The same after a server has said that it is full."""

    longest: float = 30.0
    """Seconds that no wait exceeds."""

    steady: float = 5.0
    """Seconds after which a connection counts as a success: the next wait is a first one again. A server that lets
    somebody in and throws them out at once is thus not asked ten times a second."""

    draw: Callable[[], float] = random.random
    """Draws a number between 0 and 1; for tests, that of a seeded `random.Random`."""

    def delay(self, attempt: int, *, busy: bool = False) -> float:
        """Seconds to wait before an attempt, of which 0 is the first: anywhere between none and the ceiling."""
        doublings = 1 << min(attempt, MOST_DOUBLINGS)
        return self.draw() * min(self.longest, (self.busy if busy else self.base) * doublings)
