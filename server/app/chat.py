"""The chat endpoint: which clients may connect, and how long each connection lasts (lesson 03)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

from fastapi import WebSocket
from starlette.types import Receive, Scope, Send

from ..access.auth import Authenticator, refuse
from ..access.rate_limits import RateLimiter
from ..access.tokens import Session
from ..broadcasting import Outbox, open_outbox
from ..broker import Broker
from ..broker.feeds import Feeds
from ..echo import Ended, converse
from ..errors import StartError
from ..manager import Connection, FullError, Manager
from ..messages import ChatIn, CloseCode, Welcome
from ..notifications import Notifications
from ..settings import Settings
from .chat_requests import ChatRequests, MayJoin, Services
from .presence import PresenceTracker

__all__ = ["Chat", "ConnectionObserver", "allow_all", "close_on_expiry"]

_log = logging.getLogger(__name__)

LONGEST_DEVICE = 64  # characters in the name of a device


class ConnectionObserver(Protocol):
    """Is told when a connection begins and when it ends."""

    def on_connect(self, connection: Connection, outbox: Outbox, websocket: WebSocket) -> None:
        """Note a connection that has just been registered."""

    def on_disconnect(self, connection: Connection, ended: Ended) -> None:
        """Note that a connection has ended, and how."""


def allow_all(user: str, room: str) -> bool:
    """Let every user join every room."""
    return True


class Chat:
    """Serves every connection of one app; it is the endpoint, as an ASGI app."""

    def __init__(
        self,
        settings: Settings,
        *,
        authenticator: Authenticator,
        manager: Manager,
        broker: Broker,
        feeds: Feeds,
        presence: PresenceTracker,
        notifications: Notifications,
        may_join: MayJoin = allow_all,
        observer: ConnectionObserver | None = None,
    ) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._observer = observer
        self._services = Services(
            manager=manager,
            broker=broker,
            feeds=feeds,
            presence=presence,
            notifications=notifications,
            may_join=may_join,
            rooms_per_connection=settings.rooms_per_connection,
            messages=RateLimiter(rate=settings.messages_per_second, burst=settings.message_burst),
            joins=RateLimiter(rate=settings.joins_per_second, burst=settings.join_burst),
            stored_bytes=RateLimiter.per_day(settings.message_bytes_per_day),
        )

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one connection; for an endpoint that is a function, Starlette would keep 2 KiB more while it lasts."""
        return self.connect(WebSocket(scope, receive, send))

    async def connect(self, websocket: WebSocket) -> None:
        """Authenticate a client, register its connection, and answer its messages until either side closes.

        The address may name the client's device (``/ws?device=phone``), so that two pages of one
        browser count as one device.

        Raises:
            StartError: the app's lifespan isn't running, as when the app is mounted in another one without it.
        """
        session, device = await self._admit(websocket)
        settings = self._settings
        outbox = open_outbox(
            websocket, messages=settings.outbox_messages, size=settings.outbox_bytes, seconds=settings.send_seconds
        )
        try:
            async with self._registered(session, device, outbox, websocket) as requests:
                requests.ended = await converse(
                    websocket,
                    requests.handle,
                    model=ChatIn,
                    writer=outbox.writer,
                    meter=requests.meter,
                    longest=settings.message_bytes,
                    idle_timeout=settings.idle_seconds,
                    send_timeout=settings.send_seconds,
                )
        except FullError:
            await refuse(websocket, 503, CloseCode.TRY_AGAIN_LATER, "the server is full; try again later")

    def close(self) -> None:
        """Cancel every timer and reset every rate limit; for a server that stops."""
        self._services.manager.close()
        for limiter in (self._services.messages, self._services.joins, self._services.stored_bytes):
            limiter.clear()

    async def _admit(self, websocket: WebSocket) -> tuple[Session, str]:
        """Return the session and the device of a connection, or refuse it."""
        if not self._services.feeds.is_open:
            raise StartError(
                "the chat is not open, because an app that is mounted in another has no lifespan of its own; "
                "make the other with FastAPI(lifespan=app.router.lifespan_context)"
            )
        session = await self._authenticator.authenticate_websocket(websocket)
        device = websocket.query_params.get("device", "")
        if len(device) > LONGEST_DEVICE:
            await refuse(websocket, 400, CloseCode.POLICY_VIOLATION, f"device is over {LONGEST_DEVICE} characters")
        return session, device

    @asynccontextmanager
    async def _registered(
        self, session: Session, device: str, outbox: Outbox, websocket: WebSocket
    ) -> AsyncIterator[ChatRequests]:
        """Register a connection for the length of the block, and welcome it; afterwards nothing of it is left."""
        started = time.monotonic()
        async with self._services.manager.register(session.user, device, outbox) as connection:
            requests = ChatRequests(self._services, connection)
            with close_on_expiry(session, connection):
                connection.send(Welcome(user=session.user, device=device))
                if self._observer is not None:
                    self._observer.on_connect(connection, outbox, websocket)
                try:
                    yield requests
                finally:
                    if self._observer is not None:
                        self._observer.on_disconnect(connection, requests.ended)
                    await requests.close()
        about = {"user": session.user, "code": int(requests.ended.code)}
        _log.info("connection ended", extra=about | {"seconds": round(time.monotonic() - started, 3)})


@contextmanager
def close_on_expiry(session: Session, connection: Connection) -> Iterator[None]:
    """Close the connection with 4001 when its session expires; leaving the block cancels the timer."""
    seconds = max(0.0, session.expires - time.time())
    reason = "the session has expired, log in again"
    timer = asyncio.get_running_loop().call_later(seconds, connection.end, CloseCode.AUTH_REQUIRED, reason)
    try:
        yield
    finally:
        timer.cancel()
