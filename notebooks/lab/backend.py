"""The finished backend in a process of its own, to be killed and started again: ``serve_backend(key=…, broker=…)``.

Its settings are given by name, as `server.settings.Settings` has them.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from server import ServerProcess
from server.cell import stop_earlier_run
from server.settings import Settings

from .aside import aside
from .importable import importable

__all__ = ["Backend", "aside", "serve_backend", "serve_pair"]

MODULE = "backend_of_the_lesson"
CODE = """
from server.app import create_app
from server.settings import Settings

app = create_app(Settings(**{settings!r}))
"""


class Backend(ServerProcess):
    """`server.app` in a process; made by `serve_backend`. `kill` is ``kill -9``, `restart` takes the same port."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(f"{MODULE}:app", log_config=None, **Settings(**settings).uvicorn_options)
        self._code = CODE.format(settings=settings)

    def start(self) -> None:
        """Start the process, as `ServerProcess.start`."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, f"{MODULE}.py").write_text(self._code, encoding="utf-8")
            self._folder = folder
            super().start()

    async def until_dead(self, *, seconds: float) -> None:
        """Wait until somebody has killed it, or the seconds are over."""
        over = time.monotonic() + seconds
        while self.alive and time.monotonic() < over:  # noqa: ASYNC110  # nothing else tells
            await asyncio.sleep(0.05)

    def _spawn(self, listener: socket.socket) -> subprocess.Popen[bytes]:
        with importable(self._folder):
            return super()._spawn(listener)


def serve_backend(**settings: Any) -> Backend:
    """Serve `server.app` with these settings from a process of its own, and return when it accepts.

    When a notebook's cell is run again, what its last run started is stopped first.

    Raises:
        StartError: it did not start; the message is its own.
        ValueError: there is no such setting, or it takes no such value.
    """
    stop_earlier_run()
    backend = Backend(settings)
    backend.start()
    return backend


async def serve_pair(**settings: Any) -> list[Backend]:
    """Two backends with the same settings, on ports of their own, started at the same time.

    Raises: as `serve_backend`.
    """
    return list(await asyncio.gather(aside(serve_backend, **settings), aside(serve_backend, **settings)))
