"""The chat endpoint: what becomes of a connection, and of each message that comes over it (lesson 03)."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from fastapi import WebSocket

from .echo import Conversation, converse
from .identity import Door, refuse
from .limits import MeteredWebSocket, RateLimiter
from .manager import Connection, FullError, Manager
from .messages import ChatIn, ChatMessage, CloseCode, Error, IsTyping, Join, Leave, Say, Typing, Welcome
from .outbox import Outbox
from .settings import Settings
from .tickets import Session

__all__ = ["Chat", "MayJoin", "everybody", "expiring"]

MayJoin = Callable[[str, str], Awaitable[bool] | bool]
"""Takes a user and the name of a room, and says whether that user may come in."""

LONGEST_DEVICE = 64  # characters of a device's name


def everybody(user: str, room: str) -> bool:
    """Every room is open to everybody."""
    return True


class Chat:
    """Serves every connection of one app; `connect` is the endpoint."""

    def __init__(self, settings: Settings, *, door: Door, manager: Manager, may_join: MayJoin = everybody) -> None:
        self._settings = settings
        self._door = door
        self._manager = manager
        self._may_join = may_join
        self._limiter = RateLimiter(rate=settings.messages_per_second, burst=settings.message_burst)

    async def connect(self, websocket: WebSocket) -> None:
        """Admit a client, register it, and talk with it until either side ends it.

        The address may name the client's device (``/ws?device=phone``), so that two pages of one
        browser count as one.
        """
        session = await self._door.admit(websocket)
        device = websocket.query_params.get("device", "")
        if len(device) > LONGEST_DEVICE:
            await refuse(websocket, 400, CloseCode.POLICY_VIOLATION, f"device is over {LONGEST_DEVICE} characters")
        outbox = Outbox(messages=self._settings.outbox_messages, size=self._settings.outbox_bytes)
        try:
            async with self._manager.register(session.user, device, outbox) as connection:
                with expiring(session, connection):
                    connection.send(Welcome(user=session.user, device=device))
                    await self._talk(websocket, connection, outbox)
        except FullError:
            await refuse(websocket, 503, CloseCode.TRY_AGAIN_LATER, "the server is full; try again later")

    def close(self) -> None:
        """Call off every timer and forget who has sent how much; for a server that stops."""
        self._manager.close()
        self._limiter.clear()

    async def _talk(self, websocket: WebSocket, connection: Connection, outbox: Outbox) -> None:
        metered = MeteredWebSocket(
            websocket,
            take=lambda: self._limiter.take(connection.user),
            rate=self._limiter.rate,
            size=self._settings.message_bytes,
        )

        async def hear(talk: Conversation, message: Join | Leave | Say | Typing) -> None:
            answer = await self._hear(connection, message)
            if answer is not None:
                connection.send(answer)

        await converse(
            metered,
            hear,
            model=ChatIn,
            writer=outbox.write,
            idle_timeout=self._settings.idle_seconds,
            send_timeout=self._settings.send_seconds,
        )

    async def _hear(self, connection: Connection, message: Join | Leave | Say | Typing) -> Error | None:
        """Do what a message asks for, or say in an `Error` why not."""
        expected: str | None = None
        if isinstance(message, Join):
            expected = await self._join(connection, message.room)
        elif isinstance(message, Leave):
            self._manager.leave(connection, message.room)
        elif message.room not in connection.rooms:
            expected = "a room that you have joined"
        elif isinstance(message, Say):
            self._say(connection, message)
        else:
            self._type(connection, message)
        return Error(field="room", expected=expected, id=message.id) if expected else None

    async def _join(self, connection: Connection, room: str) -> str | None:
        if room not in connection.rooms and len(connection.rooms) >= self._settings.rooms_per_connection:
            return f"at most {self._settings.rooms_per_connection} rooms at once, leave one first"
        allowed = self._may_join(connection.user, room)
        if not (await allowed if inspect.isawaitable(allowed) else allowed):
            return "a room that is open to you"
        self._manager.join(connection, room)
        return None

    def _say(self, connection: Connection, say: Say) -> None:
        message = ChatMessage(room=say.room, user=connection.user, text=say.text, id=say.id)
        self._manager.to_room(say.room, message)

    def _type(self, connection: Connection, typing: Typing) -> None:
        text = IsTyping(room=typing.room, user=connection.user).encode()
        for member in connection.rooms[typing.room].members:
            if member.user != connection.user:
                member.deliver(text)


@contextmanager
def expiring(session: Session, connection: Connection) -> Iterator[None]:
    """End the connection with 4001 when its session ends; the timer goes with the block."""
    seconds = max(0.0, session.expires - time.time())
    reason = "the session has expired, log in again"
    timer = asyncio.get_running_loop().call_later(seconds, connection.end, CloseCode.AUTH_REQUIRED, reason)
    try:
        yield
    finally:
        timer.cancel()
