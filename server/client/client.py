"""A Python client of the chat that comes back by itself and resumes: no gap, no duplicate.

::

    async with Client("https://chat.example.com", token=get_token) as client:
        await client.say("lobby", "hello")
        async for message in client.room("lobby", last=20):
            ...
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from ..broker import Position
from ..inbox import Standing
from ..messages import Ack, ChatMessage, Join, Notification, Say, Watch
from .credentials import Credentials, Source
from .exchange import Exchange
from .heard import made
from .link import Link, State, Wires, address_of
from .reader import Reader
from .refusal import ClientError, ClosedError, Loss

__all__ = ["Client", "ClientStatistics"]


@dataclass(frozen=True)
class ClientStatistics:
    """What a client has been through."""

    connections: int
    """Connections that were welcomed."""
    duplicates: int
    """Messages that came again and were dropped."""
    gaps: int
    """Times that something was missing in between, or had found no room here, and was asked for again."""


class Client:
    """One device of one user; ``async with`` connects it, and ends everything at once when the block ends.

    Entering returns when the server has said welcome, however long that takes (put it into an
    `asyncio.timeout`), and raises when it refuses. A connection that is lost is made again, after a while that
    grows and is random; every room and the inbox go on where they were. The client does not come back when the
    server says so: spam (4002), forbidden (4003), replaced (4004), or 4001 without a way to get a new token.
    Whatever uses the client then raises that.

    A loop that does not take its items stops the client's reading when `buffer` of them wait: nothing more is
    kept here, the server waits, closes the connection in the end (4008), and the rest comes from its log. As all
    readers of a client share its connection, one that is slow slows the others; readers of different pace want
    a client each. Only while something said is not yet confirmed does the client read on, and asks again later
    for what found no room.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | Source | None = None,
        ticket: Source | None = None,
        name: str | None = None,
        device: str = "",
        buffer: int = 64,
        announced: Callable[[str], None] | None = None,
        wires: Wires | None = None,
    ) -> None:
        """Say where the server is and who this is.

        Args:
            url: the server's address, such as ``http://127.0.0.1:8000``.
            token: a session token, or a function that gets one for each connection.
            ticket: a function that gets a ticket for each connection.
            name: a name for the demo login, where the server has one.
            device: tells the devices of one user apart.
            buffer: items that are read ahead for each reader.
            announced: called with what the teacher of a class says to everybody; it is not stored.
            wires: timeouts, backoff, proxy and TLS.

        Raises:
            ClientError: the address or the way to log in is none.
        """
        address = address_of(url)
        wires = wires or Wires()
        self._credentials = Credentials(address, token=token, ticket=ticket, name=name, tls=wires.tls)
        self._exchange = Exchange(lambda message: self._link.send(message), wires.backoff, announced)  # noqa: PLW0108  # made below
        self._link = Link(
            address,
            self._credentials,
            wires,
            query={"device": device} if device else {},
            opened=self._on_opened,
            heard=self._exchange.heard,
            lost=self._exchange.lost,
        )
        self._buffer = buffer
        self._welcomed = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    # its life

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            RefusedError: the server does not let us in.
        """
        if self._owner is not None:
            raise ClientError("a client is entered once; make a new one")
        self._owner = asyncio.create_task(self._own(), name="client")
        try:
            await self._welcomed.wait()
            self._check()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._close()

    @property
    def state(self) -> State:
        """What the client is doing."""
        return self._link.state

    @property
    def user(self) -> str:
        """Who the server says that this is."""
        return self._exchange.user

    @property
    def error(self) -> BaseException | None:
        """Why the client has stopped by itself; None while it has not."""
        return self._error

    @property
    def loss(self) -> Loss | None:
        """How the last connection that was open ended: its code and reason, for a log."""
        return self._link.loss

    async def headers(self) -> dict[str, str]:
        """What a request of your own needs to be this user's: the header with the token, a new one where that is due.

        Raises:
            OSError: the demo login, or the function that gets a token, could not be reached.
        """
        return (await self._credentials.show())[0]

    def statistics(self) -> ClientStatistics:
        """What the client has been through so far."""
        return ClientStatistics(self._link.connections, self._exchange.duplicates, self._exchange.gaps)

    # rooms

    def room(self, room: str, *, after: Position | None = None, last: int = 0) -> Reader[ChatMessage]:
        """What is said in a room: from now on, or `after` a position, or first the `last` so many messages.

        Raises, in its loop:
            RefusedError: the server does not let us into this room, or not back at all.
        """
        made(Join, room=room, after=after, last=last)
        return self._reader(room, after, last)

    async def say(self, room: str, text: str, *, key: str | None = None, seconds: float = 30.0) -> Position:
        """Say something in a room, and return where it stands as soon as the server has stored it.

        Over however many connections that takes, it is stored once: it is said again with the same idempotency
        `key`, one of its own unless given. Whoever is not in the room goes in. The order of what several tasks say
        at the same time is open.

        Raises:
            RefusedError: the server refuses, in its words.
            UnconfirmedError: it was not confirmed within `seconds`, and may be stored or not.
            ClosedError: the client was closed meanwhile.
        """
        self._check()
        key = key or secrets.token_urlsafe(12)
        return await self._exchange.say(made(Say, room=room, text=text, key=key, id=key), key, seconds)

    # the inbox

    def inbox(self, *, after: Position | None = None, last: int = 0) -> Reader[Notification]:
        """What this user is notified of: from now on, or `after` a position, or first the `last` so many.

        A device that keeps the position of what it has dealt with, and comes back with it, gets each once.

        Raises, in its loop:
            RefusedError: the server does not let us back.
        """
        made(Watch, after=after, last=last)
        return self._reader(None, after, last)

    @property
    def standing(self) -> Standing | None:
        """How much of the inbox is unread, on all devices together; None before the inbox has been opened."""
        return self._exchange.standing

    async def ack(self, position: Position, *, seconds: float = 30.0) -> None:
        """Say that everything up to a position is read, on all of the user's devices; it never goes back.

        Returns when the server has stored it. Once for many notifications is enough: see `Wires.per_second`.

        Raises: as `say`.
        """
        self._check()
        key = secrets.token_urlsafe(12)
        await self._exchange.acknowledge(made(Ack, position=position, id=key), key, seconds)

    # how it is done

    def _reader(self, name: str | None, after: Position | None, last: int) -> Reader[Any]:
        def start(reader: Reader[Any]) -> None:
            self._check()
            self._exchange.start(reader)

        leave, taken = self._exchange.leave, self._exchange.taken
        return Reader(name, after=after, last=last, size=self._buffer, start=start, leave=leave, taken=taken)

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        if self._owner is None or self.state is State.STOPPED:
            raise ClosedError("the client is not open; use it inside `async with Client(...) as client:`")

    async def _own(self) -> None:
        try:
            await self._link.run()
        except Exception as error:  # whoever uses the client gets it
            self._error = error
        finally:
            self._exchange.end(self._error)
            self._welcomed.set()

    async def _close(self) -> None:
        assert self._owner is not None
        self._exchange.end(self._error)  # before the goodbye, for which a dead server makes us wait
        self._owner.cancel()
        await asyncio.wait((self._owner,))

    def _on_opened(self, text: str) -> None:
        self._exchange.opened(text)
        self._welcomed.set()
