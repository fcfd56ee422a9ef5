"""The messages that wait for one connection, bounded in number and bytes (lesson 04).

Sending to an outbox never waits and never raises, whatever the peer does. So a loop over a thousand outboxes takes as
long as a loop, and a peer that is slow, gone or failing costs the others nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Protocol

from ...messages.close_codes import CloseCode
from ..prepared import Batch, Prepared
from .message_queue import MessageQueue, Overflow
from .statistics import OutboxStatistics, registry

__all__ = ["Outbox", "Overflow", "TextSender"]


class TextSender(Protocol):
    """What a portable outbox sends with: the `Conversation` of `converse`."""

    @property
    def send_timeout(self) -> float | None:
        """Return how many seconds a send may take; None if it may take forever."""

    async def send_without_deadline(self, text: str) -> None:
        """Send a message that is encoded already.

        Raises:
            WebSocketDisconnect: if the connection has ended.
        """


class Outbox(ABC):
    """The messages that wait for one connection; made by `open_outbox`.

    Call it on the loop's thread. A larger outbox forgives longer pauses of a phone in a tunnel, and costs its bytes
    for each slow connection.
    """

    __slots__ = ("_ended", "_queue", "_sending", "_sent")

    def __init__(self, *, messages: int = 256, size: int = 1 << 20, overflow: Overflow = Overflow.DISCONNECT) -> None:
        """Bound the outbox by a number of messages and by a number of bytes, as UTF-8."""
        self._queue = MessageQueue(messages=messages, size=size, overflow=overflow)
        self._sending = False  # `_start_sending` was called, and something is queued still
        self._sent = 0  # messages handed to the server software
        self._ended = False

    def __len__(self) -> int:
        """Return how many messages are queued."""
        return len(self._queue)

    @property
    def writer(self) -> Callable[[TextSender], Awaitable[None]] | None:
        """Return what to pass to `converse` as `writer`, or None if nothing is needed."""
        return None

    @property
    def dequeued(self) -> int:
        """Return how many messages have left the queue so far, sent or dropped."""
        return self._queue.dequeued

    def send_nowait(self, message: str | Prepared) -> None:
        """Queue a message; `Overflow` decides about one too many."""
        if self._ended:
            return
        fits = self._queue.append(Prepared(message) if isinstance(message, str) else message)
        self._queued(fits=fits)

    def send_many_nowait(self, batch: Batch) -> None:
        """Queue many messages at the price of one."""
        if self._ended:
            return
        fits = self._queue.extend(batch)
        self._queued(fits=fits)

    def end(self, code: int, reason: str) -> None:
        """Close the connection with this code and reason; drop what is queued. Only the first call counts."""
        if self._ended:
            return
        self._ended = True
        if code == CloseCode.TOO_SLOW:
            registry.count_slow()
        self._queue.clear()
        self._close(code, reason)

    async def drained(self) -> None:
        """Wait until nothing is queued: all is with the server software, or the connection is over."""
        await self._queue.drained()

    def statistics(self) -> OutboxStatistics:
        """Return what the outbox holds and has done."""
        queue = self._queue
        return OutboxStatistics(
            messages=len(queue), size=queue.size, sent=self._sent, dropped=queue.dropped, blocked=queue.blocked
        )

    @abstractmethod
    def _start_sending(self) -> None:
        """Begin to send what is queued, without waiting for it."""

    @abstractmethod
    def _close(self, code: int, reason: str) -> None:
        """Begin to close the connection."""

    def _queued(self, *, fits: bool) -> None:
        if not self._sending:
            self._sending = True
            self._start_sending()
        if not fits:
            queued = f"{len(self._queue)} messages of {self._queue.size} bytes wait"
            self.end(CloseCode.TOO_SLOW, f"{queued}; read faster")
