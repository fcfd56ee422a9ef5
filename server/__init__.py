"""The backend that the course builds: WebSockets with FastAPI, grown up."""

from __future__ import annotations

from .background import BackgroundServer, serve
from .cell import stop_all
from .errors import ServerError, StartError, StopError

__all__ = ["BackgroundServer", "ServerError", "StartError", "StopError", "serve", "stop_all"]
