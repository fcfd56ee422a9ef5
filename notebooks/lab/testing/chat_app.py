"""The chat of lesson 03 as an app, for the tests in the notebooks about testing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fastapi import FastAPI, WebSocket

from .room import Room, listen, write

__all__ = ["chat_app"]


def chat_app(delays: Mapping[str, float] | None = None) -> FastAPI:
    """Return a new app with an empty room; run it with ``serve(chat_app())``.

    ``/ws/ana`` is Ana's way in. Everybody who is in the room hears ``ana is here``, and each text that she sends as
    ``ana: hello``. ``app.state.room.outboxes`` has an outbox for each name that is listed, and
    ``app.state.room.visits`` counts who has come in. `delays` says for how many seconds somebody waits between the
    handshake and the room, as if a database looked the name up: ``chat_app(delays={"ben": 0.5})``.
    """
    app = FastAPI()
    app.state.room = room = Room()

    @app.websocket("/ws/{name}")
    async def door(websocket: WebSocket, name: str) -> None:
        await websocket.accept()
        await asyncio.sleep((delays or {}).get(name, 0))
        outbox = room.enter(name, websocket)
        room.put(f"{name} is here")
        writer = asyncio.create_task(write(websocket, outbox))
        try:
            await listen(websocket, name, room.put_later)
        finally:
            room.remove(name)
            writer.cancel()
            await asyncio.wait([writer])

    return app
