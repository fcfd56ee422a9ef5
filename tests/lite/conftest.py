"""The static folder of `make lite`, served, in one Chromium. Only `make test-lite` runs these tests."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from docs.lite.build import build
from tests.browser.conftest import browser

__all__ = ["browser"]  # a fixture

ROOT = Path(__file__).parents[2]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Write no log."""


@pytest.fixture(scope="package")
def site(browser: Browser) -> Iterator[str]:
    """The address of the folder, which is built from this checkout."""
    folder = ROOT / "build" / "lite"
    build(folder)
    handler = functools.partial(_Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
