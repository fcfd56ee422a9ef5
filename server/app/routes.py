"""The routes of the inbox: programs push notifications; users poll, stream and acknowledge them (lesson 05)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from ..access.auth import Authenticator
from ..access.http_errors import enforce_rate_limit, unavailable
from ..access.rate_limits import RateLimiter
from ..broker import History, PayloadError, Position, Record, UnavailableError
from ..inbox import Inbox, PositionError, check_depth, parse_notification, parse_records
from ..messages import Notification, Place
from ..messages.names import user_name
from ..notifications import Notifications
from ..settings import Settings
from .long_poll import WaitingRequest, WaitingRequests
from .sse import PLACE, EventStream, parse_position

__all__ = ["Acknowledge", "InboxRoutes", "Page", "Push", "Pushed", "Unread"]

PAGE = 100  # most notifications in one response
LONGEST_WAIT = 30.0  # seconds; proxies give up on a silent response after 60

UserId = Annotated[
    str,
    Path(description="The user's name, as in the session token; a slash in it may be sent as it is, or as %2F."),
    AfterValidator(user_name),
]
After = Annotated[str | None, Query(pattern=PLACE, description="EPOCH:OFFSET, from an earlier response.")]
Last = Annotated[int, Query(ge=0, le=PAGE, description="Without `after`: how many of the newest to return.")]
Wait = Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait if there is nothing new.")]
LastEventId = Annotated[str | None, Header(pattern=PLACE)]


class Push(BaseModel):
    """A notification to push."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    kind: Annotated[str, Field(min_length=1, max_length=64)]
    """What it is about, such as "order"."""
    text: Annotated[str, Field(min_length=1, max_length=2_000)]
    data: Annotated[JsonValue, AfterValidator(check_depth)] = None
    """Further details for programs; lists and objects may be nested 50 deep."""
    key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """An idempotency key: a notification that is pushed again with the same key is stored once."""


class Pushed(BaseModel):
    """The notification is stored, and will reach every device."""

    position: Place


class Acknowledge(BaseModel):
    """Mark everything up to a position as read."""

    model_config = ConfigDict(extra="forbid")

    position: Place


class Unread(BaseModel):
    """How many notifications are unread."""

    read: Place | None
    """Everything up to here has been read, on any of the user's devices."""
    unread: int
    newest: Place
    """The newest notification that `unread` counts."""


class Page(Unread):
    """The next notifications, and the position to continue after."""

    notifications: list[Notification]
    """Oldest first, at most 100; ask again until there are none."""
    position: Place
    """The position of the last of them; pass it as `after`."""
    complete: bool
    """False if some notifications after the client's position have expired or can't be read."""


class InboxRoutes:
    """The routes of one app; they work inside ``async with open()``."""

    def __init__(self, settings: Settings, *, authenticator: Authenticator, notifications: Notifications) -> None:
        """Use the limits in `settings`."""
        self._settings = settings
        self._authenticator = authenticator
        self._notifications = notifications
        self._push_limiter = RateLimiter(rate=settings.pushes_per_second, burst=settings.push_burst)
        self._byte_limiter = RateLimiter.per_day(settings.pushed_bytes_per_day)
        self._read_limiter = RateLimiter(rate=settings.messages_per_second, burst=settings.message_burst)
        self.waiting = WaitingRequests(per_user=settings.connections_per_user, total=settings.connections)

    @property
    def routes(self) -> APIRouter:
        """``POST /users/{user}/notifications`` for programs, and ``/notifications`` for the user."""
        router = APIRouter(tags=["notifications"])
        pusher, reader = [Depends(self._admit_pusher)], [Depends(self._admit)]
        size = self._settings.message_bytes
        router.post("/users/{user:path}/notifications", status_code=202, dependencies=pusher, max_body_size=size)(
            self.push
        )
        router.post("/notifications/read", dependencies=reader, max_body_size=size)(self.acknowledge)
        router.get("/notifications", dependencies=reader)(self.poll)
        streamed = [*reader, Depends(self._open_stream)]
        router.get("/notifications/stream", dependencies=streamed, response_class=EventSourceResponse)(self.stream)
        return router

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve for the length of the block; at its end, end every waiting request and reset the rate limits."""
        async with self.waiting.open():
            yield
        self._push_limiter.clear()
        self._byte_limiter.clear()
        self._read_limiter.clear()

    # for programs

    async def push(self, user: UserId, push: Push, request: Request) -> Pushed:
        """Store a notification. Once this has answered 202, it reaches every device of the user at least once.

        After any other response, or none, push again with the same key; after 422 it would be refused again.
        """
        size = len(await request.body())
        most = f"{self._byte_limiter.burst} bytes of notifications a day"
        await enforce_rate_limit(self._byte_limiter, request.state.session.user, size, most)
        try:
            inbox = self._notifications.inbox(user)
            position = await inbox.push(kind=push.kind, text=push.text, data=push.data, key=push.key)
        except PayloadError as error:
            raise HTTPException(422, str(error)) from None
        except UnavailableError as error:
            raise unavailable(error) from None
        return Pushed(position=position)

    # for the user

    async def poll(self, request: Request, after: After = None, last: Last = 0, wait: Wait = 0) -> Page:
        """Return what came after a position; with `wait`, wait until there is something."""
        inbox = self._notifications.inbox(request.state.session.user)
        position = parse_position(after)
        try:
            history = await inbox.history(position, limit=last if position is None else PAGE)
            if wait and not history.records and history.complete:
                with self.waiting.add(request, request.state.session) as waiting:
                    history = await self._wait(waiting, inbox, position or history.position, wait)
            state = await inbox.read_state()
        except UnavailableError as error:
            raise unavailable(error) from None
        notifications = list(parse_records(history.records, parse_notification))
        return Page(
            notifications=notifications,
            position=history.records[-1].position if history.records else history.position,
            complete=history.complete and len(notifications) == len(history.records),
            read=state.read,
            unread=state.unread,
            newest=state.newest,
        )

    async def acknowledge(self, request: Request, acknowledge: Acknowledge) -> Unread:
        """Mark everything up to a position as read, on all devices; the mark never moves back."""
        try:
            inbox = self._notifications.inbox(request.state.session.user)
            state = await inbox.acknowledge(acknowledge.position)
        except PositionError as error:
            raise HTTPException(422, f"position: expected {error}") from None
        except UnavailableError as error:
            raise unavailable(error) from None
        return Unread(read=state.read, unread=state.unread, newest=state.newest)

    async def stream(self, request: Request) -> AsyncIterator[ServerSentEvent]:
        """Stream what a watching device gets, as server-sent events; each message type is an event type."""
        events: EventStream = request.state.stream
        async for event in events.events():
            yield event

    async def _open_stream(
        self, request: Request, after: After = None, last: Last = 0, last_event_id: LastEventId = None
    ) -> AsyncIterator[None]:
        bounds = {"messages": self._settings.outbox_messages, "size": self._settings.outbox_bytes}
        with self.waiting.add(request, request.state.session) as waiting:
            stream = EventStream(waiting, **bounds, seconds=self._settings.send_seconds)
            async with stream.open(self._notifications, after=parse_position(last_event_id or after), last=last):
                request.state.stream = stream
                yield

    async def _wait(self, waiting: WaitingRequest, inbox: Inbox, after: Position, seconds: float) -> History:
        """Return the history as soon as it has something, or at the end of the wait."""
        async with self._notifications.broker.subscribe(inbox.topic, _Waker(waiting)), waiting.watch_disconnect():
            # again: something may have come before the subscription began
            history = await inbox.history(after, limit=PAGE)
            if history.records or not history.complete:
                return history
            try:
                async with asyncio.timeout(seconds):
                    await waiting.wait()
            except TimeoutError:
                pass
            return await inbox.history(after, limit=PAGE)

    async def _admit_pusher(self, request: Request) -> None:
        session = self._authenticator.authenticate_request(request, scope="push")
        await enforce_rate_limit(self._push_limiter, session.user)
        request.state.session = session

    async def _admit(self, request: Request) -> None:
        request.state.session = self._authenticator.authenticate_request(request)
        await enforce_rate_limit(self._read_limiter, request.state.session.user)


class _Waker:
    """A listener that wakes a waiting request."""

    def __init__(self, waiting: WaitingRequest) -> None:
        self._waiting = waiting

    def on_record(self, record: Record) -> None:
        """Wake the request."""
        self._waiting.notify()

    def on_signal(self, payload: str) -> None:
        """Do nothing: inboxes have no signals."""

    def on_reset(self, position: Position) -> None:
        """Wake the request."""
        self._waiting.notify()
