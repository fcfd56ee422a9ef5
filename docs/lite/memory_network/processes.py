"""What the lessons ask of `psutil`, answered for a process inside a browser page."""

from __future__ import annotations

from typing import NamedTuple

from .sockets import open_sockets

__all__ = ["CONN_ESTABLISHED", "CONN_LISTEN", "Process"]

CONN_LISTEN = "LISTEN"
CONN_ESTABLISHED = "ESTABLISHED"


class _Address(NamedTuple):
    ip: str
    port: int


class _Connection(NamedTuple):
    laddr: _Address
    raddr: _Address | tuple[()]
    status: str


class Process:
    """The process of the page, which is the only one."""

    def children(self) -> list[Process]:
        """Return nothing: a page starts no processes."""
        return []

    def num_fds(self) -> int:
        """Return how many sockets are open."""
        return len(open_sockets)

    def net_connections(self, kind: str = "tcp") -> list[_Connection]:
        """Return the sockets in memory that are open."""
        return [
            _Connection(
                _Address(*one.getsockname()),
                _Address(*one.getpeername()) if one.connected else (),
                CONN_ESTABLISHED if one.connected else CONN_LISTEN,
            )
            for one in list(open_sockets.values())
            if one.visible
        ]
