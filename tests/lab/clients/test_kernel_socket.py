"""The kernel connects for a page that holds it: what the page asks, and what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from lab.clients.kernel_socket import KernelSockets

from server import BackgroundServer, serve

pytestmark = pytest.mark.anyio

DEADLINE = 60.0  # seconds
app = FastAPI()


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    """Answer texts, with the origin first; "bytes" gets bytes, "bye" a close."""
    await websocket.accept(subprotocol=next(iter(websocket.scope["subprotocols"]), None))
    await websocket.send_text(websocket.headers["origin"])
    async for text in websocket.iter_text():
        if text == "bye":
            await websocket.close(4003, "not for you")
            return
        await (websocket.send_bytes(b"\x00\xff") if text == "bytes" else websocket.send_text(text.upper()))


@app.websocket("/refused")
async def refused(websocket: WebSocket) -> None:
    """Refuse the handshake."""
    await websocket.close()


@pytest.fixture
def server() -> Iterator[BackgroundServer]:
    """The server of the page."""
    with serve(app) as running:
        yield running


class Page:
    """What a page does with a socket, and the messages that it gets."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._sockets = KernelSockets(self._heard.put_nowait)

    def ask(self, call: str, number: int = 1, **detail: Any) -> None:
        """Send what browser.js sends."""
        self._sockets.handle({"socket": number, "call": call} | detail)

    def open(self, url: str, number: int = 1, subprotocols: tuple[str, ...] = ()) -> None:
        """Connect."""
        self.ask("open", number, url=url, subprotocols=list(subprotocols), origin="http://page.test", agent="test")

    async def hear(self) -> dict[str, Any]:
        """Return the next message."""
        return await asyncio.wait_for(self._heard.get(), DEADLINE)


async def test_texts_and_bytes_pass_in_both_directions(server: BackgroundServer) -> None:
    """With the page's origin and subprotocol; what the page closes ends with its code."""
    page = Page()
    page.open(server.url("/echo"), subprotocols=("chat.v1",))
    assert await page.hear() == {"socket": 1, "event": "open", "protocol": "chat.v1"}
    assert (await page.hear())["text"] == "http://page.test"
    page.ask("send", text="hi")
    assert (await page.hear())["text"] == "HI"
    page.ask("send", text="bytes")
    assert (await page.hear())["hex"] == "00ff"
    page.ask("close", code=3000, reason="seen enough")
    end = await page.hear()
    assert (end["event"], end["code"], end["reason"], end["clean"]) == ("close", 3000, "seen enough", True)


async def test_a_close_of_the_server_has_its_code(server: BackgroundServer) -> None:
    """And the other socket of the page goes on."""
    page = Page()
    for number in (1, 2):
        page.open(server.url("/echo"), number)
        assert [(await page.hear())["event"] for _ in range(2)] == ["open", "message"]
    page.ask("send", 1, text="bye")
    end = await page.hear()
    assert (end["socket"], end["code"], end["reason"], end["clean"]) == (1, 4003, "not for you", True)
    page.ask("send", 2, text="still here")
    assert (await page.hear())["text"] == "STILL HERE"
    page.ask("close", 2, code=1000, reason="")
    assert (await page.hear())["code"] == 1000


@pytest.mark.parametrize("path", ["/refused", "/nothing"])
async def test_a_refusal_is_an_error_and_1006_as_in_a_browser(server: BackgroundServer, path: str) -> None:
    """A page isn't told why; the server was asked, and refused."""
    page = Page()
    page.open(server.url(path))
    assert (await page.hear())["event"] == "error"
    assert await page.hear() == {"socket": 1, "event": "close", "code": 1006, "reason": "", "clean": False}
    assert any("403" in record.getMessage() for record in server.log)
