"""An inbox as server-sent events: what a `Watching` delivers, for a client that may be slow (lesson 05)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi.sse import ServerSentEvent

from .broker import Position, UnavailableError
from .messages import Inbox, Notification, Reset
from .notifications import Notifications, Said, Watching
from .prepared import Prepared
from .waiting import Visitor

__all__ = ["EventStream", "written"]

AHEAD = 16  # times its bounds that a stream holds at most: as much as a feed gives at once
AGAIN_SECONDS = 1.0  # between two attempts to reach a log that is away
RETRY_MILLISECONDS = 1_000  # after which a browser comes back

_log = logging.getLogger(__name__)


def written(position: Position) -> str:
    """A position as an address or an event's id has it: ``EPOCH:OFFSET``."""
    return f"{position.epoch}:{position.offset}"


class EventStream:
    """The device of a client that listens over HTTP; `open` it, and iterate over it.

    It ends when its visitor does. While the log is away it stays, and goes on when the log is back. A client that
    has left more than its bounds unread for `seconds` loses its connection, and comes back with Last-Event-ID.
    """

    def __init__(self, visitor: Visitor, *, messages: int, size: int, seconds: float) -> None:
        self.user = visitor.user
        self._visitor = visitor
        self._messages = messages
        self._size = size
        self._seconds = seconds
        self._waiting: deque[Said] = deque()
        self._bytes = 0
        self._patience: asyncio.TimerHandle | None = None
        self._taken = asyncio.Event()
        self._position: Position | None = None  # that the client resumes from

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
        """What comes, until the visitor has to go."""
        yield ServerSentEvent(retry=RETRY_MILLISECONDS, comment="the inbox follows")
        while not self._visitor.is_over:
            while self._waiting and not self._visitor.is_over:
                yield self._take()
            self._taken.set()
            await self._visitor.wait()

    # what a `Watching` needs of its device

    def deliver(self, message: Prepared) -> None:
        """Keep a message until the client takes it."""
        if not isinstance(message, Said) or self._visitor.is_over:
            return
        if (position := _position_of(message)) is not None:
            self._position = position
        self._waiting.append(message)
        self._bytes += message.size
        if self._is_over(AHEAD):
            self._cut()
        elif self._is_over(1) and self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(self._seconds, self._cut)
        self._visitor.notify()

    async def drained(self) -> None:
        """Wait until the client has taken everything."""
        while self._waiting:
            self._taken.clear()
            await self._taken.wait()

    def _take(self) -> ServerSentEvent:
        said = self._waiting.popleft()
        self._bytes -= said.size
        if self._patience is not None and not self._is_over(1):
            self._patience.cancel()
            self._patience = None
        # what the client does not resume from leaves its Last-Event-ID as it is
        position = _position_of(said)
        id = None if position is None else written(position)  # noqa: A001
        return ServerSentEvent(event=said.message.type, raw_data=said.text, id=id)

    async def _watch(self, notifications: Notifications, last: int) -> None:
        try:
            async with Watching(notifications, self) as watching:
                while not await self._has_begun(watching, last):  # noqa: ASYNC110  # nobody tells when it is back
                    await asyncio.sleep(AGAIN_SECONDS)
                await asyncio.Event().wait()
        except Exception:
            _log.exception("the event stream of %r failed", self.user)
            self._visitor.end()

    async def _has_begun(self, watching: Watching, last: int) -> bool:
        try:
            await watching.watch(after=self._position, last=last)
        except UnavailableError:
            return False
        return True

    def _is_over(self, times: int) -> bool:
        return len(self._waiting) > times * self._messages or self._bytes > times * self._size

    def _cut(self) -> None:
        self._clear()
        self._visitor.abort()

    def _clear(self) -> None:
        self._waiting.clear()
        self._bytes = 0
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def _position_of(said: Said) -> Position | None:
    """Where a client resumes that has got this."""
    message = said.message
    return message.position if isinstance(message, Inbox | Notification | Reset) else None
