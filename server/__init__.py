"""The backend that the course builds: WebSockets with FastAPI, grown up."""

from __future__ import annotations

import logging

from .background import BackgroundServer, serve
from .cell import stop_all
from .errors import ServerError, StartError, StopError
from .process import ServerProcess, serve_process

# who uses this decides what becomes of its log; without a word, warnings would stand in a notebook's cells
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
