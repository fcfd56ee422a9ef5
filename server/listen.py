"""What is served, and where: an ASGI app, and a port of this machine."""

from __future__ import annotations

import inspect
import socket
import sys
from contextlib import suppress
from typing import Any

from uvicorn.importer import import_from_string

from .errors import StartError

__all__ = ["HOST", "asgi_app", "bind"]

HOST = "127.0.0.1"


def asgi_app(app: Any) -> Any:
    """`app` itself, or what a "module:attribute" string names.

    Raises:
        StartError: it cannot be imported or does not take (scope, receive, send).
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
    """A socket that listens on this port of 127.0.0.1; 0 takes a free one.

    Raises:
        StartError: the port is taken, reserved or no port number.
    """
    # asyncio lets a small message go before the last is acknowledged (TCP_NODELAY) only where the protocol is named
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if sys.platform != "win32":  # there it would let two servers share one port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise StartError(f"port {port!r} cannot be used ({error}); pass port=0 for a free one") from None
    return listener
