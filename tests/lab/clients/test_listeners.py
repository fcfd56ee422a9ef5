"""Cheap clients: each message is counted by its frame, and a client that receives nothing is named."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from lab.clients.listeners import Audience
from lab.observe.server_loop import run_on_server

from server import BackgroundServer, serve
from server.run.registry import entered

TEXTS = ["", "hi", "x" * 125, "x" * 126, "x" * 70_000]


def _hall(members: list[WebSocket]) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def sit(websocket: WebSocket) -> None:
        members.append(websocket)  # a client may have its 101 before the next line runs here
        await websocket.accept()
        await websocket.receive()

    return app


def _tell(server: BackgroundServer, members: list[WebSocket], text: str) -> None:
    async def tell() -> None:
        for websocket in members:
            await websocket.send_text(text)

    run_on_server(server, tell())


@pytest.mark.parametrize("deflate", [False, True])
def test_each_message_is_one_message_whatever_its_length(deflate: bool) -> None:
    """Frames of every form of length are separated, compressed or not, also when several come in one piece."""
    members: list[WebSocket] = []
    with serve(_hall(members)) as server, Audience(server.url("/ws"), 60, deflate=deflate) as audience:
        for text in TEXTS:
            _tell(server, members, text)
        assert audience.receive(len(TEXTS)) > 0
        _tell(server, members, "one more")
        assert audience.count_received(2, timeout=0.05) == 1


def test_pings_are_no_messages() -> None:
    """A control frame between two messages is not counted."""
    members: list[WebSocket] = []
    often: dict[str, Any] = {"ws_ping_interval": 0.01, "ws_ping_timeout": None}
    with serve(_hall(members), **often) as server, Audience(server.url("/ws"), 1) as audience:
        with pytest.raises(TimeoutError):
            audience.receive(1, timeout=0.1)
        _tell(server, members, "hi")
        audience.receive(1)
        assert audience.count_received(1, timeout=0.05) == 0


def test_listener_who_hears_too_little_is_named() -> None:
    """The error says which client has how many of how many messages."""
    members: list[WebSocket] = []
    with serve(_hall(members)) as server, Audience(server.url("/ws"), 3) as audience:
        one = next(member for member in members if member.client and member.client.port == audience.ports[1])
        _tell(server, [member for member in members if member is not one], "hi")
        with pytest.raises(TimeoutError, match=r"listener 1 has 0 of 1 messages after 0\.1 s"):
            audience.receive(1, timeout=0.1)
        assert audience.count_received(1, among=slice(0, 2), timeout=0.05) == 0


def test_refused_handshake_is_told_and_leaves_nothing() -> None:
    """A path that is not there raises with the status, and no socket stays open."""
    with serve(_hall([])) as server:
        with pytest.raises(RuntimeError, match=r"the handshake was refused: HTTP/1\.1 403"):
            Audience(server.url("/nowhere"), 2).start()
        assert not entered(Audience)
    with pytest.raises(ValueError, match="an audience of 0 receives nothing"):
        Audience("ws://127.0.0.1:1/ws", 0)


def test_audience_leaves_with_its_block() -> None:
    """Every connection ends when the block ends, and stopping again is harmless."""
    with serve(_hall([])) as server:
        with Audience(server.url("/ws"), 5) as audience:
            assert server.connections == 5
            assert len(set(audience.ports)) == 5
        audience.stop()
        assert not entered(Audience)
