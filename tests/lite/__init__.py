"""The lessons in a browser without an install."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

__all__ = ["FOLDER", "serving"]

FOLDER = Path(__file__).parents[2] / "build" / "lite"
"""What `make lite` writes."""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Write no log."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *args: object) -> None:
        """Write nothing: a page that is closed breaks off what it has asked for."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder inside a block, as any web server would, and give its address."""
    with _Server(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
