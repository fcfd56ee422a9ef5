"""A server for a class: uvicorn, which prints the join link as soon as it accepts connections."""

from __future__ import annotations

import socket

import uvicorn
from fastapi import FastAPI

from ...run.server import ListeningServer
from .join_link import EVERY_NETWORK, join_instructions, lan_address

__all__ = ["ClassroomServer"]


class ClassroomServer(ListeningServer):
    """A server that prints the links of its class as soon as it accepts connections."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._classroom = app.state.classroom

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and print the links."""
        await super().startup(sockets)
        if self.started:
            self._print_addresses(self.servers[0].sockets[0].getsockname()[1])

    def _print_addresses(self, port: int) -> None:
        """Print the links, now that the port is known."""
        host, classroom = self.config.host, self._classroom
        reachable = lan_address(host)
        classroom.join = reachable and f"{self._address(reachable, port)}join"
        own = "127.0.0.1" if host in EVERY_NETWORK else host
        teacher = f"{self._address(own, port)}teacher#key={classroom.key}"
        print(join_instructions(classroom.join, teacher), flush=True)  # noqa: T201

    def _address(self, host: str, port: int) -> str:
        return f"{'https' if self.config.is_ssl else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"
