"""Run the finished backend in a process of its own, to kill it and start it again: ``serve_backend(key=…)``."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from server import ServerProcess
from server.run.registry import stop_earlier_run
from server.settings import Settings

from .importable import importable
from .temporary import TemporaryDirectory
from .threads import in_thread

__all__ = ["Backend", "in_thread", "serve_backend"]

MODULE = "backend_of_the_lesson"
CODE = """
from server.app import create_app
from server.settings import Settings

app = create_app(Settings(**{settings!r}))
"""


class Backend(ServerProcess):
    """`server.app` in a process; made by `serve_backend`. `kill` is ``kill -9``, and `restart` uses the same port."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(f"{MODULE}:app", log_config=None, **Settings(**settings).uvicorn_options)
        self._code = CODE.format(settings=settings)

    def start(self) -> None:
        """Start the process, as `ServerProcess.start`."""
        with TemporaryDirectory() as folder:
            Path(folder, f"{MODULE}.py").write_text(self._code, encoding="utf-8")
            self._folder = folder
            super().start()

    async def until_dead(self, *, seconds: float) -> None:
        """Wait until the process is dead, or this many seconds have passed."""
        over = time.monotonic() + seconds
        while self.alive and time.monotonic() < over:  # noqa: ASYNC110  # a process has no event
            await asyncio.sleep(0.05)

    def _spawn(self, listener: socket.socket) -> subprocess.Popen[bytes]:
        with importable(self._folder):
            return super()._spawn(listener)


def serve_backend(**settings: Any) -> Backend:
    """Serve `server.app` from a process of its own, and return when it accepts connections.

    Example: ``backend = serve_backend(key=KEY, broker="sqlite:log.sqlite")``. The `settings` are those of
    `server.settings.Settings`, by name. ``backend.url("/ws")`` and ``backend.http("/")`` are its addresses; it has
    `stop`, `kill` (``kill -9``) and `restart`, which uses the same port. When you run a cell again, what its last run
    has started is stopped first.

    Raises:
        StartError: it did not start; the message says why.
        ValueError: there is no such setting, or it doesn't take this value.
    """
    stop_earlier_run()
    backend = Backend(settings)
    backend.start()
    return backend
