"""One Chromium and one JupyterLab of each kind for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from . import chromium
from .jupyter import JupyterLab
from .notebook import LabPage

expect.set_options(timeout=15_000)

SCREENSHOTS = Path(__file__).parent / "screenshots"
FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    # a name that is not localhost, as on JupyterHub; and nothing leaves this machine
    "--host-resolver-rules=MAP lab.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A headless Chromium that reaches nothing but this machine."""
    path = chromium.find()
    if path is None:
        pytest.fail(chromium.MISSING, pytrace=False)
    with sync_playwright() as playwright:
        sandbox = os.name != "posix" or os.geteuid() != 0  # root has none
        browser = playwright.chromium.launch(executable_path=path, chromium_sandbox=sandbox, args=FLAGS)
        yield browser
        browser.close()


def _lab(folder: Path, base_url: str) -> Iterator[JupyterLab]:
    lab = JupyterLab(folder, base_url)
    try:
        yield lab.wait()
    finally:
        lab.end()
        lab.wait_for_end()


@pytest.fixture(scope="package")
def root_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    """JupyterLab at ``/``, as ``make lab`` starts it."""
    yield from _lab(tmp_path_factory.mktemp("root"), "/")


@pytest.fixture(scope="package")
def user_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    """JupyterLab under a base_url, as JupyterHub and Binder start it."""
    yield from _lab(tmp_path_factory.mktemp("user"), "/user/ana/")


def _page(browser: Browser, lab: JupyterLab, host: str) -> Iterator[LabPage]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield LabPage(context.new_page(), lab, host, SCREENSHOTS)
    context.close()


@pytest.fixture(scope="package")
def direct_lab(browser: Browser, root_lab: JupyterLab) -> Iterator[LabPage]:
    """JupyterLab at ``/`` on localhost: the browser reaches the kernel's ports."""
    yield from _page(browser, root_lab, "127.0.0.1")


@pytest.fixture(scope="package")
def near_lab(browser: Browser, user_lab: JupyterLab) -> Iterator[LabPage]:
    """JupyterLab under a base_url, seen from its own machine: the browser reaches the kernel's ports."""
    yield from _page(browser, user_lab, "127.0.0.1")


@pytest.fixture(scope="package")
def proxied_lab(browser: Browser, user_lab: JupyterLab) -> Iterator[LabPage]:
    """The same from another host: the browser must go through the proxy."""
    yield from _page(browser, user_lab, "lab.test")
