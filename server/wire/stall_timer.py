"""A deadline for a peer that reads nothing while its transport is full."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["StallTimer"]


class StallTimer:
    """Calls a function if a peer has read nothing for some seconds.

    A peer that has read anything, however little, has the same time again.
    """

    __slots__ = ("_handle", "_on_stall", "_seconds", "_transport")

    def __init__(self, transport: asyncio.Transport, *, seconds: float, on_stall: Callable[[], None]) -> None:
        """Make a timer that does not run yet."""
        self._transport = transport
        self._seconds = seconds
        self._on_stall = on_stall
        self._handle: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        """Whether the deadline runs."""
        return self._handle is not None

    def start(self) -> None:
        """Start the deadline; do nothing if it runs."""
        if self._handle is None:
            buffered = self._transport.get_write_buffer_size()
            self._handle = asyncio.get_running_loop().call_later(self._seconds, self._check, buffered)

    def cancel(self) -> None:
        """Cancel the deadline; do nothing if it does not run."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _check(self, buffered: int) -> None:
        self._handle = None
        if self._transport.get_write_buffer_size() < buffered:
            self.start()
        else:
            self._on_stall()
