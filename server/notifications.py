"""Notifications: to every device of one user, nobody else, and not one is lost (lesson 05).

A notification is in the log before `Notifications.push` returns, so that from then on it reaches every device
at least once, whatever becomes of this process; a device that keeps its position gets it exactly once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, Self
from weakref import WeakValueDictionary

from .broker import Broker, Position, Record, UnavailableError
from .feed import Feed, Feeds
from .inbox import Inbox, PositionError, Standing, mark_of, notification_of
from .messages import Ack, Error, Message, Notification, Read, Reset, Watch
from .messages import Inbox as InboxMessage
from .prepared import Batch, Prepared

__all__ = ["Device", "Notifications", "Said", "Watching"]

AWAY = "the server to reach its log, which is away; try again in a moment"


@dataclass(frozen=True, slots=True)
class Said(Prepared):
    """A message that is made ready for the wire once, with what it was made from."""

    message: Message = field(kw_only=True)

    @classmethod
    def of(cls, message: Message) -> Said:
        """Make a message ready."""
        return cls(message.encode(), message=message)


class Device(Protocol):
    """A connection, or a stream, of one user."""

    @property
    def user(self) -> str:
        """Whose it is."""

    def deliver(self, message: Prepared) -> None:
        """Take a message; never waits and never raises."""

    async def drained(self) -> None:
        """Wait until most of what was delivered has left."""


class Notifications:
    """The inboxes of an app; `push` is for any route and any background job."""

    def __init__(self, broker: Broker) -> None:
        """Keep the inboxes in a broker of their own, which is opened and closed with this."""
        self.broker = broker
        self.feeds = Feeds(broker)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Reach the log for the length of the block.

        Raises:
            BrokerError: that cannot be done.
        """
        async with self.broker, self.feeds.open():
            yield

    def inbox(self, user: str) -> Inbox:
        """The inbox of a user."""
        return Inbox(self.broker, user, self._turns.setdefault(user, asyncio.Lock()))

    async def push(self, user: str, *, kind: str, text: str, data: Any = None, key: str | None = None) -> Position:
        """Notify a user on all devices, now or when they come; where it stands in the inbox.

        It is stored when this returns. Pushed again with the same `key`, it is stored once.

        Raises: as `Inbox.push`.
        """
        return await self.inbox(user).push(kind=kind, text=text, data=data, key=key)


class _Wording:
    """How the log of an inbox is said."""

    def record(self, record: Record) -> Prepared:
        """A `Notification`."""
        return Said.of(notification_of(record))

    def reset(self, position: Position) -> Prepared:
        """A `Reset` without a room."""
        return Said.of(Reset(position=position))

    def signal(self, payload: str) -> None:
        """Nothing is ever signalled here."""


class Watching:
    """What one device hears of its user's inbox: a member of the feed, and a listener to the read marks.

    Use it with ``async with``, so that nothing of it outlives the device.
    """

    def __init__(self, notifications: Notifications, device: Device) -> None:
        self.user = device.user
        self._device = device
        self._broker = notifications.broker
        self._feeds = notifications.feeds
        self._inbox = notifications.inbox(device.user)
        self._stack = AsyncExitStack()
        self._feed: Feed | None = None
        self._standing: Standing | None = None  # as the device was told; None while it does not watch
        self._mark: Position | None = None  # told before the device was told anything
        self._reads = 0  # how many times it was told what has been read

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    # what the device asks for

    async def hear(self, message: Watch | Ack) -> None:
        """Do what a message of the device asks for, or answer with an `Error`."""
        try:
            if isinstance(message, Watch):
                await self.watch(after=message.after, last=message.last, id=message.id)
            else:
                await self.acknowledge(message.position)
        except PositionError as error:
            self._say(Error(field="position", expected=str(error), id=message.id))
        except UnavailableError:
            self._say(Error(expected=AWAY, id=message.id))

    async def watch(self, *, after: Position | None = None, last: int = 0, id: int | str | None = None) -> None:  # noqa: A002
        """Deliver an `Inbox`, what was missed, and what comes.

        Raises:
            UnavailableError: the log did not answer; the device hears nothing more, and may watch again.
        """
        await self.stop()
        try:
            # before its standing is read, so that no mark is missed in between
            await self._stack.enter_async_context(self._broker.subscribe(self._inbox.marks_topic, self))
            standing = await self._inbox.standing()
            self._feed = await self._feeds.join(
                self._inbox.topic, self, _Wording(), partial(self._open, standing, id), after=after, last=last
            )
        except BaseException:
            await self.stop()
            raise

    async def acknowledge(self, position: Position) -> None:
        """Have everything up to a position read; the device is told, even where that changes nothing.

        Raises: as `Inbox.acknowledge`.
        """
        reads = self._reads
        standing = await self._inbox.acknowledge(position)
        if self._standing is not None and standing.read is not None:
            standing = self._standing = self._standing.marked(standing.read)
        if self._reads == reads:  # else its mark has come back already
            self._say_read(standing)

    async def stop(self) -> None:
        """Deliver nothing more; harmless when the device does not watch."""
        if self._feed is not None:
            self._feed.leave(self)
        self._feed = self._standing = self._mark = None
        await self._stack.aclose()

    # what the feed of the inbox says

    def deliver(self, message: Prepared) -> None:
        """Pass a message on, and count it."""
        if self._standing is not None and isinstance(message, Said) and isinstance(message.message, Notification):
            self._standing = self._standing.grown(message.message.position)
        self._device.deliver(message)

    def deliver_all(self, batch: Batch) -> None:
        """Pass messages on, and count them."""
        for message in batch.messages:
            self.deliver(message)

    async def drained(self) -> None:
        """Wait until most of what was delivered has left."""
        await self._device.drained()

    # what the log of the read marks says

    def on_record(self, record: Record) -> None:
        """Tell the device what has been read on any."""
        mark = mark_of(record)
        if self._standing is None:
            self._mark = mark
        elif (standing := self._standing.marked(mark)) is not self._standing:
            self._standing = standing
            self._say_read(standing)

    def on_signal(self, payload: str) -> None:
        """Nothing is ever signalled here."""

    def on_reset(self, position: Position) -> None:
        """Go on: that a mark was lost makes something unread again, which the next `Inbox` tells."""

    def _open(self, standing: Standing, id: int | str | None, position: Position, complete: bool) -> Prepared:  # noqa: A002
        if self._mark is not None:
            standing = standing.marked(self._mark)
        self._standing = standing
        return Said.of(
            InboxMessage(
                position=position,
                complete=complete,
                read=standing.read,
                unread=standing.unread,
                newest=standing.newest,
                id=id,
            )
        )

    def _say_read(self, standing: Standing) -> None:
        self._reads += 1
        read = standing.read or Position(standing.newest.epoch, 0)
        self._say(Read(position=read, unread=standing.unread, newest=standing.newest))

    def _say(self, message: Message) -> None:
        self._device.deliver(Said.of(message))
