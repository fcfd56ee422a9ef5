"""An inbox as server-sent events, with bounds for a client that reads slowly (lesson 05)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi.sse import ServerSentEvent

from ..broker import Position, UnavailableError
from ..messages import Inbox, Notification, Reset
from ..notifications import InboxSubscription, Notifications, PreparedMessage
from ..wire.prepared import Batch, Prepared
from .long_poll import WaitingRequest

__all__ = ["PLACE", "RECONNECT_MILLISECONDS", "EventStream", "format_position", "parse_position"]

MOST_OVER = 16  # a stream may exceed its bounds this many times for a moment: a feed delivers that much at once
RETRY_SECONDS = 1.0  # between two attempts to reach a broker that is unavailable
PLACE = r"^[^:\s]{1,64}:[0-9]{1,15}$"  # a position in a query or in Last-Event-ID
RECONNECT_MILLISECONDS = 1_000  # after which a browser reconnects

_log = logging.getLogger(__name__)


def format_position(position: Position) -> str:
    """Return a position as ``EPOCH:OFFSET``, for a query or an event's id."""
    return f"{position.epoch}:{position.offset}"


def parse_position(text: str | None) -> Position | None:
    """Parse ``EPOCH:OFFSET``, from a query or from Last-Event-ID; None stays None."""
    if text is None:
        return None
    epoch, _, offset = text.rpartition(":")
    return Position(epoch, int(offset))


class EventStream:
    """The device of a client that listens over HTTP: `open` it, then iterate over `events`.

    It ends when its request ends. While the broker is unavailable it stays open, and continues when the broker is
    back. A client that leaves more than the bounds unread for `seconds` loses its connection, and can resume with
    Last-Event-ID.
    """

    def __init__(self, request: WaitingRequest, *, messages: int, size: int, seconds: float) -> None:
        self.user = request.user
        self._request = request
        self._messages = messages
        self._size = size
        self._seconds = seconds
        self._unread: deque[PreparedMessage] = deque()
        self._bytes = 0
        self._stall_timer: asyncio.TimerHandle | None = None
        self._drained = asyncio.Event()
        self._position: Position | None = None  # the client would resume after it

    @asynccontextmanager
    async def open(
        self, notifications: Notifications, *, after: Position | None, last: int = 0
    ) -> AsyncIterator[EventStream]:
        """Watch the inbox for the length of the block."""
        self._position = after
        watch = asyncio.create_task(self._watch(notifications, last), name="event-stream")
        try:
            yield self
        finally:
            watch.cancel()
            await asyncio.wait([watch])
            self._clear()

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        """Yield every event until the request ends."""
        yield ServerSentEvent(retry=RECONNECT_MILLISECONDS, comment="the inbox follows")
        while not self._request.is_over:
            while self._unread and not self._request.is_over:
                yield self._take()
            self._drained.set()
            await self._request.wait()

    # the methods of a `Member`

    def send_nowait(self, message: Prepared) -> None:
        """Queue a message for the client."""
        if not isinstance(message, PreparedMessage) or self._request.is_over:
            return
        if (position := _position_of(message)) is not None:
            self._position = position
        self._unread.append(message)
        self._bytes += message.size
        if self._exceeds(MOST_OVER):
            self._abort()
        elif self._exceeds(1) and self._stall_timer is None:
            self._stall_timer = asyncio.get_running_loop().call_later(self._seconds, self._abort)
        self._request.notify()

    def send_many_nowait(self, batch: Batch) -> None:
        """Queue messages for the client."""
        for message in batch.messages:
            self.send_nowait(message)

    async def drained(self) -> None:
        """Wait until the client has read everything."""
        while self._unread:
            self._drained.clear()
            await self._drained.wait()

    def _take(self) -> ServerSentEvent:
        message = self._unread.popleft()
        self._bytes -= message.size
        if self._stall_timer is not None and not self._exceeds(1):
            self._stall_timer.cancel()
            self._stall_timer = None
        # a message without a position leaves the browser's Last-Event-ID as it is
        position = _position_of(message)
        id = None if position is None else format_position(position)  # noqa: A001
        return ServerSentEvent(event=message.message.type, raw_data=message.text, id=id)

    async def _watch(self, notifications: Notifications, last: int) -> None:
        try:
            async with InboxSubscription(notifications, self) as subscription:
                while not await self._try_watch(subscription, last):  # noqa: ASYNC110  # no event says that it is back
                    await asyncio.sleep(RETRY_SECONDS)
                await asyncio.Event().wait()
        except Exception:
            _log.exception("the event stream of %r failed", self.user)
            self._request.end()

    async def _try_watch(self, subscription: InboxSubscription, last: int) -> bool:
        try:
            await subscription.watch(after=self._position, last=last)
        except UnavailableError:
            return False
        return True

    def _exceeds(self, times: int) -> bool:
        return len(self._unread) > times * self._messages or self._bytes > times * self._size

    def _abort(self) -> None:
        self._clear()
        self._request.abort()

    def _clear(self) -> None:
        self._unread.clear()
        self._bytes = 0
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


def _position_of(prepared: PreparedMessage) -> Position | None:
    """Return the position after which a client resumes that got this message."""
    message = prepared.message
    return message.position if isinstance(message, Inbox | Notification | Reset) else None
