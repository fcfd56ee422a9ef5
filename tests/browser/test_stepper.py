"""The frame stepper in a real JupyterLab, used with the keyboard."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from .conftest import SCREENSHOTS
from .notebook import LabPage, Notebook
from .test_page import AXE

TALK = """
from fastapi import FastAPI, WebSocket
from websockets.sync.client import connect
from lab import Tap, stepper
from server import serve, stop_all

app = FastAPI()

@app.websocket("/ws")
async def greet(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.receive()

with Tap(serve(app)) as tap, connect(tap.url("/ws"), compression=None) as client:
    client.recv(timeout=15)
stop_all()
"""
HELLO, HANDSHAKE, CLOSE = 1, 2, 3


@pytest.fixture(scope="module")
def notebook(direct_lab: LabPage) -> Iterator[Notebook]:
    """A notebook with three steppers."""
    name = direct_lab.lab.write(
        "stepper.ipynb", TALK, "stepper(tap.frames[0])", "stepper(tap, 'handshake')", "stepper(tap, 'close')"
    )
    with direct_lab.open(name) as notebook:
        notebook.run_all()
        yield notebook


def _stepper(notebook: Notebook, index: int) -> Locator:
    found = notebook.output(index).get_by_role("group")
    expect(found).to_be_visible()
    return found


def test_arrow_keys_step_through_a_frame(notebook: Notebook) -> None:
    """The keys move through the fields and not through the notebook; Enter sends nothing anywhere."""
    shown = _stepper(notebook, HELLO)
    page = notebook.page
    before = page.url
    expect(shown.get_by_text("1 of 6")).to_be_visible()
    shown.get_by_role("radio", name="1 of 6: FIN").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    expect(shown.get_by_role("radio", name="3 of 6: opcode")).to_be_checked()
    expect(shown.get_by_text("....0001")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(shown.get_by_role("radio", name="3 of 6: opcode")).to_be_checked()
    expect(shown.get_by_role("radio", name="3 of 6: opcode")).to_be_focused()
    expect(shown.get_by_text("....0001")).to_be_visible()
    expect(shown.get_by_text("1 of 6", exact=False)).to_be_hidden()
    assert page.url == before
    notebook.screenshot("keys")


def test_steppers_on_one_page_do_not_disturb_each_other(notebook: Notebook) -> None:
    """Each has its own step."""
    _stepper(notebook, HELLO).get_by_role("radio", name="6 of 6: payload").check()
    handshake = _stepper(notebook, HANDSHAKE)
    handshake.get_by_role("radio", name="Sec-WebSocket-Key").check()
    expect(handshake.get_by_text("16 random bytes")).to_be_visible()
    close = _stepper(notebook, CLOSE)
    expect(close.get_by_role("radio").first).to_be_checked()
    expect(_stepper(notebook, HELLO).get_by_role("radio", name="6 of 6: payload")).to_be_checked()
    expect(_stepper(notebook, HELLO).get_by_text("it says: hello")).to_be_visible()
    notebook.screenshot("three")


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_stepper_can_be_read_in_both_themes(notebook: Notebook, theme: str, direct_lab: LabPage) -> None:
    """Every text of it has a contrast of 4.5 or more with what is behind it, and axe finds nothing."""
    with direct_lab.theme(theme):
        shown = _stepper(notebook, HANDSHAKE)
        assert notebook.page.evaluate("node => course.contrast(node)", shown.element_handle()) >= 4.5
        notebook.page.evaluate(AXE.read_text())
        found = notebook.page.evaluate("node => axe.run(node)", shown.element_handle())
        assert [one["id"] for one in found["violations"]] == []
        SCREENSHOTS.mkdir(exist_ok=True)
        notebook.screenshot(theme.removeprefix("JupyterLab ").lower())
