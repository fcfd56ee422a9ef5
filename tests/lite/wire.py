"""One conversation over a tap, without what is random or dated: it prints the bytes of both sides."""

from __future__ import annotations

import re
from contextlib import suppress
from unittest.mock import patch

from fastapi import FastAPI, WebSocket
from lab import Tap
from lab.tap.conversation import Conversation
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from server import serve

app = FastAPI()
passed: dict[str, bytes] = {"client": b"", "server": b""}
record = Conversation.record


def keep(self: Conversation, direction: str, data: bytes, **options: bool) -> None:
    """Keep what passes the tap."""
    passed[direction] += data
    record(self, direction, data, **options)  # type: ignore[arg-type]  # "client" or "server"


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    """Answer in capital letters, text as well as bytes."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text.upper())


@app.websocket("/closed")
async def closed(websocket: WebSocket) -> None:
    """Close with a code."""
    await websocket.accept()
    await websocket.close(4003, "not for you")


@app.websocket("/refused")
async def refused(websocket: WebSocket) -> None:
    """Refuse."""
    await websocket.close()


with (
    patch("websockets.client.generate_key", return_value="dGhlIHNhbXBsZSBub25jZQ=="),
    patch("websockets.frames.secrets.token_bytes", return_value=b"\x01\x02\x03\x04"),
    patch.object(Conversation, "record", keep),
    serve(app, date_header=False) as server,
    Tap(server) as tap,
):
    with connect(tap.url("/echo"), user_agent_header="test") as client:  # compression is offered
        client.send("hi")
        assert client.recv(timeout=10) == "HI"
    with connect(tap.url("/echo"), user_agent_header="test", compression=None) as client:
        for text in ("é€😀", "long " * 30_000):
            client.send(text)
            assert client.recv(timeout=10) == text.upper()
    with connect(tap.url("/closed"), user_agent_header="test", compression=None) as client, suppress(ConnectionClosed):
        client.recv(timeout=10)
    with suppress(InvalidStatus):
        connect(tap.url("/refused"), user_agent_header="test", compression=None)
    host = f"127.0.0.1:{tap.port}".encode()

for side, data in passed.items():
    undated = re.sub(rb"Date: [^\r]*", b"Date: DATE", data.replace(host, b"HOST"))
    print(side, len(undated), undated.hex())
