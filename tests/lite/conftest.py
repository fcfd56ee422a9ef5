"""The static folder of `make lite`, served, in one Chromium. Only `make test-lite` runs these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, BrowserContext

from docs.lite.build import build
from tests.browser.conftest import SCREENSHOTS, browser
from tests.browser.notebook import RESTORED, Notebook, Tab

from . import FOLDER, serving

__all__ = ["browser"]  # a fixture


@pytest.fixture(scope="package")
def site(testrun_uid: str) -> Iterator[str]:
    """The address of the folder, below that of another site as on GitHub Pages. It is built once from this checkout."""
    FOLDER.parent.mkdir(exist_ok=True)
    built = FOLDER.with_name("lite-tested")
    with FileLock(FOLDER.with_name("lite.lock")):
        if not built.exists() or built.read_text() != testrun_uid:
            build(FOLDER)
            built.write_text(testrun_uid)
    with serving(FOLDER.parent) as address:
        yield f"{address}/{FOLDER.name}"


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser whose storage lives as long as this module."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture(scope="module")
def opened(request: pytest.FixtureRequest, site: str, context: BrowserContext) -> Iterator[Notebook]:
    """The notebook that the module names, with a fresh kernel."""
    page = context.new_page()
    # JupyterLite's service worker asks for its heartbeat at the root of the site, whatever the folder
    heartbeat = f"{site.removesuffix(f'/{FOLDER.name}')}/api/service-worker-heartbeat"
    allowed = (f"{site}/", heartbeat, "data:", "blob:")
    outside: list[str] = []
    page.on("request", lambda sent: None if sent.url.startswith(allowed) else outside.append(sent.url))
    page.goto(f"{site}/lab/index.html")
    page.wait_for_function(RESTORED, timeout=100_000)
    tab = Tab(page, None, SCREENSHOTS)
    page.evaluate("course.patience(300_000)")
    with tab.open(f"{request.param}.ipynb") as notebook:
        yield notebook
    assert outside == [], "the folder asks somebody else"
    page.close()
