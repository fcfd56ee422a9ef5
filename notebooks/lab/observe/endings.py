"""What a client receives next, and how its connection ends."""

from __future__ import annotations

import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

__all__ = ["end_of", "message_or_code"]


def message_or_code(client: ClientConnection, *, timeout: float = 15) -> str | bytes | int:
    """Return the next message, or the close code if the connection ends instead: ``message_or_code(client)``.

    A message is `str` or `bytes`, a close code is `int`: 1005 when the close frame had no code, 1006 when
    there was no close frame. `client` is a connection of ``websockets.sync.client``.

    Raises:
        TimeoutError: neither came within `timeout` seconds.
    """
    try:
        return client.recv(timeout=timeout)
    except ConnectionClosed:
        assert client.close_code is not None
        return client.close_code


def end_of(client: ClientConnection, *, timeout: float = 15) -> int:
    """Read until the connection ends, and return its close code: ``end_of(client)``.

    The code is 1005 when the close frame had no code, and 1006 when there was no close frame. Messages that still
    arrive are dropped.

    Raises:
        TimeoutError: the connection is still open after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    try:
        while not isinstance(code := message_or_code(client, timeout=max(0.0, deadline - time.monotonic())), int):
            pass
    except TimeoutError:
        raise TimeoutError(f"the connection is still open after {timeout:g} s") from None
    return code
