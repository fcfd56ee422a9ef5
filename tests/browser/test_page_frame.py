"""The chat page and JupyterLab: in a frame of the notebook, and through Jupyter's proxy, also from another host."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from server import BackgroundServer

from .jupyter import JupyterLab
from .notebook import LabPage
from .test_page import Visit, server, visit

__all__ = ["server", "visit"]  # fixtures


SHOW = """
from lab.clients.page_frame import PageFrame
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


GONE = """
from lab.clients.page_frame import PageFrame
from server import serve
from server.app import create_app
from server.settings import Settings

server = serve(create_app(Settings(demo_login=True)))
frame = PageFrame(server, title="The chat page")
server.stop()
frame
"""


def test_a_page_whose_server_has_stopped_is_told_in_a_sentence(direct_lab: LabPage) -> None:
    """After *Run All* the last cell has stopped the server: no error page of a proxy fills the frame."""
    with direct_lab.open(direct_lab.lab.write("gone.ipynb", GONE)) as notebook:
        notebook.run(0)
        output = notebook.output(0)
        expect(output.get_by_text("The server has stopped. Run this cell again to start it.")).to_be_visible()
        expect(output.locator("iframe")).to_be_hidden()
        expect(output.get_by_role("link")).to_be_hidden()


def test_two_people_talk_through_jupyters_proxy(user_lab: JupyterLab, server: BackgroundServer, visit: Visit) -> None:
    """On a JupyterHub, where the server in the kernel is reached through Lab, the page works as it is."""
    address = user_lab.url("lab.test", f"proxy/{server.port}/")
    ana, ben = visit(address, "Ana"), visit(address, "Ben")
    ana.say("hello from the hub")
    ben.hears("hello from the hub")
    ana.page.reload()
    ana.until("online")
    expect(ben.people).to_have_text(["Ben (you)", "Ana"])
