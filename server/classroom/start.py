"""Serving a class: uvicorn, which says how to come in as soon as somebody can."""

from __future__ import annotations

import socket
import sys

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

from ..command import Command
from .poster import EVERY_NETWORK, address_in_network, poster

__all__ = ["hold_class"]


def hold_class(app: FastAPI, command: Command) -> None:
    """Serve until SIGTERM or SIGINT, and print the addresses first.

    Raises:
        SystemExit: the port is taken, or the app could not start; the log says why.
    """
    server = _Server(uvicorn.Config(app, **command.server_options), app)
    server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._classroom = app.state.classroom

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._say_where(self.servers[0].sockets[0].getsockname()[1])

    def _say_where(self, port: int) -> None:
        """Print the addresses, now that the port is known."""
        host, classroom = self.config.host, self._classroom
        others = address_in_network(host)
        classroom.join = others and f"{self._address(others, port)}join"
        mine = "127.0.0.1" if host in EVERY_NETWORK else host
        teacher = f"{self._address(mine, port)}teacher#key={classroom.key}"
        print(poster(classroom.join, teacher), flush=True)  # noqa: T201

    def _address(self, host: str, port: int) -> str:
        return f"{'https' if self.config.is_ssl else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"
