"""The inbox over HTTP: who may push puts something in (lesson 05)."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.types import Message

from .broker import PayloadError, UnavailableError
from .identity import Door
from .limits import RateLimiter
from .messages import Place
from .notifications import Notifications
from .settings import Settings

__all__ = ["InboxRoutes", "Push", "Pushed"]

AWAY_SECONDS = 1  # until a client may ask again that was told that the log is away

UserId = Annotated[str, Path(min_length=1, max_length=190, description="The user as its session names it.")]


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


class InboxRoutes:
    """The routes of one app."""

    def __init__(self, settings: Settings, *, door: Door, notifications: Notifications) -> None:
        """Take the limits from `settings`."""
        self._size = settings.message_bytes
        self._door = door
        self._notifications = notifications
        self._pushes = RateLimiter(rate=settings.pushes_per_second, burst=settings.push_burst)

    @property
    def routes(self) -> APIRouter:
        """``POST /users/{user}/notifications``."""
        router = APIRouter(tags=["notifications"], route_class=bounded(self._size))
        router.post(
            "/users/{user}/notifications",
            status_code=202,
            summary="Notify a user on all devices",
            dependencies=[Depends(self._admit_pusher)],
        )(self.push)
        return router

    async def push(self, user: UserId, push: Push) -> Pushed:
        """Store a notification; from the 202 on it reaches every device of the user, at least once.

        After any other answer, or none, push again with the same key.
        """
        try:
            position = await self._notifications.push(
                user, kind=push.kind, text=push.text, data=push.data, key=push.key
            )
        except PayloadError as error:
            raise HTTPException(413, str(error)) from None
        except UnavailableError:
            raise away() from None
        return Pushed(position=position)

    def close(self) -> None:
        """Forget who has sent how much; for a server that stops."""
        self._pushes.clear()

    async def _admit_pusher(self, request: Request) -> None:
        session = self._door.identify(request, scope="push")
        await take(self._pushes, session.user)


def away() -> HTTPException:
    """The answer while the log does not answer."""
    return HTTPException(503, "the log is away; try again", headers={"Retry-After": str(AWAY_SECONDS)})


async def take(limiter: RateLimiter, user: str) -> None:
    """Count one request.

    Raises:
        HTTPException: 429, it is one too many.
    """
    if not await limiter.take(user):
        seconds = max(1, math.ceil(1 / limiter.rate))
        raise HTTPException(
            429, f"more than {limiter.rate:g} requests per second", headers={"Retry-After": str(seconds)}
        )


def bounded(size: int) -> type[APIRoute]:
    """Routes that read a body of at most so many bytes, and answer a longer one with 413."""

    class BoundedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_bounded(request: Request) -> Response:
                return await handle(Request(request.scope, _bounded(request, size)))

            return handle_bounded

    return BoundedRoute


def _bounded(request: Request, size: int) -> Callable[[], Coroutine[Any, Any, Message]]:
    read = 0

    async def receive() -> Message:
        nonlocal read
        message = await request.receive()
        read += len(message.get("body", b""))
        if read > size:
            raise HTTPException(413, f"the body is over {size} bytes")
        return message

    return receive
