"""The backend that the course builds: WebSockets with FastAPI, ready for production."""

from __future__ import annotations

import logging

from .errors import ServerError, StartError, StopError
from .run.background import BackgroundServer, serve
from .run.process import ServerProcess, serve_process
from .run.registry import stop_all

# applications configure logging; without this handler, warnings would appear in a notebook's cells
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "BackgroundServer",
    "ServerError",
    "ServerProcess",
    "StartError",
    "StopError",
    "serve",
    "serve_process",
    "stop_all",
]
