"""The lessons in a browser without an install: every stored output, and the bytes on the wire, are the same."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from docs.lite import LESSONS
from tests.browser.conftest import SCREENSHOTS
from tests.browser.notebook import Notebook, Tab
from tests.browser.test_lessons import compare

pytestmark = pytest.mark.timeout(300)  # the kernel is 16 MB, and starts within the first test

WIRE = Path(__file__).with_name("wire.py")


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser whose storage lives as long as this module."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture(params=[f"{name}.ipynb" for name in LESSONS])
def opened(request: pytest.FixtureRequest, site: str, context: BrowserContext) -> Iterator[Notebook]:
    """A lesson with a fresh kernel."""
    page = context.new_page()
    outside: list[str] = []
    page.on(
        "request", lambda sent: outside.append(sent.url) if not sent.url.startswith((site, "data:", "blob:")) else None
    )
    tab = Tab(page, f"{site}/lab/index.html", SCREENSHOTS)
    page.evaluate("course.patience(200_000)")
    with tab.open(request.param) as notebook:
        yield notebook
    assert outside == [], "the folder asks somebody else"
    page.close()


@pytest.mark.parametrize("opened", [f"{LESSONS[0]}.ipynb"], indirect=True)
def test_the_bytes_on_the_wire_are_the_same(opened: Notebook) -> None:
    """Handshakes, frames in both directions, a close, a refusal: as over a real socket on this machine."""
    here = subprocess.run([sys.executable, WIRE], capture_output=True, text=True, check=True, timeout=60)
    assert opened.execute(WIRE.read_text()) == here.stdout


def test_run_all_shows_what_is_stored(opened: Notebook) -> None:
    """Every cell, strictly as in the re-run on a real machine."""
    opened.run_all()
    opened.screenshot("lite")
    compare(opened)
