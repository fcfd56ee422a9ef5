"""One connection to the chat that reconnects by itself, unless the server says that it must not.

The page's ``connection.js`` does the same in a browser.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode

from aiolimiter import AsyncLimiter
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidURI, SecurityError, StatusLineTooLong

from ..messages import CloseCode, Join, Leave, Message, Watch, Welcome
from ..messages.shorten import shorten
from .arguments import check_number, check_whole_number
from .backoff import Backoff
from .codec import Incoming, decode
from .credentials import TOKEN_REMEDY, Credentials
from .errors import CONNECTION_ERRORS, ClientError, Disconnect, LoginError, RefusedError, is_no_websocket
from .proxy import ProxyOption, proxy_for

__all__ = ["ConnectOptions", "Connection", "State"]

_log = logging.getLogger(__name__)
_websockets_log = logging.getLogger(f"{__name__}.websockets")
_websockets_log.setLevel(logging.INFO)  # at DEBUG it writes tokens, tickets and messages

CLOSE_TIMEOUT = 1.0  # seconds that the closing handshake may take


class State(StrEnum):
    """What a client is doing."""

    CONNECTING = "connecting"
    """It fetches credentials, or the handshake is running, or the server's welcome has not come yet."""
    OPEN = "open"
    """Messages go both ways."""
    WAITING = "waiting"
    """The connection was lost; the next attempt comes after a delay."""
    STOPPED = "stopped"
    """It was closed, or refused for good."""


@dataclass(frozen=True, kw_only=True)
class ConnectOptions:
    """How a client reaches its server."""

    backoff: Backoff = field(default_factory=Backoff)
    """How long it waits before it reconnects."""
    open_timeout: float = 10.0
    """Seconds that credentials, handshake and the server's welcome may take together."""
    ping_interval: float = 20.0
    """Seconds between two pings; a ping without an answer in the same time ends the connection."""
    messages_per_second: float = 5.0
    """Messages that it sends per second in the long run; the rest waits here. A server disconnects a user who sends
    more than it allows (4002): by default 5, and 50 at once, over all of the user's connections. The client is then
    silent for half a minute."""
    message_burst: int = 40
    """Messages that it sends at once before `messages_per_second` applies."""
    joins_per_second: float = 20.0
    """Joins, leaves and watches that it sends per second in the long run; the server counts them separately."""
    join_burst: int = 51
    """Joins, leaves and watches that it sends at once; a server allows 50 rooms and the inbox by default."""
    proxy: ProxyOption = field(default=True, repr=False)  # it can hold a password
    """The address of a proxy, True for the one of the environment or the system, None for none; for the demo login as
    well."""
    tls: ssl.SSLContext | None = None
    """For an ``https`` server with a certificate of its own authority."""

    def __post_init__(self) -> None:
        """Raise ClientError if no connection can be made with these values."""
        for name in ("open_timeout", "ping_interval", "messages_per_second", "joins_per_second"):
            check_number(f"{name}=", getattr(self, name))
        for name in ("message_burst", "join_burst"):
            check_whole_number(f"{name}=", getattr(self, name))
        if not isinstance(self.backoff, Backoff):
            raise ClientError(f"backoff= must be a Backoff, got {type(self.backoff).__name__}")
        if self.tls is not None and not isinstance(self.tls, ssl.SSLContext):
            raise ClientError(f"tls= must be an ssl.SSLContext, got {type(self.tls).__name__}")
        if self.tls is not None and self.tls.protocol == ssl.PROTOCOL_TLS_SERVER:
            raise ClientError("tls= is a context for servers; make one for clients with ssl.create_default_context()")


class Connection:
    """Owns a client's WebSocket, and replaces it when it is lost: `run` is the one task, and calls everything else."""

    def __init__(
        self,
        address: str,
        credentials: Credentials,
        options: ConnectOptions,
        *,
        query: dict[str, str],
        on_open: Callable[[], None],
        on_welcome: Callable[[Welcome], None],
        on_message: Callable[[Incoming], Awaitable[None]],
        on_disconnect: Callable[[Disconnect], None],
    ) -> None:
        """Connect to `address`; the callbacks are told of each handshake, the server's welcome, and what follows."""
        self._address = address
        self._credentials = credentials
        self._options = options
        self._query = query
        self._on_open, self._on_welcome = on_open, on_welcome
        self._on_message, self._on_disconnect = on_message, on_disconnect
        self._outgoing: deque[Message] = deque()
        self._is_writable = False
        self._has_outgoing = asyncio.Event()
        self._message_limiter = AsyncLimiter(options.message_burst, options.message_burst / options.messages_per_second)
        self._join_limiter = AsyncLimiter(options.join_burst, options.join_burst / options.joins_per_second)
        self.state = State.CONNECTING
        self.connections = 0
        self.last_disconnect: Disconnect | None = None

    def send(self, message: Message) -> None:
        """Send on the current connection; without one, the message is dropped."""
        if self._is_writable:
            self._outgoing.append(message)
            self._has_outgoing.set()

    async def run(self) -> None:
        """Stay connected until this task is cancelled.

        Raises:
            ClientError: the server does not accept us any more, or sends what cannot be read.
        """
        attempt = failures = 0
        try:
            while True:
                disconnect, seconds = await self._connect()
                failures = failures + 1 if seconds is None else 0
                if seconds is not None:
                    self.last_disconnect = disconnect
                    attempt = 0 if seconds > self._options.backoff.reset_after else attempt
                self._on_disconnect(disconnect)
                self._raise_if_final(disconnect, was_accepted=seconds is not None)
                self._log_disconnect(disconnect, failures)
                self.state = State.WAITING
                delay = self._options.backoff.delay
                await asyncio.sleep(delay(attempt, busy=disconnect.is_busy, retry_after=disconnect.retry_after))
                attempt += 1
        except Exception as error:
            cause = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            if not isinstance(cause, ClientError):  # a bug, and perhaps nobody uses the client again and sees it
                _log.error("the client of %s ends", self._address, exc_info=cause)
            raise cause from cause.__cause__
        finally:
            self.state = State.STOPPED

    def _raise_if_final(self, disconnect: Disconnect, *, was_accepted: bool) -> None:
        if disconnect.needs_login and not self._credentials.can_renew(was_accepted=was_accepted):
            raise disconnect.error(TOKEN_REMEDY)
        if disconnect.is_final:
            raise disconnect.error()

    def _log_disconnect(self, disconnect: Disconnect, failures: int) -> None:
        if failures.bit_count() == 1:  # the first, second, fourth, eighth …: ever more rarely
            cause = disconnect.reason or disconnect.code
            _log.warning("no connection to %s, attempt %d: %s", self._address, failures, cause)
        if disconnect.code == CloseCode.KICKED_FOR_SPAM:
            _log.warning("sent too much to %s, silent for a while: %s", self._address, disconnect.reason)

    async def _connect(self) -> tuple[Disconnect, float | None]:
        """Run one connection; return how it ended, and how many seconds after the welcome, if there was one."""
        self.state = State.CONNECTING
        websocket: ClientConnection | None = None
        try:
            async with asyncio.timeout(self._options.open_timeout) as opening:
                websocket = await self._open()
                return await self._talk(websocket, opening)
        except CONNECTION_ERRORS as error:
            if is_no_websocket(error) and not self.connections:
                raise RefusedError(f"no WebSocket at {self._address}, {error}; look at the address") from error
            return Disconnect.from_exception(error), None
        finally:
            self._is_writable = False
            if websocket is not None:
                await websocket.close()

    async def _open(self) -> ClientConnection:
        headers, query = await self._fetch_credentials()
        options: dict[str, Any] = {} if self._options.tls is None else {"ssl": self._options.tls}
        opening = connect(
            f"{self._address.replace('http', 'ws', 1)}ws?{urlencode(self._query | query)}",
            additional_headers=headers,
            compression=None,  # chat messages are short, and compression takes tens of kilobytes on both sides
            open_timeout=None,
            close_timeout=CLOSE_TIMEOUT,
            ping_interval=self._options.ping_interval,
            ping_timeout=self._options.ping_interval,
            logger=_websockets_log,
            proxy=proxy_for(self._address, self._options.proxy),
            **options,
        )
        try:
            return await opening
        except (InvalidURI, SecurityError, ValueError) as error:  # some of ssl's errors are a ValueError as well
            if isinstance(error, ssl.SSLError | StatusLineTooLong):
                raise
            # the text of the error repeats the query, which holds the ticket
            raise RefusedError(
                f"{self._address} redirects to an address that cannot be followed; pass that of the server itself"
            ) from None

    async def _fetch_credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the credentials; once a server has accepted some, a failure to get new ones is temporary."""
        try:
            return await self._credentials.fetch()
        except LoginError as error:
            if self.connections and isinstance(error.__cause__, HTTPException):
                raise ConnectionError(str(error)) from error
            raise
        except (*CONNECTION_ERRORS, ClientError):
            raise
        except Exception as error:
            if not self.connections:
                raise
            _log.warning("no new token, trying again: %r", error)
            raise ConnectionError(f"no new token: {error!r}") from error

    async def _talk(self, websocket: ClientConnection, opening: asyncio.Timeout) -> tuple[Disconnect, float | None]:
        """Send and receive until the connection ends; `opening` is the deadline of the welcome."""
        clock = asyncio.get_running_loop().time
        welcomed_at: float | None = None
        self._outgoing.clear()
        self._is_writable = True
        async with asyncio.TaskGroup() as children:
            writer = children.create_task(self._write(websocket), name="client-writer")
            try:
                self._on_open()  # its joins are on their way while the welcome comes
                self._welcome(await websocket.recv(decode=True))
                opening.reschedule(None)
                welcomed_at = clock()
                while True:
                    message = decode(await websocket.recv(decode=True))
                    if message is not None:
                        await self._on_message(message)
            except ConnectionClosed as closed:
                return Disconnect.from_exception(closed), None if welcomed_at is None else clock() - welcomed_at
            finally:
                writer.cancel()

    def _welcome(self, text: str) -> None:
        welcome = decode(text)
        if not isinstance(welcome, Welcome):
            raise ClientError(
                f"the server's first message is {shorten(text, 100)!r} and not a welcome; look at the address"
            )
        self.state = State.OPEN
        self.connections += 1
        self._on_welcome(welcome)

    async def _write(self, websocket: ClientConnection) -> None:
        try:
            while True:
                while self._outgoing:
                    message = self._outgoing.popleft()
                    is_join = isinstance(message, Join | Leave | Watch)
                    await (self._join_limiter if is_join else self._message_limiter).acquire()
                    await websocket.send(message.encode())
                self._has_outgoing.clear()
                await self._has_outgoing.wait()
        except ConnectionClosed:
            return  # the reader reports it
