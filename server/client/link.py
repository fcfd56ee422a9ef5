"""One connection to the chat that comes back by itself, unless the server says that it must not.

What the page's ``connection.js`` does, for Python.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from aiolimiter import AsyncLimiter
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from ..messages import Message
from .backoff import Backoff
from .credentials import NO_WAY, Credentials
from .refusal import LOST, ClientError, Loss

__all__ = ["Link", "State", "Wires", "address_of"]

_log = logging.getLogger(__name__)

CLOSE_TIMEOUT = 1.0  # seconds that a goodbye may take


class State(StrEnum):
    """What a client is doing."""

    CONNECTING = "connecting"
    """The handshake runs, or what it needs is being fetched."""
    OPEN = "open"
    """Messages go both ways."""
    WAITING = "waiting"
    """The connection was lost; after a while comes the next try."""
    STOPPED = "stopped"
    """Closed, or refused for good."""


@dataclass(frozen=True, kw_only=True)
class Wires:
    """How a client reaches its server."""

    backoff: Backoff = field(default_factory=Backoff)
    """How long it waits before it comes back."""
    patience: float = 10.0
    """Seconds that a token, a handshake and the server's welcome may take together."""
    ping_seconds: float = 20.0
    """Seconds between two pings, and until one that is not answered ends the connection."""
    per_second: float = 5.0
    """Messages per second that it sends for long; more wait here. A server closes who sends more than it allows (4002):
    by default 5, and 50 at once, of all devices of a user together."""
    burst: int = 40
    """Messages that it sends at once, before `per_second` counts."""
    proxy: str | Literal[True] | None = True
    """The address of a proxy, True for the system's own, None for none."""
    tls: ssl.SSLContext | None = None
    """For an ``https`` server with a certificate of its own authority."""


class Link:
    """The owner of a client's connection: `run` is the one task, everything else is called from it."""

    def __init__(
        self,
        address: str,
        credentials: Credentials,
        wires: Wires,
        *,
        query: dict[str, str],
        opened: Callable[[str], None],
        heard: Callable[[str], Awaitable[None]],
        lost: Callable[[Loss], None],
    ) -> None:
        """Connect to `address`; the callbacks hear the first text, every other, and each end."""
        self._address = address
        self._credentials = credentials
        self._wires = wires
        self._query = query
        self._opened, self._heard, self._lost = opened, heard, lost
        self._outgoing: deque[str] = deque()
        self._filled = asyncio.Event()
        self._pace = AsyncLimiter(wires.burst, wires.burst / wires.per_second)
        self.state = State.CONNECTING
        self.connections = 0
        self.loss: Loss | None = None

    def send(self, message: Message) -> None:
        """Send on the connection that is open; what is sent while there is none is forgotten."""
        if self.state is State.OPEN:
            self._outgoing.append(message.encode())
            self._filled.set()

    async def run(self) -> None:
        """Keep the connection, until this is cancelled.

        Raises:
            ClientError: the server does not want us back, or says what cannot be read.
        """
        attempt = 0
        try:
            while True:
                loss, seconds = await self._connection()
                if seconds is not None:
                    self.loss = loss
                    attempt = 0 if seconds > self._wires.backoff.steady else attempt
                self._lost(loss)
                if loss.is_login and not self._credentials.can_renew(was_good=seconds is not None):
                    raise loss.error(NO_WAY)
                if loss.is_final:
                    raise loss.error()
                self.state = State.WAITING
                await asyncio.sleep(self._wires.backoff.delay(attempt, busy=loss.is_busy))
                attempt += 1
        except Exception as error:
            cause = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            if not isinstance(cause, ClientError):  # a mistake of somebody's, and perhaps nobody asks the client again
                _log.error("the client of %s ends", self._address, exc_info=cause)
            raise cause from cause.__cause__
        finally:
            self.state = State.STOPPED

    async def _connection(self) -> tuple[Loss, float | None]:
        """One connection: how it was lost, and the seconds since its welcome if there was one."""
        self.state = State.CONNECTING
        clock = asyncio.get_running_loop().time
        websocket: ClientConnection | None = None
        try:
            async with asyncio.timeout(self._wires.patience):
                websocket = await self._connect()
                welcome = await websocket.recv(decode=True)
            opened = clock()
            return await self._talk(websocket, welcome), clock() - opened
        except LOST as error:
            return Loss.of(error), None
        finally:
            if websocket is not None:
                await websocket.close()

    async def _connect(self) -> ClientConnection:
        headers, query = await self._show()
        options: dict[str, Any] = {} if self._wires.tls is None else {"ssl": self._wires.tls}
        return await connect(
            f"{self._address.replace('http', 'ws', 1)}ws?{urlencode(self._query | query)}",
            additional_headers=headers,
            compression=None,  # what is said here is short, and a context costs tens of kilobytes on both sides
            open_timeout=None,
            close_timeout=CLOSE_TIMEOUT,
            ping_interval=self._wires.ping_seconds,
            ping_timeout=self._wires.ping_seconds,
            proxy=self._wires.proxy,
            **options,
        )

    async def _show(self) -> tuple[dict[str, str], dict[str, str]]:
        """The credentials; once they have been good, whatever goes wrong with getting new ones is a matter of time."""
        try:
            return await self._credentials.show()
        except (*LOST, ClientError):
            raise
        except Exception as error:
            if not self.connections:
                raise
            _log.warning("no new token, trying again: %r", error)
            raise ConnectionError(f"no new token: {error!r}") from error

    async def _talk(self, websocket: ClientConnection, welcome: str) -> Loss:
        self.state = State.OPEN
        self.connections += 1
        self._outgoing.clear()
        self._opened(welcome)
        async with asyncio.TaskGroup() as children:
            writer = children.create_task(self._write(websocket), name="client-writer")
            try:
                while True:
                    await self._heard(await websocket.recv(decode=True))
            except ConnectionClosed as closed:
                return Loss.of(closed)
            finally:
                writer.cancel()

    async def _write(self, websocket: ClientConnection) -> None:
        try:
            while True:
                while self._outgoing:
                    await self._pace.acquire()
                    await websocket.send(self._outgoing.popleft())
                self._filled.clear()
                await self._filled.wait()
        except ConnectionClosed:
            return  # the reader says how


def address_of(url: str) -> str:
    """The address of a server, with a slash at its end.

    Raises:
        ClientError: it is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ClientError(f"{url!r} is no address of a server; write it like 'http://127.0.0.1:8000'")
    return url.rstrip("/") + "/"
