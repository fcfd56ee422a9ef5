"""uvicorn on sockets that are already bound, which logs the addresses it listens on."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence

import uvicorn

__all__ = ["ListeningServer", "log_addresses"]


class ListeningServer(uvicorn.Server):
    """uvicorn's server, which also logs its addresses for sockets that it didn't bind itself."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept, and log the addresses."""
        await super().startup(sockets)
        if self.started and sockets:
            log_addresses(self.config, sockets)


def log_addresses(config: uvicorn.Config, sockets: Sequence[socket.socket]) -> None:
    """Log one line for each socket: ``running on http://127.0.0.1:8000``."""
    scheme = "https" if config.is_ssl else "http"
    for listener in sockets:
        host, port = listener.getsockname()[:2]
        address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        logging.getLogger("uvicorn.error").info("running on %s (press Ctrl-C to stop)", address)
