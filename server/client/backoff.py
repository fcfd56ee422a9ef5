"""How long to wait before connecting again, so that a thousand clients of a restarted server don't come at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from .arguments import check_number
from .errors import ClientError

__all__ = ["Backoff"]

MOST_DOUBLINGS = 32  # a float takes about a thousand


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Exponential backoff with full jitter; the page's ``connection.js`` waits in the same way.

    It has no state, so many clients can share one.
    """

    base: float = 0.5
    """The longest first delay, in seconds; it doubles with every attempt."""

    busy_base: float = 5.0
    """The longest first delay after the server has said that it is full, in seconds."""

    maximum: float = 30.0
    """The longest delay of all, in seconds, and the longest ``Retry-After`` that is obeyed."""

    reset_after: float = 5.0
    """Seconds after which a connection counts as a success: the next delay is a first one again. So a server that
    accepts a client and disconnects it at once isn't asked ten times a second."""

    draw: Callable[[], float] = random.random
    """Draws a number between 0 and 1. Tests pass the method of a seeded `random.Random`."""

    def __post_init__(self) -> None:
        """Raise ClientError if no delay can be computed from these values."""
        for name in ("base", "busy_base", "maximum", "reset_after"):
            check_number(f"{name}=", getattr(self, name), zero=True)
        if not callable(self.draw):
            raise ClientError(f"draw= must be a function, got {type(self.draw).__name__}")

    def delay(self, attempt: int, *, busy: bool = False, retry_after: float = 0.0) -> float:
        """Return the seconds to wait before an attempt, of which 0 is the first.

        The jitter, anywhere between 0 and the ceiling of this attempt, comes on top of the server's `retry_after`.
        """
        doublings = 1 << min(attempt, MOST_DOUBLINGS)
        ceiling = min(self.maximum, (self.busy_base if busy else self.base) * doublings)
        return min(self.maximum, retry_after) + self.draw() * ceiling
