"""Count ghosts: tasks that a handler started and that outlive it, for three ways in which a connection ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, WebSocket
from websockets.sync.client import connect

from server import serve

from .census import census
from .endings import end_of

__all__ = ["Ghosts", "count_ghosts"]

Handler = Callable[[WebSocket], Awaitable[None]]

EVENTS = ("the client leaves", "the reader fails", "the handler is cancelled")
PATIENCE = 0.05  # seconds until the deadline that cancels the handler


class Ghosts(dict[str, int]):
    """How many tasks were left after each event; shown with one event on each line."""

    def __str__(self) -> str:
        return "\n".join(f"{event:26}{'GHOST' if left else 'nobody left'}" for event, left in self.items())

    __repr__ = __str__


def count_ghosts(handler: Handler) -> Ghosts:
    """Run a WebSocket handler three times, and count the tasks that outlive it: ``count_ghosts(chat)``.

    The first time its client leaves. The second time its client sends ``boom``, and the handler's reader should
    raise. The third time the handler is cancelled by a deadline of 0.05 s. After each, `census` counts the tasks
    that still run. All three together take less than a second.

    Returns:
        A dict from what happened to the number of tasks; a notebook shows it as a table.
    """
    left = Ghosts()
    for event in EVENTS:
        with serve(_app(handler, PATIENCE if event == EVENTS[2] else None)) as server:
            with connect(server.url("/ws"), compression=None, proxy=None) as client:
                if event == EVENTS[0]:
                    client.close()
                if event == EVENTS[1]:
                    client.send("boom")
                if event != EVENTS[0]:
                    end_of(client)
            left[event] = sum(census(server).values())
    return left


def _app(handler: Handler, limit: float | None) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def endpoint(websocket: WebSocket) -> None:
        # a gatherer never ends by itself, so only the third event has a deadline
        async with asyncio.timeout(limit):
            await handler(websocket)

    return app
