"""A census of a server: each handler and task once, and nobody who has ended."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from lab.census import census
from websockets.sync.client import connect

from server import BackgroundServer, serve
from server.echo import Conversation, Echo, converse


def host(handler: Any) -> BackgroundServer:
    """Serve one handler on ``/ws``."""
    app = FastAPI()
    app.websocket("/ws")(handler)
    return serve(app)


async def echo(websocket: WebSocket) -> None:
    """A handler that ends with its client."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def ghost(websocket: WebSocket) -> None:
    """A handler that forgets its task."""
    await websocket.accept()
    websocket.app.state.task = asyncio.create_task(haunt())


async def haunt() -> None:
    """A task without an end."""
    await asyncio.Event().wait()


def test_each_handler_is_counted_while_its_client_is_there() -> None:
    """Handlers come and go with their clients, under the name of their function."""
    with host(echo) as server:
        assert str(census(server)) == "nobody"
        with connect(server.url("/ws")), connect(server.url("/ws")):
            assert census(server) == {"echo": 2}
            assert str(census(server)) == "2 echo"
        assert str(census(server)) == "nobody"
    assert str(census(server)) == "nobody"


def test_forgotten_task_is_counted() -> None:
    """A task that outlives its handler stays in the census, one for each client."""
    with host(ghost) as server:
        for count in (1, 2):
            with connect(server.url("/ws")):
                pass
            assert census(server) == {"haunt": count}


def test_tasks_of_the_package_have_their_own_names() -> None:
    """Children of `converse` are seen under the callback that they run."""

    async def tick(talk: Conversation) -> None:
        await asyncio.Event().wait()

    async def talk(websocket: WebSocket) -> None:
        await converse(websocket, Conversation.send, model=Echo, writer=tick)

    with host(talk) as server:
        with connect(server.url("/ws")):
            assert str(census(server)) == "1 talk, 1 tick"
        assert str(census(server)) == "nobody"


def test_blocked_loop_is_told() -> None:
    """A handler that blocks the loop ends the census with a TimeoutError, not with a hang."""
    blocked, go_on = threading.Event(), threading.Event()

    async def block(websocket: WebSocket) -> None:
        await websocket.accept()
        blocked.set()
        go_on.wait(10)

    with host(block) as server, connect(server.url("/ws")):
        assert blocked.wait(3)
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            census(server)
        assert time.monotonic() - start < 5
        go_on.set()
