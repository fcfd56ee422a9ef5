"""A room of a lesson in several servers at once: what is said goes to an engine, and comes back to every server.

What the engine is used for is the lesson's, in a link: ``publish(text)`` sends, and ``listen(deliver, ready)``
calls `deliver` for what comes, sets the event `ready` when it hears, and goes on until the engine is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from redis.exceptions import ConnectionError as EngineAway

__all__ = ["linked"]

Link = Any
"""Made by the lesson: `publish`, `listen`, and `engine`, a `redis.asyncio.Redis` to close in the end."""


async def _soon() -> None:
    await asyncio.sleep(0.1)


def linked(
    room_of: Callable[..., Any],
    seat: Callable[..., Any],
    link: Link,
    *,
    come_back: Callable[[], Awaitable[object]] = _soon,
) -> Any:
    """The app of a room whose members `seat` makes, as ``room_of(broadcast, seat)``, linked to other servers.

    The server accepts when its link hears. Whenever the engine has gone, it awaits `come_back` and listens
    again, for as long as it lives.
    """

    async def publish(_: object, text: str) -> None:
        await link.publish(text)

    @asynccontextmanager
    async def following(app: Any) -> AsyncIterator[None]:
        def deliver(text: str) -> None:
            for outbox in app.state.here:
                outbox.put(text)

        ready = asyncio.Event()
        async with link.engine:
            task = asyncio.create_task(_follow(link, deliver, ready, come_back))
            try:
                await ready.wait()
                yield
            finally:
                task.cancel()
                await asyncio.wait([task])

    return room_of(publish, seat, lifespan=following)


async def _follow(
    link: Link, deliver: Callable[[str], None], ready: asyncio.Event, come_back: Callable[[], Awaitable[object]]
) -> None:
    while True:
        try:
            await link.listen(deliver, ready)
        except EngineAway:
            await come_back()
