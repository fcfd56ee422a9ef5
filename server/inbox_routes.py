"""The inbox over HTTP: programs push into it, and its user polls it, waits for it, or streams it (lesson 05)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from .bounds import away, take
from .broker import History, PayloadError, Position, Record, UnavailableError
from .identity import Door
from .inbox import Inbox, PositionError, notification_of
from .inbox_stream import EventStream
from .limits import RateLimiter
from .messages import Notification, Place
from .notifications import Notifications
from .settings import Settings
from .waiting import Visitor, WaitingRoom

__all__ = ["Acknowledge", "InboxRoutes", "Page", "Push", "Pushed", "Unread"]

PAGE = 100  # notifications that one answer holds at most
LONGEST_WAIT = 30.0  # seconds: proxies give up on a silent answer after 60

PLACE = r"^[^:\s]{1,64}:[0-9]{1,15}$"
UserId = Annotated[str, Path(min_length=1, max_length=190, description="The user, as its session names it.")]
After = Annotated[str | None, Query(pattern=PLACE, description="EPOCH:OFFSET, as an answer had it.")]
Last = Annotated[int, Query(ge=0, le=PAGE, description="Without `after`: the last so many.")]
Wait = Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait where there is nothing new.")]
LastEventId = Annotated[str | None, Header(pattern=PLACE)]


class Push(BaseModel):
    """Something that a user should know."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    kind: Annotated[str, Field(min_length=1, max_length=64)]
    """What it is about, such as "order"."""
    text: Annotated[str, Field(min_length=1, max_length=2_000)]
    data: JsonValue = None
    """What a program needs to know of it."""
    key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """An idempotency key: pushed again with the same key, it is stored once."""


class Pushed(BaseModel):
    """It is stored, and will reach every device."""

    position: Place


class Acknowledge(BaseModel):
    """Everything up to here has been read."""

    model_config = ConfigDict(extra="forbid")

    position: Place


class Unread(BaseModel):
    """How much is unread."""

    read: Place | None
    """Everything up to here has been read, on any device."""
    unread: int
    newest: Place
    """What `unread` counts up to."""


class Page(Unread):
    """The next notifications, and where to go on."""

    notifications: list[Notification]
    """Oldest first; at most 100, ask again until there are none."""
    position: Place
    """Of the last of them, to go on after."""
    complete: bool
    """False where some of what came after the client's own position is kept no longer."""


class InboxRoutes:
    """The routes of one app; they work while they are open."""

    def __init__(self, settings: Settings, *, door: Door, notifications: Notifications) -> None:
        """Take the limits from `settings`."""
        self._settings = settings
        self._door = door
        self._notifications = notifications
        self._pushes = RateLimiter(rate=settings.pushes_per_second, burst=settings.push_burst)
        self._requests = RateLimiter(rate=settings.messages_per_second, burst=settings.message_burst)
        self.waiting = WaitingRoom(each=settings.connections_per_user, most=settings.connections)

    @property
    def routes(self) -> APIRouter:
        """``POST /users/{user}/notifications``, and for its user ``/notifications``."""
        router = APIRouter(tags=["notifications"])
        pusher, reader = [Depends(self._admit_pusher)], [Depends(self._admit)]
        size = self._settings.message_bytes
        router.post("/users/{user}/notifications", status_code=202, dependencies=pusher, max_body_size=size)(self.push)
        router.post("/notifications/read", dependencies=reader, max_body_size=size)(self.acknowledge)
        router.get("/notifications", dependencies=reader)(self.poll)
        streamed = [*reader, Depends(self._open_stream)]
        router.get("/notifications/stream", dependencies=streamed, response_class=EventSourceResponse)(self.stream)
        return router

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Let requests wait for the length of the block."""
        async with self.waiting.open():
            yield
        self._pushes.clear()
        self._requests.clear()

    # for programs

    async def push(self, user: UserId, push: Push) -> Pushed:
        """Store a notification; from the 202 on it reaches every device of the user, at least once.

        After any other answer, or none, push again with the same key.
        """
        try:
            position = await self._notifications.push(
                user, kind=push.kind, text=push.text, data=push.data, key=push.key
            )
        except PayloadError as error:
            raise HTTPException(422, str(error)) from None
        except UnavailableError:
            raise away() from None
        return Pushed(position=position)

    # for the user

    async def poll(self, request: Request, after: After = None, last: Last = 0, wait: Wait = 0) -> Page:
        """What came after a position, at once; or, with `wait`, as soon as there is something."""
        inbox = self._notifications.inbox(request.state.session.user)
        position = _position(after)
        try:
            history = await inbox.history(position, limit=last if position is None else PAGE)
            if wait and not history.records and history.complete:
                with self.waiting.enter(request, request.state.session) as visitor:
                    history = await self._wait(visitor, inbox, position or history.position, wait)
            standing = await inbox.standing()
        except UnavailableError:
            raise away() from None
        news = [notification_of(record) for record in history.records]
        return Page(
            notifications=news,
            position=news[-1].position if news else history.position,
            complete=history.complete,
            read=standing.read,
            unread=standing.unread,
            newest=standing.newest,
        )

    async def acknowledge(self, request: Request, acknowledge: Acknowledge) -> Unread:
        """Have everything up to a position read, on all devices; it never goes back."""
        try:
            inbox = self._notifications.inbox(request.state.session.user)
            standing = await inbox.acknowledge(acknowledge.position)
        except PositionError as error:
            raise HTTPException(422, f"position: expected {error}") from None
        except UnavailableError:
            raise away() from None
        return Unread(read=standing.read, unread=standing.unread, newest=standing.newest)

    async def stream(self, request: Request) -> AsyncIterator[ServerSentEvent]:
        """What a device that watches hears, as server-sent events; each type of message is a type of event."""
        events: EventStream = request.state.stream
        async for event in events.events():
            yield event

    async def _open_stream(
        self, request: Request, after: After = None, last: Last = 0, last_event_id: LastEventId = None
    ) -> AsyncIterator[None]:
        bounds = {"messages": self._settings.outbox_messages, "size": self._settings.outbox_bytes}
        with self.waiting.enter(request, request.state.session) as visitor:
            stream = EventStream(visitor, **bounds, seconds=self._settings.send_seconds)
            async with stream.open(self._notifications, after=_position(last_event_id or after), last=last):
                request.state.stream = stream
                yield

    async def _wait(self, visitor: Visitor, inbox: Inbox, after: Position, seconds: float) -> History:
        """The history once there is something in it, or the wait is over."""
        async with self._notifications.broker.subscribe(inbox.topic, _Bell(visitor)), visitor.until_gone():
            # again, now that nothing can come unheard
            history = await inbox.history(after, limit=PAGE)
            if history.records or not history.complete:
                return history
            try:
                async with asyncio.timeout(seconds):
                    await visitor.wait()
            except TimeoutError:
                pass
            return await inbox.history(after, limit=PAGE)

    async def _admit_pusher(self, request: Request) -> None:
        session = self._door.identify(request, scope="push")
        await take(self._pushes, session.user)

    async def _admit(self, request: Request) -> None:
        request.state.session = self._door.identify(request)
        await take(self._requests, request.state.session.user)


class _Bell:
    """Rings whatever the log says."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor

    def on_record(self, record: Record) -> None:
        """Ring."""
        self._visitor.notify()

    def on_signal(self, payload: str) -> None:
        """Nothing is ever signalled here."""

    def on_reset(self, position: Position) -> None:
        """Ring."""
        self._visitor.notify()


def _position(text: str | None) -> Position | None:
    """A position from the address of a request, or the id of an event."""
    if text is None:
        return None
    epoch, _, offset = text.rpartition(":")
    return Position(epoch, int(offset))
