"""Sinks that all get the same messages; what is sent in one pass of the loop goes out together (lesson 04)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Generic, TypeVar

from .prepared import Batch, Prepared
from .sink import Sink

__all__ = ["Audience"]

S = TypeVar("S", bound=Sink)


class Audience(Generic[S]):
    """Sinks in the order in which they were added.

    `send` only queues the message. Once per pass of the event loop, each sink gets everything that was
    queued in that pass as one `Batch`. A sink gets what is sent while it is a member: neither what was
    queued before it was added, nor what is sent after it was discarded.
    """

    __slots__ = ("_queued", "_sinks")

    def __init__(self) -> None:
        self._sinks: dict[S, None] = {}
        self._queued: list[Prepared] = []

    def __len__(self) -> int:
        return len(self._sinks)

    def __iter__(self) -> Iterator[S]:
        return iter(self._sinks)

    def __contains__(self, sink: object) -> bool:
        return sink in self._sinks

    def add(self, sink: S) -> None:
        """Add a sink; do nothing if it is a member."""
        self.flush()
        self._sinks[sink] = None

    def discard(self, sink: S) -> None:
        """Remove a sink after it got what is queued; do nothing if it is not a member."""
        if sink in self._sinks:
            self.flush()
            del self._sinks[sink]

    def send(self, message: Prepared) -> None:
        """Queue a message for the next pass of the loop."""
        if not self._queued:
            asyncio.get_running_loop().call_soon(self.flush)
        self._queued.append(message)

    def flush(self) -> None:
        """Send what is queued now; do nothing if nothing is."""
        if not self._queued:
            return
        queued, self._queued = self._queued, []
        batch = Batch(tuple(queued))
        for sink in self._sinks:
            sink.send_many_nowait(batch)
