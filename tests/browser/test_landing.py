"""What a newcomer sees first: ``jupyter lab --config=…`` in a fresh browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from .conftest import SCREENSHOTS
from .jupyter import JupyterLab
from .notebook import LabPage

pytestmark = pytest.mark.timeout(180)  # JupyterLab starts within the first test


def test_lab_opens_with_the_map_of_the_course_whose_links_open_lessons(browser: Browser, root_lab: JupyterLab) -> None:
    """The landing page is rendered, a click opens a lesson with a kernel, and the reader's own tabs are left alone."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(root_lab.url("127.0.0.1"))
    preview = page.locator(".jp-MarkdownViewer")
    expect(preview.get_by_role("heading", name="Learn WebSockets")).to_be_visible(timeout=20_000)
    page.screenshot(path=SCREENSHOTS / "landing.png")
    with page.expect_response(lambda response: "/api/workspaces/" in response.url and response.request.method == "PUT"):
        preview.get_by_role("link", name="01").click()
    expect(page.get_by_role("tab", name="01-handshake.ipynb")).to_be_visible()
    expect(page.locator(".jp-NotebookPanel")).to_contain_text("The handshake")
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible()
    page.close()
    lab = root_lab
    assert list((lab.root / ".jupyter" / "workspaces").iterdir())
    assert not (lab.root.parent / "CONFIG" / "lab" / "workspaces").exists()


def test_lab_asks_for_nothing_and_calls_nobody(direct_lab: LabPage) -> None:
    """The pop-up for news and the look for updates are off."""
    schema = direct_lab.page.evaluate(
        "jupyterapp.serviceManager.settings.fetch('@jupyterlab/apputils-extension:notification').then((s) => s.schema)"
    )
    switches = {name: schema["properties"][name]["default"] for name in ("fetchNews", "checkForUpdates")}
    assert switches == {"fetchNews": "false", "checkForUpdates": False}
