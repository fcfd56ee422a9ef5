"""The backend that the course builds: WebSockets with FastAPI, grown up."""

from __future__ import annotations

from .background import BackgroundServer, serve
from .cell import stop_all
from .errors import ServerError, StartError, StopError
from .process import ServerProcess, serve_process

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
