"""A page of the kernel's server in a frame of the notebook keeps its session, also where the browser is elsewhere."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .notebook import LabPage

pytestmark = pytest.mark.timeout(180)  # JupyterLab starts within the first test

SHOW = """
from lab.page import PageFrame
from server import serve
from server.app import create_app
from server.settings import Settings

settings = Settings(demo_login=True)
server = serve(create_app(settings), **settings.uvicorn_options)
PageFrame(server, title="The chat page")
"""


@pytest.mark.parametrize("way", ["direct_lab", "proxied_lab"])
def test_a_reader_comes_in_within_the_frame(way: str, request: pytest.FixtureRequest) -> None:
    """The frame shows the page, whose cookie and WebSocket work in it; the link shows the same page."""
    jupyter: LabPage = request.getfixturevalue(way)
    with jupyter.open(jupyter.lab.write("frame.ipynb", SHOW)) as notebook:
        notebook.run(0)
        frame = notebook.output(0).frame_locator("iframe[title='The chat page']")
        name = frame.get_by_label("Your name")
        expect(name).to_be_visible()
        assert jupyter.page.evaluate("document.activeElement.tagName") != "IFRAME"  # the reader was elsewhere
        name.fill("Ana")
        name.press("Enter")
        expect(frame.locator("#state-text")).to_have_text("online")
        link = notebook.output(0).get_by_role("link", name="The chat page, in a tab of its own")
        expect(link).to_have_attribute("href", notebook.output(0).locator("iframe").get_attribute("src") or "")
