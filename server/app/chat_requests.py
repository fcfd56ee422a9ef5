"""What each message of a connected client does, and the records of a room as its members get them (lesson 03)."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import WebSocketException
from pydantic import Field, TypeAdapter

from ..access.rate_limits import RateLimiter
from ..broker import Broker, Position, Record, UnavailableError
from ..broker.feed import Feed
from ..broker.feeds import Feeds
from ..echo import Conversation, Ended
from ..errors import ServerError
from ..inbox import PositionError
from ..manager import Connection, Manager
from ..messages import (
    Ack,
    ChatMessage,
    CloseCode,
    Error,
    IsTyping,
    Join,
    Joined,
    Leave,
    Message,
    Ping,
    Pong,
    Reset,
    Say,
    Stored,
    Typing,
    Watch,
)
from ..notifications import InboxSubscription, Notifications, unavailable_reason
from ..wire.prepared import Prepared
from .presence import PresenceReport, PresenceTracker

__all__ = ["ChatRequests", "MayJoin", "RequestError", "RoomEncoder", "Services", "room_topic"]

MayJoin = Callable[[str, str], Awaitable[bool] | bool]
"""Takes a user and the name of a room, and returns whether that user may join it."""

SIGNAL: TypeAdapter[IsTyping | PresenceReport] = TypeAdapter(
    Annotated[IsTyping | PresenceReport, Field(discriminator="type")]
)


class RequestError(ServerError):
    """A client asked for something that it can't have; the connection stays open, and the client gets an `Error`."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: expected {expected}")
        self.field = field
        self.expected = expected


def room_topic(room: str) -> str:
    """Return the broker's topic for a room."""
    return f"room:{room}"


class RoomEncoder:
    """Turns the records of one room's log into messages for its members."""

    def __init__(self, room: str, presence: PresenceTracker) -> None:
        self._room = room
        self._presence = presence

    def record(self, record: Record) -> Prepared:
        """Return a `ChatMessage` with the record's position and time.

        Raises:
            ValueError: the record isn't a message of this room.
        """
        message = ChatMessage.model_validate_json(record.payload)
        if message.room != self._room:
            raise ValueError("a message of another room")
        placed = message.model_copy(update={"position": record.position, "time": record.time})
        return Prepared(placed.encode())

    def own_record(self, record: Record) -> Prepared:
        """Return the same for a `ChatMessage` that this process has just encoded: add position and time to its text."""
        epoch, offset = json.dumps(record.position.epoch), record.position.offset
        position = f'"position":{{"epoch":{epoch},"offset":{offset}}},"time":{record.time!r}}}'
        return Prepared(f"{record.payload[:-1]},{position}")

    def reset(self, position: Position) -> Prepared:
        """Return a `Reset`."""
        return Prepared(Reset(room=self._room, position=position).encode())

    def signal(self, payload: str) -> tuple[Prepared, str] | None:
        """Return an `IsTyping` and the user to leave out; pass another process's presence report on, return None."""
        signal = SIGNAL.validate_json(payload)
        if isinstance(signal, IsTyping):
            return Prepared(payload), signal.user
        self._presence.receive(signal)
        return None


@dataclass(frozen=True, kw_only=True)
class Services:
    """What every connection of one app shares."""

    manager: Manager
    broker: Broker
    feeds: Feeds
    presence: PresenceTracker
    notifications: Notifications
    may_join: MayJoin
    rooms_per_connection: int
    messages: RateLimiter
    """Messages of each user."""
    joins: RateLimiter
    """Joins, leaves and watches of each user."""
    stored_bytes: RateLimiter
    """Bytes of messages that each user has stored."""


class ChatRequests:
    """Does what the messages of one connection ask for."""

    __slots__ = ("_connection", "_feeds", "_inbox", "_services", "ended")

    def __init__(self, services: Services, connection: Connection) -> None:
        self.ended = Ended(CloseCode.INTERNAL_ERROR)
        """How the connection ended; an internal error until something else is known."""
        self._services = services
        self._connection = connection
        self._feeds: dict[str, Feed] = {}  # by room
        self._inbox: InboxSubscription | None = None  # until the client asks for it

    async def meter(self, message: Message) -> None:
        """Count a message against its user's rate limit.

        Raises:
            WebSocketException: 4002, the user has sent too many.
        """
        is_join = isinstance(message, Join | Leave | Watch)
        limiter, kind = (self._services.joins, "joins") if is_join else (self._services.messages, "messages")
        if not await limiter.try_acquire(self._connection.user):
            raise WebSocketException(CloseCode.KICKED_FOR_SPAM, f"more than {limiter.rate:g} {kind} per second")

    async def handle(self, talk: Conversation, message: Join | Leave | Say | Typing | Watch | Ack | Ping) -> None:
        """Do what one message asks for, or answer it with an `Error`."""
        try:
            match message:
                case Say(room=room) | Typing(room=room) if room not in self._connection.rooms:
                    raise RequestError("room", "a room that you have joined")
                case Say():
                    await self._say(message)
                case Typing(room=room):
                    typing = IsTyping(room=room, user=self._connection.user)
                    await self._services.broker.signal(self._feeds[room].topic, typing.encode())
                case Join():
                    await self._join(message)
                case Leave(room=room):
                    self._leave(room)
                case Watch():
                    await self._open_inbox().watch(after=message.after, last=message.last, id=message.id)
                case Ack(position=position):
                    await self._open_inbox().acknowledge(position)
                case Ping():
                    self._connection.send(Pong(id=message.id))
        except RequestError as error:
            self._connection.send(Error(field=error.field, expected=error.expected, id=message.id))
        except PositionError as error:
            self._connection.send(Error(field="position", expected=str(error), id=message.id))
        except UnavailableError as error:
            self._connection.send(Error(expected=unavailable_reason(error), id=message.id))

    async def close(self) -> None:
        """Leave every feed, and stop watching the inbox."""
        for feed in self._feeds.values():
            feed.leave(self._connection)
        if self._inbox is not None:
            await self._inbox.stop()

    def _open_inbox(self) -> InboxSubscription:
        if self._inbox is None:
            self._inbox = InboxSubscription(self._services.notifications, self._connection)
        return self._inbox

    async def _say(self, say: Say) -> None:
        services, user = self._services, self._connection.user
        feed = self._feeds[say.room]
        payload = ChatMessage(room=say.room, user=user, text=say.text, id=say.id).encode()
        size = len(payload.encode())
        if not await services.stored_bytes.try_acquire(user, size):
            wait = math.ceil(size / services.stored_bytes.rate)
            limit = f"at most {services.stored_bytes.burst} bytes of messages a day; try again in {wait} s"
            raise RequestError("text", limit)
        # a hash, because a client's key may have any length and character; with the user, so that no two users collide
        named = json.dumps([user, say.key]).encode()
        key = None if say.key is None else hashlib.sha256(named).hexdigest()
        position, is_new = await feed.publish(payload, key=key)
        if not is_new:
            feed.flush()
            self._connection.send(Stored(room=say.room, position=position, id=say.id))

    async def _join(self, join: Join) -> None:
        services, connection, room = self._services, self._connection, join.room
        most = services.rooms_per_connection
        if room not in connection.rooms and len(connection.rooms) >= most:
            raise RequestError("room", f"at most {most} rooms at once, leave one first")
        allowed = services.may_join(connection.user, room)
        if not (await allowed if inspect.isawaitable(allowed) else allowed):
            raise RequestError("room", "a room that is open to you")
        if room in self._feeds:
            self._feeds.pop(room).leave(connection)
        is_first = services.manager.room(room) is None
        services.manager.join(connection, room)

        def opening(position: Position, complete: bool) -> Prepared:
            return Prepared(Joined(room=room, position=position, complete=complete, id=join.id).encode())

        encoder = RoomEncoder(room, services.presence)
        try:
            self._feeds[room] = await services.feeds.join(
                room_topic(room), connection, encoder, opening, after=join.after, last=join.last
            )
        except UnavailableError:
            services.manager.leave(connection, room)
            raise
        if is_first:
            services.presence.request(room)

    def _leave(self, room: str) -> None:
        if room in self._feeds:
            self._feeds.pop(room).leave(self._connection)
        self._services.manager.leave(self._connection, room)
