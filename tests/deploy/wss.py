"""A WebSocket client over TLS for tests without an event loop.

The synchronous client of websockets reads and writes one TLS session from two threads, and hangs now and
then; this is its asynchronous one, whose loop runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from anyio.from_thread import BlockingPortal, start_blocking_portal
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_async
from websockets.typing import Origin

__all__ = ["Connection", "connect"]


class Connection:
    """One connection, which is there as long as the block of `connect`."""

    def __init__(self, portal: BlockingPortal, client: ClientConnection) -> None:
        self._portal = portal
        self._client = client

    def send(self, text: str) -> None:
        """Send one message."""
        self._portal.call(self._client.send, text)

    def recv(self, timeout: float) -> str | bytes:
        """The next message.

        Raises:
            TimeoutError: none came within `timeout` seconds.
            websockets.ConnectionClosed: the connection has ended.
        """

        async def receive() -> str | bytes:
            async with asyncio.timeout(timeout):
                return await self._client.recv()

        return self._portal.call(receive)


@contextmanager
def connect(address: str, *, tls: ssl.SSLContext, origin: str | None = None) -> Iterator[Connection]:
    """Open a connection, and close it after the block.

    Raises:
        websockets.InvalidStatus: the handshake was refused.
    """
    stated = None if origin is None else Origin(origin)
    with start_blocking_portal() as portal:
        opening = connect_async(address, ssl=tls, proxy=None, origin=stated)
        with portal.wrap_async_context_manager(opening) as client:
            yield Connection(portal, client)
