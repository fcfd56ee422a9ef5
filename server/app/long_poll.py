"""HTTP requests that wait for news: long polls and event streams, with limits on their number and duration.

uvicorn, when it stops, waits for every response that has begun before it tells the app. So `WaitingRequests` checks
for itself whether uvicorn has begun to stop, and ends every wait when it has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from fastapi import HTTPException, Request

from ..access.tokens import Session
from ..wire.http_protocol import EXTENSION, DeadlineHttpProtocol

__all__ = ["WaitingRequest", "WaitingRequests"]

STOP_CHECK_SECONDS = 0.1  # between two checks whether the server is stopping
RETRY_SECONDS = 5


class WaitingRequest:
    """One request that waits for news. Made by `WaitingRequests.add`."""

    def __init__(self, request: Request, user: str) -> None:
        self.user = user
        self.is_over = False
        """Whether to stop waiting: the client has left, its session has expired, or the server is stopping."""
        self._request = request
        self._news = asyncio.Event()
        # with another protocol there is none, and the caller's timeout ends the wait
        extension = request.scope.get("extensions", {}).get(EXTENSION, {})
        self._connection: DeadlineHttpProtocol | None = extension.get("connection")

    @property
    def server_is_stopping(self) -> bool:
        """Whether uvicorn has begun to stop."""
        return self._connection is not None and self._connection.is_stopping

    def notify(self) -> None:
        """Let `wait` return."""
        self._news.set()

    def end(self) -> None:
        """Stop waiting."""
        self.is_over = True
        self._news.set()

    def abort(self) -> None:
        """Abort the connection of a client that doesn't read its response."""
        self.end()
        if self._connection is not None:
            self._connection.transport.abort()

    async def wait(self) -> None:
        """Wait for news, or for the end."""
        await self._news.wait()
        self._news.clear()

    @asynccontextmanager
    async def watch_disconnect(self) -> AsyncIterator[None]:
        """End the wait when the client leaves; needed until the response has begun, because nothing else checks."""
        watcher = asyncio.create_task(self._wait_for_disconnect(), name="waiting-request")
        try:
            yield
        finally:
            watcher.cancel()
            await asyncio.wait([watcher])

    async def _wait_for_disconnect(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self.end()


class WaitingRequests:
    """Every request of this process that waits for news."""

    def __init__(self, *, per_user: int, total: int) -> None:
        """Allow this many waiting requests for each user, and in total."""
        self._per_user = per_user
        self._total = total
        self._requests: dict[WaitingRequest, None] = {}
        self._by_user: dict[str, dict[WaitingRequest, None]] = {}  # oldest first, without those that are over
        self._is_stopping = False

    def __len__(self) -> int:
        """Return how many requests are waiting."""
        return len(self._requests)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Accept requests for the length of the block; end every wait when it ends."""
        self._is_stopping = False
        checker = asyncio.create_task(self._end_on_stop(), name="waiting-requests")
        try:
            yield
        finally:
            checker.cancel()
            await asyncio.wait([checker])
            self._end_all()

    @contextmanager
    def add(self, request: Request, session: Session) -> Iterator[WaitingRequest]:
        """Let a request wait for the length of the block, or until its session expires.

        One more than a user may have ends the user's oldest, which may belong to a client that is gone: the server
        notices a dead network path only after minutes, and a browser gives up an event stream that is refused.

        Raises:
            HTTPException: 503, too many requests are waiting in total, or the server is stopping.
        """
        own = self._by_user.get(session.user, {})
        if len(own) >= self._per_user and not self._is_stopping:
            self._end(next(iter(own)))
        elif len(self._requests) >= self._total or self._is_stopping:
            retry = {"Retry-After": str(RETRY_SECONDS)}
            raise HTTPException(503, "the server is full or stopping; try again later", headers=retry)
        waiting = WaitingRequest(request, session.user)
        self._requests[waiting] = None
        own = self._by_user.setdefault(session.user, own)
        own[waiting] = None
        expiry = asyncio.get_running_loop().call_later(max(0.0, session.expires - time.time()), self._end, waiting)
        try:
            yield waiting
        finally:
            expiry.cancel()
            del self._requests[waiting]
            self._end(waiting)
            if not own and self._by_user.get(session.user) is own:
                del self._by_user[session.user]

    async def _end_on_stop(self) -> None:
        # uvicorn has no event for it
        while not any(waiting.server_is_stopping for waiting in self._requests):  # noqa: ASYNC110
            await asyncio.sleep(STOP_CHECK_SECONDS)
        self._end_all()

    def _end(self, waiting: WaitingRequest) -> None:
        self._by_user.get(waiting.user, {}).pop(waiting, None)
        waiting.end()

    def _end_all(self) -> None:
        self._is_stopping = True
        for waiting in self._requests:
            waiting.end()
