"""What a client sees: a message, the end of its connection, or nothing in time."""

from __future__ import annotations

import pytest
from fastapi import FastAPI, WebSocket
from lab.observe.endings import end_of, message_or_code
from websockets.sync.client import connect

from server import serve

app = FastAPI()


@app.websocket("/close/{code}")
async def close(websocket: WebSocket, code: int) -> None:
    """Say something, then close."""
    await websocket.accept()
    await websocket.send_text("something")
    await websocket.close(code)


@app.websocket("/return")
async def just_return(websocket: WebSocket) -> None:
    """End without a close frame."""
    await websocket.accept()


@app.websocket("/stay")
async def stay(websocket: WebSocket) -> None:
    """Never end."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@pytest.mark.parametrize(("path", "code"), [("/close/1000", 1000), ("/close/4001", 4001), ("/return", 1006)])
def test_end_is_the_code_that_the_client_saw(path: str, code: int) -> None:
    """Messages on the way are passed over, and a missing close frame is 1006."""
    with serve(app) as server, connect(server.url(path)) as client:
        assert end_of(client) == code
        assert end_of(client) == code


def test_open_connection_is_told() -> None:
    """A connection that doesn't end gives a TimeoutError that says so, even while messages still arrive."""
    with serve(app) as server, connect(server.url("/stay")) as client:
        client.send("hi")
        with pytest.raises(TimeoutError, match=r"still open after 0\.1 s"):
            end_of(client, timeout=0.1)


def test_fate_is_the_message_or_else_the_code() -> None:
    """First the message that came, then the code of the end."""
    with serve(app) as server, connect(server.url("/close/4001")) as client:
        assert message_or_code(client) == "something"
        assert message_or_code(client) == 4001


def test_fate_that_does_not_come_is_told() -> None:
    """A silent open connection gives a TimeoutError."""
    with serve(app) as server, connect(server.url("/stay")) as client, pytest.raises(TimeoutError):
        message_or_code(client, timeout=0.05)
