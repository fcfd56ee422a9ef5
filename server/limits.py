"""How much a client may send, whatever it says, and how long it may take to read its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiolimiter import AsyncLimiter
from fastapi import WebSocket, WebSocketException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .messages import CloseCode

__all__ = ["MeteredWebSocket", "NoLingering", "RateLimiter"]


class RateLimiter:
    """A leaky bucket for each user, shared by all of the user's connections.

    It outlives a connection, so that who was closed for spam does not get a new bucket by coming
    back. A bucket that has leaked empty is dropped: a new one is the same. So only users that have
    sent something within the last ``burst / rate`` seconds cost memory.
    """

    def __init__(self, *, rate: float, burst: int) -> None:
        """Let every user send `burst` messages at once and `rate` messages a second for long."""
        self.rate = rate
        self._burst = burst
        self._buckets: dict[str, AsyncLimiter] = {}  # who has sent last is last

    def __len__(self) -> int:
        """How many users have a bucket."""
        return len(self._buckets)

    async def take(self, user: str) -> bool:
        """Count one message; False if it is one too many. Never waits."""
        bucket = self._buckets.pop(user, None) or AsyncLimiter(self._burst, self._burst / self.rate)
        self._buckets[user] = bucket
        if not bucket.has_capacity():
            return False
        await bucket.acquire()
        self._drop_empty()
        return True

    def clear(self) -> None:
        """Forget everybody; a bucket belongs to the loop that it was filled on."""
        self._buckets.clear()

    def _drop_empty(self) -> None:
        # a fast bucket can have leaked empty in the moment since it was filled
        while (oldest := next(iter(self._buckets), None)) is not None and self._buckets[oldest].has_capacity(
            self._burst
        ):
            del self._buckets[oldest]


class MeteredWebSocket(WebSocket):
    """A WebSocket that ends when its client sends too much.

    It counts what arrives, before anybody reads it: junk costs the server as much as a message.
    """

    def __init__(self, websocket: WebSocket, *, take: Callable[[], Awaitable[bool]], rate: float, size: int) -> None:
        """Meter a connection.

        Args:
            websocket: the connection, not accepted yet.
            take: counts one message, and says whether it was allowed.
            rate: messages per second, for the reason of the close frame.
            size: bytes of the longest message allowed.
        """
        super().__init__(websocket.scope, websocket.receive, websocket.send)
        self._take = take
        self._rate = rate
        self._size = size

    async def receive(self) -> Message:
        """The next event of the connection.

        Raises:
            WebSocketException: a message is too big (1009) or one too many (4002).
        """
        event = await super().receive()
        if event["type"] == "websocket.receive":
            data = event.get("bytes")
            if len(event["text"].encode() if data is None else data) > self._size:
                raise WebSocketException(CloseCode.MESSAGE_TOO_BIG, f"over {self._size} bytes")
            if not await self._take():
                raise WebSocketException(CloseCode.KICKED_FOR_SPAM, f"more than {self._rate:g} messages per second")
        return event


class NoLingering:
    """Middleware that takes the socket away from a peer that does not read its end.

    A server that closes a connection waits until the peer has taken what was sent before. One that
    takes nothing would keep a socket and its buffers for ever, and no limit would count them: its
    handler has ended. Works where the server is uvicorn and no other middleware stands in between;
    elsewhere it does nothing.
    """

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        """Give a peer so many `seconds` after its handler has ended."""
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or request."""
        try:
            await self._app(scope, receive, send)
        finally:
            transport = getattr(getattr(send, "__self__", None), "transport", None)
            if scope["type"] == "websocket" and transport is not None and transport.get_write_buffer_size():
                # harmless where the peer has read it all by then, and the transport is closed
                asyncio.get_running_loop().call_later(self._seconds, transport.abort)
