"""Wait for what another thread or process is about to do, with a deadline instead of a guess."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["eventually"]

PAUSE = 0.01  # seconds between two calls
DEADLINE = 3.0  # seconds


def eventually(function: Callable[..., Any], *args: Any, equals: Any, timeout: float | None = None) -> None:
    """Call ``function(*args)`` again and again until it returns `equals`: ``eventually(people, server, equals=[])``.

    A test needs this when it can't be told that something has happened, such as a server noticing that a client has
    left. It returns as soon as the values are equal, so a test that passes waits no longer than it must.

    Raises:
        AssertionError: the last value was another one when `timeout` seconds, by default 3, were over; the
            message names both.
    """
    seconds = DEADLINE if timeout is None else timeout
    deadline = time.monotonic() + seconds
    while (value := function(*args)) != equals:
        if time.monotonic() > deadline:
            name = getattr(function, "__name__", repr(function))
            raise AssertionError(f"{name} still returns {value!r} after {seconds:g} s, expected {equals!r}")
        time.sleep(PAUSE)
