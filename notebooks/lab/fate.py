"""What becomes of a message, and of a connection, as the client sees it."""

from __future__ import annotations

import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

__all__ = ["end_of", "fate"]


def fate(client: ClientConnection, *, timeout: float = 3) -> str | bytes | int:
    """The next message, or the close code if the connection ends instead.

    The code is 1005 when the close frame had none, and 1006 when there was no close frame.

    Raises:
        TimeoutError: neither came within `timeout` seconds.
    """
    try:
        return client.recv(timeout=timeout)
    except ConnectionClosed:
        assert client.close_code is not None
        return client.close_code


def end_of(client: ClientConnection, *, timeout: float = 3) -> int:
    """Read until the connection ends, and return its close code, as `fate` does.

    Raises:
        TimeoutError: the connection is still open after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    try:
        while not isinstance(code := fate(client, timeout=max(0.0, deadline - time.monotonic())), int):
            pass
    except TimeoutError:
        raise TimeoutError(f"the connection is still open after {timeout:g} s") from None
    return code
