"""The room of lesson 03: an outbox for each name, and a writer for each outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import WebSocket, WebSocketDisconnect

__all__ = ["Room", "listen", "write"]

OUTBOX = 100  # messages


class Room:
    """Who is here."""

    def __init__(self) -> None:
        self.outboxes: dict[str, asyncio.Queue[str]] = {}
        self.websockets: dict[str, WebSocket] = {}
        self.visits = 0

    def enter(self, name: str, websocket: WebSocket) -> asyncio.Queue[str]:
        """List somebody, and return the new outbox."""
        self.websockets[name] = websocket
        self.outboxes[name] = asyncio.Queue(OUTBOX)
        self.visits += 1
        return self.outboxes[name]

    def remove(self, name: str) -> None:
        """Take somebody off the list."""
        self.outboxes.pop(name, None)
        self.websockets.pop(name, None)

    def put(self, text: str) -> None:
        """Put a text into each outbox that has a place for it."""
        for outbox in self.outboxes.values():
            if not outbox.full():
                outbox.put_nowait(text)

    async def put_later(self, text: str) -> None:
        """Do the same as `put`, for `listen`."""
        self.put(text)


async def write(websocket: WebSocket, outbox: asyncio.Queue[str]) -> None:
    """Send what is put into the outbox, until it is cancelled."""
    while True:
        await websocket.send_text(await outbox.get())


async def listen(websocket: WebSocket, name: str, tell: Callable[[str], Awaitable[None]]) -> bool:
    """Tell the room what the client says until it leaves, and return whether it said goodbye."""
    while True:
        try:
            text = await websocket.receive_text()
        except WebSocketDisconnect as left:
            return left.code not in (1005, 1006)
        await tell(f"{name}: {text}")
