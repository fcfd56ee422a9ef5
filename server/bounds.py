"""How much an HTTP request may bring, how often, and what it is answered beyond that."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message, Receive

from .limits import RateLimiter

__all__ = ["away", "bounded", "take"]

AWAY_SECONDS = 1  # until a client may ask again that was told that the log is away


def away() -> HTTPException:
    """The answer while the log does not answer: 503."""
    return HTTPException(503, "the log is away; try again", headers={"Retry-After": str(AWAY_SECONDS)})


async def take(limiter: RateLimiter, user: str) -> None:
    """Count one request of a user.

    Raises:
        HTTPException: 429, it is one too many.
    """
    if not await limiter.take(user):
        retry = {"Retry-After": str(max(1, math.ceil(1 / limiter.rate)))}
        raise HTTPException(429, f"more than {limiter.rate:g} requests per second", headers=retry)


def bounded(size: int) -> type[APIRoute]:
    """A class of routes that read at most so many bytes of a body, and answer a longer one with 413."""

    class BoundedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_bounded(request: Request) -> Response:
                return await handle(Request(request.scope, _bounded(request.receive, size)))

            return handle_bounded

    return BoundedRoute


def _bounded(receive: Receive, size: int) -> Receive:
    read = 0

    async def receive_bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > size:
            raise HTTPException(413, f"the body is over {size} bytes; send less")
        return message

    return receive_bounded
