"""Ben's phone in a tunnel: nothing reaches him, nothing is lost on the way, and Ana can tell."""

from __future__ import annotations

import pytest
from fastapi import FastAPI, WebSocket
from lab.tunnel import PHOTO, count_heard, ride, tunnel

from server.broadcasting import fan_out, open_outbox
from server.frames import FanoutProtocol


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
    """The room that nobody can stop."""
    app, here = FastAPI(), []

    @app.websocket("/ws")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        here.append(open_outbox(websocket, messages=messages))
        async for text in websocket.iter_text():
            fan_out(here, text)

    return app


def test_ben_takes_nothing_until_he_is_out() -> None:
    """The way to him is full, so that a loop stands still; after it is mended everything arrives."""
    with tunnel(_loop_room()) as (_, tap, ana, ben):
        ana.send("1")
        assert count_heard(ana, 1) == 0
        tap.mend()
        assert ana.recv(timeout=3) == "1"
        assert [ben.recv(timeout=3), ben.recv(timeout=3)] == [PHOTO, "1"]


@pytest.mark.parametrize(("messages", "heard"), [(20, [str(number) for number in range(1, 11)]), (3, [4008])])
def test_ride_tells_what_ben_hears(messages: int, heard: list[str | int]) -> None:
    """All ten where they have room to wait, and a close code where not."""
    assert ride(_room(messages), ws=FanoutProtocol).heard == heard


def test_room_that_tells_nobody_is_told() -> None:
    """A room that does not send Ana her photo is not what the tunnel is for."""
    app = FastAPI()

    @app.websocket("/ws")
    async def mute(websocket: WebSocket) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            pass

    with pytest.raises(TimeoutError), tunnel(app):
        pass
