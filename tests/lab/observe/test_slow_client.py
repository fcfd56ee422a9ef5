"""Ben's phone in a tunnel: nothing reaches him, nothing is lost on the way, and Ana can tell."""

from __future__ import annotations

import pytest
from fastapi import FastAPI, WebSocket
from lab.observe.slow_client import PHOTO, count_received, through_tunnel, tunnel

from server.broadcasting import fan_out, open_outbox
from server.wire.protocol import FanoutProtocol


def _loop_room() -> FastAPI:
    """The room that one client can stop."""
    app, here = FastAPI(), list[WebSocket]()

    @app.websocket("/ws")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        here.append(websocket)
        async for text in websocket.iter_text():
            for member in here:
                await member.send_text(text)

    return app


def _room(messages: int) -> FastAPI:
    """A room that no client can stop."""
    app, here = FastAPI(), []

    @app.websocket("/ws")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        here.append(open_outbox(websocket, messages=messages))
        async for text in websocket.iter_text():
            fan_out(here, text)

    return app


def test_ben_takes_nothing_until_he_is_out() -> None:
    """The buffers on the way to Ben are full, so a loop blocks; after mend() everything arrives."""
    with tunnel(_loop_room()) as (_, tap, ana, ben):
        ana.send("1")
        assert count_received(ana, 1) == 0
        tap.mend()
        assert ana.recv(timeout=15) == "1"
        assert [ben.recv(timeout=15), ben.recv(timeout=15)] == [PHOTO, "1"]


@pytest.mark.parametrize(("messages", "received"), [(20, [str(number) for number in range(1, 11)]), (3, [4008])])
def test_through_tunnel_returns_what_ben_receives(messages: int, received: list[str | int]) -> None:
    """All ten where they have room to wait, and a close code where not."""
    assert through_tunnel(_room(messages), ws=FanoutProtocol).received == received


def test_room_that_tells_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A room that does not send Ana her photo is not what the tunnel is for."""
    monkeypatch.setattr("lab.observe.slow_client.DEADLINE", 0.3)
    app = FastAPI()

    @app.websocket("/ws")
    async def mute(websocket: WebSocket) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            pass

    with pytest.raises(TimeoutError), tunnel(app):
        pass
