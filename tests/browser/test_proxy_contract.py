"""What the lessons rely on in jupyter-server-proxy without its promise, so that a new release says what it changed."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from server import BackgroundServer, serve

from .jupyter import JupyterLab

DEADLINE = 60.0  # seconds
CHANGED = "jupyter-server-proxy changed {}; see notebooks/lab/clients/browser.js and deploy/jupyterhub/README.md"


@pytest.fixture
def kernel_server() -> Iterator[BackgroundServer]:
    """A server as a lesson starts it: one endpoint closes with a code and a reason, one refuses."""
    app = FastAPI()

    @app.get("/page")
    async def page() -> str:
        return "hello"

    @app.websocket("/closes")
    async def closes(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.receive_text()
        await websocket.close(4001, "log in again")

    @app.websocket("/refuses")
    async def refuses(websocket: WebSocket) -> None:
        await websocket.close()

    with serve(app) as server:
        yield server


def through_proxy(lab: JupyterLab, server: BackgroundServer, path: str) -> ClientConnection:
    """Connect to a path of the kernel's server, by the address that browser.js builds."""
    address = lab.url("127.0.0.1", f"proxy/{server.port}{path}").replace("http://", "ws://", 1)
    return connect(address, proxy=None, open_timeout=DEADLINE)


def closed_with(socket: ClientConnection) -> int:
    """Return the close code that a client behind the proxy gets; 1006 without a close frame."""
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=DEADLINE)
    return int(closed.value.rcvd.code) if closed.value.rcvd else 1006


def test_the_address_of_a_port(user_lab: JupyterLab, kernel_server: BackgroundServer) -> None:
    """A page of the kernel's server is at BASE/proxy/PORT/PATH."""
    address = user_lab.url("127.0.0.1", f"proxy/{kernel_server.port}/page")
    answer = httpx.get(address, trust_env=False, follow_redirects=True, timeout=DEADLINE)
    assert (answer.status_code, answer.json()) == (200, "hello"), CHANGED.format("the address of a port")


def test_messages_pass_and_the_close_code_does_not(user_lab: JupyterLab, kernel_server: BackgroundServer) -> None:
    """A message comes through unchanged; the client gets 1005 where the server has closed with 4001 and a reason."""
    with through_proxy(user_lab, kernel_server, "/closes") as socket:
        socket.send("größer 🐢")
        assert socket.recv(timeout=DEADLINE) == "größer 🐢", CHANGED.format("what passes of a message")
        socket.send("close")
        assert closed_with(socket) == 1005, CHANGED.format("what it hides of a close code")


def test_the_proxy_opens_before_it_asks_the_server(user_lab: JupyterLab, kernel_server: BackgroundServer) -> None:
    """The handshake succeeds even if the server refuses; then the connection ends without a close frame."""
    with through_proxy(user_lab, kernel_server, "/refuses") as socket:
        assert closed_with(socket) == 1006, CHANGED.format("what a refused client sees")
    assert "403" in str(kernel_server.log)
