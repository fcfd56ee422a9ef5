"""The page around the lessons: on a phone, after a reload, in a browser in which Python can't wait."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect

from docs.lite import ELSEWHERE
from tests.browser.conftest import SCREENSHOTS
from tests.browser.notebook import DRIVER
from tests.browser.test_page import PHONE

from . import FOLDER, serving

pytestmark = pytest.mark.timeout(600)

LESSON = "01-handshake.ipynb"
DEADLINE = 100_000  # milliseconds
EXERCISE = """() => {
  const { content } = jupyterapp.shell.currentWidget;
  const index = content.model.sharedModel.cells.findIndex((cell) => cell.getMetadata("tags")?.includes("exercise"));
  content.activeCellIndex = index;
  return content.scrollToItem(index, "start").then(() => index);
}"""
SAVED = "jupyterapp.shell.currentWidget.context.isReady && !jupyterapp.shell.currentWidget.context.model.dirty"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a reader who has never been here."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


def opened(page: Page, site: str, name: str = LESSON) -> None:
    """Show a lesson where the site's link leads; its kernel need not be there yet."""
    page.set_default_timeout(DEADLINE)
    page.goto(f"{site}/lab/index.html?path={name}")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()


def sources(page: Page) -> list[str]:
    """The source of each cell of the notebook that is open."""
    found: list[str] = page.evaluate(
        "jupyterapp.shell.currentWidget.content.model.sharedModel.cells.map(c => c.source)"
    )
    return found


def test_a_lesson_is_readable_on_a_phone(site: str, browser: Browser) -> None:
    """Its first cell has most of the width, the list of files is one tap away, and nothing has to be moved sideways."""
    context = browser.new_context(**PHONE)
    page = context.new_page()
    opened(page, site)
    expect(page.locator("#jp-left-stack")).to_be_hidden()
    cell = page.locator(".jp-Notebook .jp-Cell").first
    box = cell.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["width"] > 260
    assert box["x"] + box["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(cell.get_by_role("heading")).to_be_in_viewport()
    page.screenshot(path=SCREENSHOTS / "lite-phone.png")
    page.locator(".jp-SideBar.jp-mod-left [data-id=filebrowser]").click()
    expect(page.get_by_text("02-echo.ipynb")).to_be_visible()
    context.close()


def test_what_was_typed_survives_a_reload_and_can_be_downloaded(site: str, page: Page, tmp_path: Path) -> None:
    """An answer is typed into an exercise and not saved; it is there after a reload, and in the downloaded file."""
    opened(page, site)
    index = page.evaluate(EXERCISE)
    answer = f"{sources(page)[index]}  # my own answer"
    editor = page.locator(".jp-Cell.jp-mod-active .cm-content")
    editor.click()
    page.keyboard.press("Control+End")
    page.keyboard.type("  # my own answer")
    assert sources(page)[index] == answer
    page.wait_for_function(SAVED)
    opened(page, site)
    assert sources(page)[index] == answer
    page.get_by_role("menuitem", name="File", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Download", exact=True).click()
    download.value.save_as(tmp_path / LESSON)
    assert download.value.suggested_filename == LESSON
    kept = nbformat.read(tmp_path / LESSON, as_version=4)
    assert kept.cells[index].source == answer


def test_the_bar_says_where_the_work_is(site: str, page: Page) -> None:
    """It folds out, and names the way to a copy."""
    opened(page, site)
    bar = page.locator(".where-am-i")
    bar.locator("summary").click()
    expect(bar).to_contain_text("choose File, then Download")
    expect(bar.get_by_text("Lessons 04 and 05")).to_be_visible()


def test_a_notebook_that_can_not_run_says_why(site: str, page: Page) -> None:
    """In its place stands a page with the reason, so that links to it lead somewhere."""
    opened(page, site, "04-broadcasting.ipynb")
    expect(page.locator(".jp-Notebook")).to_contain_text(ELSEWHERE["04-broadcasting"])


def test_a_browser_in_which_python_can_not_wait_is_told(site: str, browser: Browser, tmp_path: Path) -> None:
    """Without stack switching, the first cell says which browser has it."""
    folder = shutil.copytree(FOLDER, tmp_path / "lite", copy_function=os.link)
    pyodide = folder / "static" / "pyodide" / "pyodide.mjs"
    text = pyodide.read_text(encoding="utf-8")
    pyodide.unlink()  # it is a link to the one that the other tests use
    pyodide.write_text(f"delete WebAssembly.Suspending; delete WebAssembly.promising;\n{text}", encoding="utf-8")
    with serving(folder) as address:
        page = browser.new_page()
        opened(page, address)
        page.evaluate(DRIVER)
        page.evaluate("course.patience(300_000)")
        page.evaluate("course.adopt()")
        index = next(i for i, source in enumerate(sources(page)) if "import" in source.splitlines()[0])
        page.evaluate("index => course.run([index])", index)
        expect(page.locator(".jp-OutputArea-output").first).to_contain_text(
            "this browser can't let Python wait (WebAssembly JSPI); use Chrome or Edge, version 137 or newer"
        )
        page.close()
