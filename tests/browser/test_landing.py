"""What a newcomer sees first: ``jupyter lab --config=…`` in a fresh browser."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from .conftest import SCREENSHOTS
from .jupyter import JupyterLab
from .notebook import LabPage


def test_lab_opens_with_the_map_of_the_course_whose_links_open_lessons(
    browser: Browser, labs: dict[str, JupyterLab]
) -> None:
    """The landing page is rendered, and a click on a lesson opens its notebook with a kernel."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(labs["plain"].url("127.0.0.1"))
    preview = page.locator(".jp-MarkdownViewer")
    expect(preview.get_by_role("heading", name="Learn WebSockets")).to_be_visible(timeout=20_000)
    page.screenshot(path=SCREENSHOTS / "landing.png")
    preview.get_by_role("link", name="01").click()
    expect(page.get_by_role("tab", name="01-handshake.ipynb")).to_be_visible()
    expect(page.locator(".jp-NotebookPanel")).to_contain_text("The handshake")
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible()
    page.close()


def test_lab_asks_for_nothing_and_calls_nobody(direct_lab: LabPage) -> None:
    """The pop-up for news and the look for updates are off."""
    schema = direct_lab.page.evaluate(
        "jupyterapp.serviceManager.settings.fetch('@jupyterlab/apputils-extension:notification').then((s) => s.schema)"
    )
    switches = {name: schema["properties"][name]["default"] for name in ("fetchNews", "checkForUpdates")}
    assert switches == {"fetchNews": "false", "checkForUpdates": False}


def test_the_readers_own_settings_are_left_alone(labs: dict[str, JupyterLab]) -> None:
    """Opening the course writes into its own folder only: no settings, no workspace among the reader's."""
    config = labs["plain"].root.parent / "CONFIG"
    assert not (config / "lab" / "workspaces").exists()
    assert not (config / "lab" / "user-settings").exists()
