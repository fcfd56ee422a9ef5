"""Jupyter Notebook 7: a lesson, its pictures and its browser clients, without JupyterLab's window around it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from .conftest import SCREENSHOTS
from .jupyter import JupyterLab
from .notebook import Notebook, Tab


@pytest.fixture(scope="module")
def lesson(browser: Browser, root_lab: JupyterLab) -> Iterator[Notebook]:
    """Lesson 01 after Run All; the server of JupyterLab serves Notebook 7 as well, once that is installed."""
    pytest.importorskip("notebook", reason="Notebook 7 is not installed")
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    tab = Tab(page, root_lab.url("127.0.0.1", "notebooks/01-handshake.ipynb"), SCREENSHOTS)
    with tab.adopt("01-handshake.ipynb") as notebook:
        notebook.run_all()
        yield notebook
    page.context.close()


def test_run_all_leaves_no_error(lesson: Notebook) -> None:
    """Every cell ran, and none failed that was not meant to."""
    for cell in lesson.cells():
        if cell["cell_type"] == "code" and "raises-exception" not in cell["metadata"].get("tags", []):
            assert cell["execution_count"] or not cell["source"].strip()
            assert [output for output in cell["outputs"] if output["output_type"] == "error"] == []


def test_a_reader_uses_the_browser_client(lesson: Notebook) -> None:
    """It connects directly, is answered, and reads the server's own close code."""
    first, second = (i for i, cell in enumerate(lesson.cells()) if "display(BrowserClient(" in cell["source"])
    lesson.run_to(second)
    _, closed = lesson.panes(second, 2)
    expect(closed.log).to_contain_text("code 4001")
    echo = lesson.pane(first)
    expect(echo.state).to_have_text("open")
    expect(echo.node).to_contain_text("Directly")
    messages = echo.log.locator(".lab-message")
    before = messages.count()
    echo.say("hello from Notebook 7")
    expect(messages.nth(before)).to_be_visible()
    lesson.screenshot("notebook7")
