"""A Python client of the chat that reconnects and resumes: no gap, no duplicate.

::

    async with Client("https://chat.example.com", token=get_token) as client:
        await client.say("lobby", "hello")
        async for message in client.room("lobby", last=20):
            ...
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
from urllib.error import HTTPError

from ..broker import Position
from ..inbox import ReadState
from ..messages import Ack, ChatMessage, Join, Message, Notification, Say, Watch, Welcome
from .arguments import address_of, check_number, check_text, check_whole_number
from .codec import build
from .connection import Connection, ConnectOptions, State
from .credentials import Credentials, TokenSource
from .errors import ClientError, ClosedError, Disconnect
from .proxy import proxy_for
from .reader import Reader
from .session import Session

__all__ = ["Client", "ClientStatistics"]


@dataclass(frozen=True)
class ClientStatistics:
    """What a client has counted."""

    connections: int
    """Connections on which the server sent its welcome."""
    duplicates: int
    """Messages that came again and were dropped."""
    gaps: int
    """Times that messages were missing, or were dropped because a buffer was full, and were requested again."""


class Client:
    """One device of one user; ``async with`` connects it, and closes everything at once when the block ends.

    Entering the block returns when the server has sent its welcome, however long that takes (put it into an
    `asyncio.timeout`), and raises when the server refuses. A lost connection is replaced after a random delay that
    grows; every room and the inbox continue where they were. The client doesn't reconnect when the server says so:
    forbidden (4003), replaced (4004), or 4001 without a way to get a new token. Every later call and every loop then
    raises that error.

    When a loop is slow and `buffer` items wait for it, the client stops reading from the connection. The server has
    to wait, and closes the connection in the end (4008); the client reconnects and gets the rest from the server's
    log. All readers of a client share its connection, so a slow one slows the others; give readers of different
    speed a client each. There is one exception: while a message is unconfirmed, the client reads on, drops what
    finds no space, and requests it again later.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | TokenSource | None = None,
        ticket: TokenSource | None = None,
        name: str | None = None,
        device: str = "",
        buffer: int = 64,
        on_announcement: Callable[[str], None] | None = None,
        options: ConnectOptions | None = None,
    ) -> None:
        """Make a client, without connecting it.

        Args:
            url: the server's address, such as ``http://127.0.0.1:8000``.
            token: a session token, or a function that gets one for each connection.
            ticket: a function that gets a ticket for each connection.
            name: a name for the demo login, where the server has one.
            device: tells the devices of one user apart.
            buffer: how many items are read ahead for each reader.
            on_announcement: called with what the teacher of a class says to everybody; it isn't stored.
            options: timeouts, backoff, limits, proxy and TLS.

        Raises:
            ClientError: an argument has a value with which no connection can ever be made.
        """
        options = ConnectOptions() if options is None else options
        address = address_of(url)
        _check_arguments(address, device, buffer, on_announcement, options)
        self._credentials = Credentials(
            address, token=token, ticket=ticket, name=name, proxy=options.proxy, tls=options.tls
        )
        self._session = Session(self._send, options.backoff, on_announcement)
        self._connection = Connection(
            address,
            self._credentials,
            options,
            query={"device": device} if device else {},
            on_open=self._session.on_open,
            on_welcome=self._on_welcome,
            on_message=self._session.on_message,
            on_disconnect=self._session.on_disconnect,
        )
        self._buffer = buffer
        self._is_welcome = asyncio.Event()  # or has ended before
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    # opening and closing

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            RefusedError: the server refuses.
        """
        if self._task is not None:
            raise ClientError("a client is entered once; make a new one")
        self._task = asyncio.create_task(self._run(), name="client")
        try:
            await self._is_welcome.wait()
            self._check_open()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._close()

    # what is known

    @property
    def state(self) -> State:
        """What the client is doing."""
        return self._connection.state

    @property
    def user(self) -> str:
        """The user's name, as the server knows it."""
        return self._session.user

    @property
    def error(self) -> BaseException | None:
        """Why the client has stopped by itself; None while it has not."""
        return self._error

    @property
    def last_disconnect(self) -> Disconnect | None:
        """How the last connection that was open ended, with its code and reason; None while none has."""
        return self._connection.last_disconnect

    @property
    def read_state(self) -> ReadState | None:
        """How much of the inbox is unread, on all devices together; None before the inbox has been opened."""
        return self._session.read_state

    def statistics(self) -> ClientStatistics:
        """Return what the client has counted so far."""
        return ClientStatistics(self._connection.connections, self._session.duplicates, self._session.gaps)

    async def headers(self) -> dict[str, str]:
        """Return the header that lets your own HTTP request act as this user; it may get a new token.

        Raises:
            RefusedError: the demo login refuses.
            OSError: the demo login, or the function that gets a token, could not be reached.
            ClientError: the client was made with ``ticket=``.
        """
        if not self._credentials.has_headers:
            raise ClientError("a ticket is good for one connection and for no request; make the client with token=")
        try:
            return (await self._credentials.fetch())[0]
        except HTTPError as error:
            disconnect = Disconnect.from_exception(error)
            if disconnect.is_final or disconnect.needs_login:
                raise disconnect.error() from None
            raise

    # rooms

    def room(self, room: str, *, after: Position | None = None, last: int = 0) -> Reader[ChatMessage]:
        """Return a reader of a room: from now on, or `after` a position, or first the `last` so many messages.

        Raises:
            RefusedError: an argument has a value that no server accepts; in the loop: the server doesn't let us into
                the room, or refuses us altogether.
        """
        normalized = build(Join, room=room, after=after, last=last).room  # as the server names it
        return self._reader(normalized, after, last)

    async def say(self, room: str, text: str, *, key: str | None = None, seconds: float = 30.0) -> Position:
        """Send a message to a room; return its position in the room's log as soon as the server has stored it.

        Over however many connections that takes, it is stored once: it is sent again with the same idempotency
        `key`, which is a random one unless you pass it. The client joins the room if it isn't in it. When several
        tasks send at the same time, their order is open.

        Raises:
            RefusedError: the server refuses, and says why.
            UnconfirmedError: no confirmation came within `seconds`; the message may be stored or not.
            ClosedError: the client was closed meanwhile.
        """
        self._check_open()
        check_number("seconds=", seconds)
        key = secrets.token_urlsafe(12) if key is None else key
        return await self._session.say(build(Say, room=room, text=text, key=key, id=key), key, seconds)

    # the inbox

    def inbox(self, *, after: Position | None = None, last: int = 0) -> Reader[Notification]:
        """Return a reader of this user's inbox: from now on, or `after` a position, or first the `last` so many.

        A device that stores the position of the last notification that it has handled, and passes it as `after` when
        it starts again, gets each notification once.

        Raises:
            RefusedError: an argument has a value that no server accepts; in the loop: the server refuses us.
        """
        build(Watch, after=after, last=last)
        return self._reader(None, after, last)

    async def ack(self, position: Position, *, seconds: float = 30.0) -> None:
        """Mark everything up to a position as read, on all of the user's devices; the mark never goes back.

        Return when the server has stored it. One call for many notifications is enough: see
        `ConnectOptions.messages_per_second`.

        Raises: the same as `say`.
        """
        self._check_open()
        check_number("seconds=", seconds)
        key = secrets.token_urlsafe(12)
        await self._session.acknowledge(build(Ack, position=position, id=key), key, seconds)

    # private

    def _reader(self, room: str | None, after: Position | None, last: int) -> Reader[Any]:
        def subscribe(reader: Reader[Any]) -> None:
            self._check_open()
            self._session.subscribe(reader)

        return Reader(
            room,
            after=after,
            last=last,
            size=self._buffer,
            subscribe=subscribe,
            unsubscribe=self._session.unsubscribe,
            on_taken=self._session.on_taken,
        )

    def _check_open(self) -> None:
        if self._error is not None:
            raise self._error
        if self._task is None or self.state is State.STOPPED:
            raise ClosedError("the client is not open; use it inside `async with Client(...) as client:`")

    async def _run(self) -> None:
        try:
            await self._connection.run()
        except Exception as error:  # raised by whatever uses the client next
            self._error = error
        finally:
            self._session.close(self._error)
            self._is_welcome.set()

    async def _close(self) -> None:
        assert self._task is not None
        self._session.close(self._error)  # before the closing handshake, for which a dead server makes us wait
        self._task.cancel()
        await asyncio.wait((self._task,))

    def _send(self, message: Message) -> None:
        self._connection.send(message)

    def _on_welcome(self, welcome: Welcome) -> None:
        self._session.on_welcome(welcome)
        self._is_welcome.set()


def _check_arguments(
    address: str, device: str, buffer: int, on_announcement: Callable[[str], None] | None, options: ConnectOptions
) -> None:
    """Raise ClientError for an argument with which no connection can ever be made."""
    check_text("device=", device)
    check_whole_number("buffer=", buffer)
    if on_announcement is not None and not callable(on_announcement):
        raise ClientError(f"on_announcement= must be a function, got {type(on_announcement).__name__}")
    if inspect.iscoroutinefunction(on_announcement):
        raise ClientError("on_announcement= must not be an async function, since it is called and not awaited")
    if not isinstance(options, ConnectOptions):
        raise ClientError(f"options= must be ConnectOptions, got {type(options).__name__}")
    if options.tls is not None and address.startswith("http:"):
        raise ClientError("tls= is only for an address that begins with https://")
    proxy_for(address, options.proxy)
