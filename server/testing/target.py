"""Where a tap passes the bytes on to: a server on this machine, by whatever names it."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit

__all__ = ["Address", "Served", "Target", "resolve"]

HOST = "127.0.0.1"
DEFAULT_PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}

Address: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]


class Served(Protocol):
    """Something that knows its address: what `serve` and `serve_process` return, or a `Tap`."""

    def url(self, path: str = "/") -> str:
        """Return the WebSocket address of `path`."""


Target: TypeAlias = Served | str | int | tuple[str, int]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A target found."""

    tls: bool
    addresses: list[Address]


def resolve(target: Target) -> Resolved:
    """Return the addresses of a server, a port, ``"host:port"``, ``(host, port)`` or a URL, and whether it uses TLS.

    Raises:
        ValueError: it is none of these, or the host is not known.
    """
    tls, host, port = _parsed(target)
    if not 0 < port < 65_536:
        raise ValueError(f"cannot tap {target!r}: there is no port {port}; pass the port of a server on this machine")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ValueError(f"cannot tap {target!r}: {error}; pass a host and a port of this machine") from None
    return Resolved(tls, [(family, kind, protocol, name, address) for family, kind, protocol, name, address in found])


def _parsed(target: Target) -> tuple[bool, str, int]:
    if callable(url := getattr(target, "url", None)):
        target = url("/")
    if isinstance(target, int) and not isinstance(target, bool):
        return False, HOST, target
    if isinstance(target, tuple) and len(target) == 2:
        return False, target[0], target[1]
    if isinstance(target, str):
        parts = urlsplit(target if "://" in target else f"tcp://{target}")
        with suppress(ValueError):  # its port is no number
            if parts.hostname and (port := parts.port or DEFAULT_PORTS.get(parts.scheme)):
                return parts.scheme in ("wss", "https"), parts.hostname, port
    raise ValueError(f"cannot tap {target!r}; pass what serve() returned, a port, 'host:port' or a URL")
