"""The chat endpoint: what becomes of a connection, and of each message that comes over it (lesson 03)."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Protocol

from fastapi import WebSocket
from pydantic import Field, TypeAdapter

from .broadcasting import Outbox, Prepared, open_outbox
from .broker import Broker, Position, Record, UnavailableError
from .echo import Conversation, Ended, converse
from .errors import StartError
from .feed import Feed, Feeds
from .identity import Door, refuse
from .limits import MeteredWebSocket, RateLimiter
from .manager import Connection, FullError, Manager
from .messages import (
    Ack,
    ChatIn,
    ChatMessage,
    CloseCode,
    Error,
    IsTyping,
    Join,
    Joined,
    Leave,
    Reset,
    Say,
    Stored,
    Typing,
    Watch,
    Welcome,
)
from .notifications import Notifications, Watching
from .rollcall import Present, Rollcall
from .settings import Settings
from .tickets import Session

__all__ = ["Attendance", "Chat", "MayJoin", "RoomWording", "everybody", "expiring", "topic_of"]

_log = logging.getLogger(__name__)

MayJoin = Callable[[str, str], Awaitable[bool] | bool]
"""Takes a user and the name of a room, and says whether that user may come in."""

LONGEST_DEVICE = 64  # characters of a device's name
SIGNAL: TypeAdapter[IsTyping | Present] = TypeAdapter(Annotated[IsTyping | Present, Field(discriminator="type")])
UNAVAILABLE = "the server to reach its log, which is away; try again in a moment"


def everybody(user: str, room: str) -> bool:
    """Every room is open to everybody."""
    return True


def topic_of(room: str) -> str:
    """The broker's topic for a room."""
    return f"room:{room}"


class Attendance(Protocol):
    """Who wants to know of every connection."""

    def enter(self, connection: Connection, outbox: Outbox, websocket: WebSocket) -> None:
        """It has come."""

    def leave(self, connection: Connection, ended: Ended) -> None:
        """It has ended."""


class RoomWording:
    """How the log of one room is said to its members."""

    def __init__(self, room: str, rollcall: Rollcall) -> None:
        self._room = room
        self._rollcall = rollcall

    def record(self, record: Record) -> Prepared:
        """A `ChatMessage` with its position and time."""
        message = ChatMessage.model_validate_json(record.payload)
        placed = message.model_copy(update={"position": record.position, "time": record.time})
        return Prepared(placed.encode())

    def reset(self, position: Position) -> Prepared:
        """A `Reset`."""
        return Prepared(Reset(room=self._room, position=position).encode())

    def signal(self, payload: str) -> tuple[Prepared, str] | None:
        """An `IsTyping`, which is no news to whoever types; what another process says of its users is for us."""
        signal = SIGNAL.validate_json(payload)
        if isinstance(signal, IsTyping):
            return Prepared(payload), signal.user
        self._rollcall.hear(signal)
        return None


class Chat:
    """Serves every connection of one app; `connect` is the endpoint."""

    def __init__(
        self,
        settings: Settings,
        *,
        door: Door,
        manager: Manager,
        broker: Broker,
        feeds: Feeds,
        rollcall: Rollcall,
        notifications: Notifications,
        may_join: MayJoin = everybody,
        attendance: Attendance | None = None,
    ) -> None:
        self._attendance = attendance
        self._settings = settings
        self._door = door
        self._manager = manager
        self._broker = broker
        self._feeds = feeds
        self._rollcall = rollcall
        self._notifications = notifications
        self._may_join = may_join
        self._limiter = RateLimiter(rate=settings.messages_per_second, burst=settings.message_burst)

    async def connect(self, websocket: WebSocket) -> None:
        """Admit a client, register it, and talk with it until either side ends it.

        The address may name the client's device (``/ws?device=phone``), so that two pages of one
        browser count as one.

        Raises:
            StartError: the app's lifespan does not run, as when it is mounted in another app without it.
        """
        if not self._feeds.is_open:
            raise StartError(
                "the chat is not open, because an app that is mounted in another has no lifespan of its own; "
                "make the other with FastAPI(lifespan=app.router.lifespan_context)"
            )
        session = await self._door.admit(websocket)
        device = websocket.query_params.get("device", "")
        if len(device) > LONGEST_DEVICE:
            await refuse(websocket, 400, CloseCode.POLICY_VIOLATION, f"device is over {LONGEST_DEVICE} characters")
        outbox = open_outbox(
            websocket,
            messages=self._settings.outbox_messages,
            size=self._settings.outbox_bytes,
            seconds=self._settings.send_seconds,
        )
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
        feeds: dict[str, Feed] = {}
        watching = Watching(self._notifications, connection)

        async def hear(talk: Conversation, message: Join | Leave | Say | Typing | Watch | Ack) -> None:
            if isinstance(message, Watch | Ack):
                await watching.hear(message)
                return
            expected = await self._hear(connection, feeds, message)
            if expected is not None:
                field = "room" if expected != UNAVAILABLE else None
                connection.send(Error(field=field, expected=expected, id=message.id))

        started = time.monotonic()
        ended = Ended(CloseCode.INTERNAL_ERROR)
        if self._attendance is not None:
            self._attendance.enter(connection, outbox, websocket)
        try:
            ended = await converse(
                metered,
                hear,
                model=ChatIn,
                writer=outbox.writer,
                idle_timeout=self._settings.idle_seconds,
                send_timeout=self._settings.send_seconds,
            )
            about = {"user": connection.user, "code": int(ended.code), "seconds": round(time.monotonic() - started, 3)}
            _log.info("connection ended", extra=about)
        finally:
            if self._attendance is not None:
                self._attendance.leave(connection, ended)
            for feed in feeds.values():
                feed.leave(connection)
            await watching.stop()

    async def _hear(
        self, connection: Connection, feeds: dict[str, Feed], message: Join | Leave | Say | Typing
    ) -> str | None:
        """Do what a message asks for, or say what would have had to be otherwise."""
        try:
            if isinstance(message, Join):
                return await self._join(connection, feeds, message)
            if isinstance(message, Leave):
                self._leave(connection, feeds, message.room)
            elif message.room not in connection.rooms:
                return "a room that you have joined"
            elif isinstance(message, Say):
                await self._say(connection, feeds[message.room], message)
            else:
                typing = IsTyping(room=message.room, user=connection.user)
                await self._broker.signal(topic_of(message.room), typing.encode())
        except UnavailableError:
            return UNAVAILABLE
        return None

    async def _join(self, connection: Connection, feeds: dict[str, Feed], join: Join) -> str | None:
        room = join.room
        if room not in connection.rooms and len(connection.rooms) >= self._settings.rooms_per_connection:
            return f"at most {self._settings.rooms_per_connection} rooms at once, leave one first"
        allowed = self._may_join(connection.user, room)
        if not (await allowed if inspect.isawaitable(allowed) else allowed):
            return "a room that is open to you"
        if room in feeds:
            feeds.pop(room).leave(connection)
        is_first = self._manager.room(room) is None
        self._manager.join(connection, room)

        def opening(position: Position, complete: bool) -> Prepared:
            return Prepared(Joined(room=room, position=position, complete=complete, id=join.id).encode())

        try:
            feeds[room] = await self._feeds.join(
                topic_of(room), connection, RoomWording(room, self._rollcall), opening, after=join.after, last=join.last
            )
        except UnavailableError:
            self._manager.leave(connection, room)
            raise
        if is_first:
            self._rollcall.ask(room)
        return None

    def _leave(self, connection: Connection, feeds: dict[str, Feed], room: str) -> None:
        if room in feeds:
            feeds.pop(room).leave(connection)
        self._manager.leave(connection, room)

    async def _say(self, connection: Connection, feed: Feed, say: Say) -> None:
        before = feed.position
        message = ChatMessage(room=say.room, user=connection.user, text=say.text, id=say.id)
        # of any length and character, and still nobody's else
        named = json.dumps([connection.user, say.key]).encode()
        key = None if say.key is None else hashlib.sha256(named).hexdigest()
        position = await self._broker.publish(topic_of(say.room), message.encode(), key=key)
        if position.epoch == before.epoch and position.offset <= before.offset:
            feed.flush()
            connection.send(Stored(room=say.room, position=position, id=say.id))


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
