"""The live browser client, typed into with the keyboard, directly and through the proxy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from .notebook import LabPage, Notebook, Pane

SERVE = """
from fastapi import FastAPI, WebSocket
from lab.browser import BrowserClient
from server import serve

app = FastAPI()
seen = []

@app.websocket("/ws")
async def echo(websocket: WebSocket, name: str = "nobody"):
    await websocket.accept(subprotocol="v1" if "v1" in websocket.scope["subprotocols"] else None)
    try:
        async for text in websocket.iter_text():
            if text == "bye":
                await websocket.close(4001, "auth required")
                break
            await websocket.send_text(f"{name} said: {text}")
    finally:
        seen.append(text)

server = serve(app)
"""
SHOW = "client = BrowserClient(server, '/ws?name=Ana')\nclient"


@pytest.fixture
def notebook(lab: LabPage) -> Iterator[Notebook]:
    """A notebook with a server in its first cell and a client in its second, both run."""
    name = lab.lab.write(
        "client.ipynb",
        SERVE,
        SHOW,
        "print(client.state, *client.events, sep='\\n')",
        "server.stop(); server = serve(app, port=server.port)",
    )
    with lab.open(name) as notebook:
        notebook.run(0, 1)
        yield notebook


@pytest.fixture
def pane(notebook: Notebook) -> Pane:
    """The client in the second cell, connected."""
    pane = notebook.pane(1)
    expect(pane.state).to_have_text("open")
    return pane


def test_a_person_exchanges_messages(notebook: Notebook, pane: Pane) -> None:
    pane.say("hello")
    expect(pane.log).to_contain_text("Ana said: hello")
    notebook.screenshot("x")
    print(notebook.text_of(2))
    pane.say("bye")
    expect(pane.state).to_have_text("closed")
    notebook.screenshot("y")
    print(pane.log.inner_text())
    print(notebook.text_of(2))
