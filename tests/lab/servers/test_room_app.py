"""An app for a room: clients are handed to it, and it listens again after the engine went away."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

import pytest
from fastapi import WebSocket
from lab.observe.server_loop import run_on_server
from lab.servers.room_app import room_app
from redis.exceptions import ConnectionError as EngineAway
from websockets.sync.client import connect

from server import StartError, serve


class _Room:
    """An engine of several servers in one queue, which breaks on demand."""

    def __init__(self) -> None:
        self.engine = nullcontext()
        self.here: list[WebSocket] = []
        self.said: asyncio.Queue[str] = asyncio.Queue()
        self.listened = 0

    async def talk(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.here.append(websocket)
        async for text in websocket.iter_text():
            self.said.put_nowait(text)

    async def follow(self, ready: asyncio.Event) -> None:
        self.listened += 1
        ready.set()
        while (text := await self.said.get()) != "break":
            for websocket in self.here:
                await websocket.send_text(text)
        raise EngineAway("gone")


class _Silent:
    async def talk(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("alone")


class _Broken(_Silent):
    engine = nullcontext()

    async def follow(self, ready: asyncio.Event) -> None:
        raise ValueError("no such channel")


def test_room_listens_again_when_it_is_time() -> None:
    """What is said goes through the engine to everybody; after a break, from `before_retry` on."""
    room, back = _Room(), asyncio.Event()

    async def open_the_gate() -> None:
        back.set()

    app = room_app(room, before_retry=back.wait)
    with serve(app) as server, connect(server.url("/ws")) as ana, connect(server.url("/ws")) as ben:
        ana.send("hello")
        assert [ana.recv(timeout=15), ben.recv(timeout=15)] == ["hello", "hello"]
        ana.send("break")
        ana.send("again")
        run_on_server(server, asyncio.sleep(0))
        assert room.listened == 1
        run_on_server(server, open_the_gate())
        assert ben.recv(timeout=15) == "again"
        assert room.listened == 2


def test_room_without_an_engine_only_talks() -> None:
    """A room needs nothing but `talk`."""
    with serve(room_app(_Silent())) as server, connect(server.url("/ws")) as client:
        assert client.recv(timeout=15) == "alone"


def test_server_of_a_room_that_cannot_listen_does_not_start() -> None:
    """A mistake in `follow` is told at once, and nobody waits for `ready`."""
    with pytest.raises(StartError):
        serve(room_app(_Broken()))
