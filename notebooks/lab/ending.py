"""How a connection ended, as its client saw it."""

from __future__ import annotations

import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

__all__ = ["end_of"]


def end_of(client: ClientConnection, *, timeout: float = 3) -> int:
    """Read until the connection ends, and return the close code that the client saw.

    It is 1005 when the close frame had no code, 1006 when there was no close frame.

    Raises:
        TimeoutError: the connection is still open after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            client.recv(timeout=max(0.0, deadline - time.monotonic()))
        except ConnectionClosed:
            assert client.close_code is not None
            return client.close_code
        except TimeoutError:
            raise TimeoutError(f"the connection is still open after {timeout:g} s") from None
