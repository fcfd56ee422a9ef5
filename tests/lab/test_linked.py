"""A room in several servers: what is said goes through the link, which is followed again after the engine went away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from fastapi import FastAPI, WebSocket
from lab.inside import inside
from lab.linked import linked
from redis.exceptions import ConnectionError as EngineAway
from websockets.sync.client import connect

from server import serve


class _Outbox:
    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    def put(self, text: str) -> None:
        self._task = asyncio.create_task(self._websocket.send_text(text))


def _seat(websocket: WebSocket) -> AbstractAsyncContextManager[_Outbox]:
    return nullcontext(_Outbox(websocket))


def _room_of(broadcast: Callable[..., Any], seat: Callable[..., Any], **options: Any) -> FastAPI:
    app = FastAPI(**options)
    app.state.here = []

    @app.websocket("/ws")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        async with seat(websocket) as member:
            app.state.here.append(member)
            async for text in websocket.iter_text():
                await broadcast(app.state.here, text)

    return app


class _Link:
    """An engine of two processes in one queue, which breaks on demand."""

    def __init__(self) -> None:
        self.engine = nullcontext()
        self.said: asyncio.Queue[str] = asyncio.Queue()
        self.listened = 0

    async def publish(self, text: str) -> None:
        self.said.put_nowait(text)

    async def listen(self, deliver: Callable[[str], None], ready: asyncio.Event) -> None:
        self.listened += 1
        ready.set()
        while (text := await self.said.get()) != "break":
            deliver(text)
        raise EngineAway("gone")


def test_what_is_said_comes_back_through_the_link() -> None:
    """Once to everybody, the speaker included; and after a break, when it is time to come back."""
    link, back = _Link(), asyncio.Event()

    async def open_the_gate() -> None:
        back.set()

    room = linked(_room_of, _seat, link, come_back=back.wait)
    with serve(room) as server, connect(server.url("/ws")) as ana, connect(server.url("/ws")) as ben:
        ana.send("hello")
        assert [ana.recv(timeout=3), ben.recv(timeout=3)] == ["hello", "hello"]
        ana.send("break")
        ana.send("again")
        inside(server, asyncio.sleep(0))
        assert link.listened == 1
        inside(server, open_the_gate())
        assert ben.recv(timeout=3) == "again"
        assert link.listened == 2
