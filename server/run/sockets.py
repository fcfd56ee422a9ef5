"""The arguments of a server: an ASGI app, and the sockets that it listens on."""

from __future__ import annotations

import errno
import inspect
import socket
import sys
from contextlib import ExitStack, suppress
from typing import Any

from uvicorn.importer import import_from_string

from ..errors import StartError

__all__ = ["HOST", "asgi_app", "bind", "listen"]

HOST = "127.0.0.1"
ATTEMPTS = 10  # to find a port that is free at every address


def asgi_app(app: Any) -> Any:
    """Return `app` itself, or the object that a "module:attribute" string names.

    Raises:
        StartError: it can't be imported, or doesn't take (scope, receive, send).
    """
    if isinstance(app, str):
        try:
            app = import_from_string(app)
        except BaseException as error:
            raise StartError(f"cannot import {app!r}: {type(error).__name__}: {error}") from error
    if not callable(app):
        raise StartError(f"serve() needs an ASGI app such as FastAPI(), got {app!r}")
    with suppress(ValueError):  # some builtins have no signature
        signature = inspect.signature(app)
        try:
            signature.bind("scope", "receive", "send")
        except TypeError:
            remedy = "call it first" if not signature.parameters else "pass the FastAPI() object itself"
            raise StartError(f"{app!r} is not an ASGI app, it does not take (scope, receive, send); {remedy}") from None
    return app


def bind(port: int) -> socket.socket:
    """Return a socket that listens on this port of 127.0.0.1; 0 takes a free one.

    Raises:
        StartError: the port is taken, reserved, or not a port number.
    """
    try:
        listener = _listener(socket.AF_INET, HOST, port)
        listener.listen()
    except (OSError, OverflowError) as error:
        raise StartError(f"port {port!r} cannot be used ({error}); pass port=0 for a free one") from None
    return listener


def listen(host: str, port: int) -> list[socket.socket]:
    """Return bound sockets for every address of `host`: ``::`` takes IPv4 as well, ``localhost`` is 127.0.0.1 and ::1.

    Raises:
        StartError: the host is not an address of this machine, or the port is taken.
    """
    attempts = 1 if port else ATTEMPTS
    while True:
        attempts -= 1
        try:
            return _listen_at_all(_addresses(host), port)
        except (OSError, UnicodeError) as error:  # UnicodeError: not a valid host name
            if attempts and isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                continue  # the port that is free at one address was taken at the other
            raise StartError(
                f"cannot listen on {host!r}, port {port} ({getattr(error, 'strerror', None) or error}); "
                "pass --host an address of this machine and --port one that is free, or 0"
            ) from None


def _listen_at_all(addresses: list[tuple[socket.AddressFamily, str]], port: int) -> list[socket.socket]:
    """Listen at every address on the same port; with port 0, on the one that the system gives for the first."""
    with ExitStack() as opened:
        sockets: list[socket.socket] = []
        for family, address in addresses:
            sockets.append(opened.enter_context(_listener(family, address, port)))
            port = sockets[0].getsockname()[1]
        opened.pop_all()
    return sockets


def _addresses(host: str) -> list[tuple[socket.AddressFamily, str]]:
    if host == "::":
        # two sockets: a single one would show IPv4 clients and proxies as ::ffff:127.0.0.1
        return [(socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")]
    if host == "localhost" and _has_ipv6_loopback():  # even if the hosts file has only one of them (RFC 6761)
        return [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def _has_ipv6_loopback() -> bool:
    try:
        _listener(socket.AF_INET6, "::1", 0).close()
    except OSError:
        return False
    return True


def _listener(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only if the protocol is given: without it, small messages wait for an acknowledgement
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # there, two servers could then share one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
    except (OSError, OverflowError):
        listener.close()
        raise
    return listener
