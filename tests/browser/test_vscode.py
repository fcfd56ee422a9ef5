"""A page that is not Jupyter's, as the one in which VS Code shows outputs: what can be tried without VS Code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from lab.clients import browser as lab_browser
from playwright.sync_api import Browser, Page, expect

from server import serve

from .notebook import Pane

WEBVIEW = "https://webview.test/"  # a secure page from elsewhere, as VS Code's own scheme
SCRIPT = Path(lab_browser.__file__).with_suffix(".js").read_text()
# what VS Code adds with the setting notebook.experimental.enableCsp, which is off unless you set it
POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; connect-src https:"
SHOW = """
async ([script, port]) => {
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const { default: widget } = await import(url);
  const values = { _port: port, _path: "/ws", _subprotocols: [], _reconnect: false };
  const model = { get: (name) => values[name], on: () => {}, off: () => {}, send: () => {} };
  const { initialize, render } = widget();
  initialize({ model });
  render({ model, el: document.body });
}
"""


@pytest.fixture
def app() -> FastAPI:
    """It echoes, and says goodbye with a code and a reason."""
    app = FastAPI()

    @app.websocket("/ws")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        while (text := await websocket.receive_text()) != "bye":
            await websocket.send_text(f"heard {text}")
        await websocket.close(4001, "auth required")

    return app


def webview(browser: Browser, policy: str = "") -> Page:
    """The page of an output, which has nothing of Jupyter in it."""
    page = browser.new_page()
    # a browser asks its reader before a page from elsewhere may reach this machine; VS Code does not
    page.context.grant_permissions(["local-network-access"])
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">' if policy else ""
    body = f"<!doctype html><title>output</title>{meta}<body></body>"
    page.route(WEBVIEW, lambda route: route.fulfill(content_type="text/html", body=body))
    page.goto(WEBVIEW)
    return page


def test_the_browser_client_connects_directly(browser: Browser, app: FastAPI) -> None:
    """Without Jupyter's page there is no proxy to ask for: the kernel's machine is this one."""
    page = webview(browser)
    with serve(app) as server:
        show(page, server.port)
        pane = Pane(page.get_by_role("group", name="WebSocket client"))
        expect(pane.state).to_have_text("open")
        expect(pane.node).to_contain_text("Directly")
        pane.say("hello")
        expect(pane.log).to_contain_text("heard hello")
        pane.say("bye")
        expect(pane.log).to_contain_text('code 4001, reason "auth required"')
    page.close()


def test_a_policy_of_the_editor_keeps_the_widget_out(browser: Browser, app: FastAPI) -> None:
    """With VS Code's optional content security policy no widget of this kind is loaded: the README lists it."""
    page = webview(browser, POLICY)
    with serve(app) as server, pytest.raises(Exception, match="Failed to fetch dynamically imported module"):
        show(page, server.port)
    page.close()


def show(page: Page, port: int) -> Any:
    """Load the widget as anywidget does, from its text."""
    return page.evaluate(SHOW, [SCRIPT, port])
