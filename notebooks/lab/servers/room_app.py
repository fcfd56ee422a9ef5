"""An app for a room that a notebook defines: each client of ``/ws`` is handed to ``room.talk(websocket)``.

A room that shares an engine such as Valkey with other servers also has ``room.follow(ready)``. It passes on what the
engine sends, sets the event `ready` once it misses nothing any more, and ends with
`redis.exceptions.ConnectionError` when the engine is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from redis.exceptions import ConnectionError as EngineAway

__all__ = ["Room", "room_app"]

Room = Any
"""Made by the lesson: it has `talk`, and perhaps `follow` and `engine`, a `redis.asyncio.Redis`."""


async def _soon() -> None:
    await asyncio.sleep(0.1)


def room_app(room: Room, *, before_retry: Callable[[], Awaitable[object]] = _soon) -> FastAPI:
    """Return an app whose clients at ``/ws`` are handed to the room: ``serve(room_app(room))``.

    For each client the app awaits ``room.talk(websocket)``. If the room has a method `follow`, the app runs
    ``room.follow(ready)`` beside its clients for as long as the server runs, and accepts the first client only when
    the room has called ``ready.set()``. When the engine is gone, the app awaits ``before_retry()``, by default 0.1 s,
    and calls `follow` again. At the end it closes ``room.engine``.
    """
    app = FastAPI(lifespan=_listening(room, before_retry) if hasattr(room, "follow") else None)
    app.websocket("/ws")(room.talk)
    return app


def _listening(room: Room, before_retry: Callable[[], Awaitable[object]]) -> Callable[[FastAPI], Any]:
    async def follow(ready: asyncio.Event) -> None:
        while True:
            try:
                await room.follow(ready)
            except EngineAway:
                await before_retry()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ready = asyncio.Event()
        async with room.engine:
            listening = asyncio.create_task(follow(ready))
            is_ready = asyncio.create_task(ready.wait())
            try:
                await asyncio.wait([listening, is_ready], return_when=asyncio.FIRST_COMPLETED)
                if listening.done():
                    listening.result()  # raises what is wrong with it
                yield
            finally:
                listening.cancel()
                is_ready.cancel()
                await asyncio.wait([listening, is_ready])

    return lifespan
