"""How long a reader waits for a lesson in the browser, from its address to the answer of the first cell.

    python -m tests.lite.start

The first start has an empty cache, and the second one what the first has left. Both ask a web server on this machine,
so the time for 38 MB over a network comes on top.
"""

from __future__ import annotations

import os
import time

import psutil
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser import chromium
from tests.browser.conftest import FLAGS, SCREENSHOTS
from tests.browser.notebook import RESTORED, Tab

from . import FOLDER, serving

__all__: list[str] = []


def _processor_seconds() -> float:
    """Return what the processes below this one have used: Chromium and Playwright."""
    times = [process.cpu_times() for process in psutil.Process().children(recursive=True)]
    return sum(one.user + one.system for one in times)


def _start(context: BrowserContext, address: str) -> str:
    before, begin = _processor_seconds(), time.monotonic()
    page = context.new_page()
    page.goto(f"{address}/lab/index.html")
    page.wait_for_function(RESTORED, timeout=100_000)
    tab = Tab(page, None, SCREENSHOTS)
    page.evaluate("course.patience(300_000)")
    notebook = tab.open("01-handshake.ipynb")
    shown = time.monotonic() - begin
    assert notebook.execute("print(1 + 1)") == "2\n"
    ready, used = time.monotonic() - begin, _processor_seconds() - before
    page.close()
    return f"shown after {shown:.1f} s; a cell has answered after {ready:.1f} s ({used:.1f} s of the processor)"


def _measure(browser: Browser) -> None:
    with serving(FOLDER) as address:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        for name in ("cold", "warm"):
            print(f"{name}: {_start(context, address)}", flush=True)
    print(f"load of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    with sync_playwright() as playwright:
        _measure(playwright.chromium.launch(executable_path=chromium.find(), chromium_sandbox=False, args=FLAGS))
