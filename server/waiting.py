"""HTTP requests that wait for news: long polls and event streams; so many for each user, and none for ever.

A server that stops waits for every answer that it has begun, and the app is told last of all. So this looks
whether the server has begun to stop, and lets whoever waits go home.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from fastapi import HTTPException, Request

from .tickets import Session

__all__ = ["Visitor", "WaitingRoom"]

LOOK_SECONDS = 0.1  # between two looks whether the server stops
RETRY_SECONDS = 5


class Visitor:
    """One request that waits for news. Made by `WaitingRoom.enter`."""

    def __init__(self, request: Request, user: str) -> None:
        self.user = user
        self.is_over = False
        """Whether to wait no longer: the client has left, its session has ended, or the server stops."""
        self._request = request
        self._news = asyncio.Event()
        # uvicorn's own object for this request; with another server there is none, and its deadline ends the wait
        self._cycle = getattr(request.receive, "__self__", None)
        self._was_kept_alive = self._is_kept_alive

    @property
    def server_stops(self) -> bool:
        """Whether uvicorn has begun to stop: it then takes no further request over this connection."""
        return self._was_kept_alive and not self._is_kept_alive

    def notify(self) -> None:
        """Let `wait` return."""
        self._news.set()

    def end(self) -> None:
        """Let it wait no longer."""
        self.is_over = True
        self._news.set()

    def abort(self) -> None:
        """Take the socket away from a client that reads nothing of its answer."""
        self.end()
        if (transport := getattr(self._cycle, "transport", None)) is not None:
            transport.abort()

    async def wait(self) -> None:
        """Wait for news, or the end."""
        await self._news.wait()
        self._news.clear()

    @asynccontextmanager
    async def until_gone(self) -> AsyncIterator[None]:
        """End the wait when the client leaves; for an answer that has not begun, which nobody else watches."""
        watcher = asyncio.create_task(self._watch_client(), name="visitor")
        try:
            yield
        finally:
            watcher.cancel()
            await asyncio.wait([watcher])

    async def _watch_client(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self.end()

    @property
    def _is_kept_alive(self) -> bool:
        return bool(getattr(self._cycle, "keep_alive", False))


class WaitingRoom:
    """Everybody who waits in this process."""

    def __init__(self, *, each: int, most: int) -> None:
        """Let `each` user wait with so many requests, and `most` requests in all."""
        self._each = each
        self._most = most
        self._visitors: dict[Visitor, None] = {}
        self._users: Counter[str] = Counter()
        self._stops = False

    def __len__(self) -> int:
        """How many wait."""
        return len(self._visitors)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Look after them for the length of the block; at its end nobody waits any more."""
        self._stops = False
        keeper = asyncio.create_task(self._look_after(), name="waiting-room")
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])
            self._end_all()

    @contextmanager
    def enter(self, request: Request, session: Session) -> Iterator[Visitor]:
        """Let a request wait for the length of the block, or until its session ends.

        Raises:
            HTTPException: 429 where its user waits often enough, 503 where too many wait or the server stops.
        """
        retry = {"Retry-After": str(RETRY_SECONDS)}
        if self._users[session.user] >= self._each:
            raise HTTPException(429, f"more than {self._each} requests of one user wait", headers=retry)
        if len(self._visitors) >= self._most or self._stops:
            raise HTTPException(503, "the server is full, or stops; try again later", headers=retry)
        visitor = Visitor(request, session.user)
        self._visitors[visitor] = None
        self._users[session.user] += 1
        expiry = asyncio.get_running_loop().call_later(max(0.0, session.expires - time.time()), visitor.end)
        try:
            yield visitor
        finally:
            expiry.cancel()
            del self._visitors[visitor]
            self._users[session.user] -= 1
            self._users += Counter()  # forgets who has none

    async def _look_after(self) -> None:
        while not any(visitor.server_stops for visitor in self._visitors):  # noqa: ASYNC110  # uvicorn tells nobody
            await asyncio.sleep(LOOK_SECONDS)
        self._end_all()

    def _end_all(self) -> None:
        self._stops = True
        for visitor in self._visitors:
            visitor.end()
