"""Notifications: to every device of one user, to no one else, and none is lost (lesson 05).

A notification is in the log before `Notifications.push` returns. From then on it reaches every device at least
once, even if this process crashes. A device that keeps its position gets it exactly once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self
from weakref import WeakValueDictionary

from .broker import Broker, LogFullError, Position, Record, UnavailableError
from .broker.feed import Feed
from .broker.feeds import Feeds
from .inbox import Inbox, ReadState, parse_mark, parse_notification, parse_records
from .messages import Inbox as InboxMessage
from .messages import Message, Notification, Read, Reset
from .messages.names import user_name
from .wire.prepared import Batch, Prepared
from .wire.sink import Member

__all__ = ["InboxSubscription", "Notifications", "PreparedMessage", "unavailable_reason"]

UNAVAILABLE = "the server to reach its log, which is away; try again in a moment"
FULL = "the server to have room in its log, which is full; try again later"


def unavailable_reason(error: UnavailableError) -> str:
    """Return the `expected` of an `Error` for a request that the broker could not store; it may be sent again."""
    return FULL if isinstance(error, LogFullError) else UNAVAILABLE


@dataclass(frozen=True, slots=True)
class PreparedMessage(Prepared):
    """A message that is encoded once for all its receivers, with the model that it was made from."""

    message: Message = field(kw_only=True)

    @classmethod
    def of(cls, message: Message) -> PreparedMessage:
        """Encode a message."""
        return cls(message.encode(), message=message)


class Notifications:
    """The inboxes of an app; `push` is for any route and any background job."""

    def __init__(self, broker: Broker) -> None:
        """Store the inboxes in this broker, which must not be shared: it is opened and closed with this object."""
        self.broker = broker
        self.feeds = Feeds(broker)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Open the broker for the length of the block.

        Raises:
            BrokerError: it can't be opened.
        """
        async with self.broker, self.feeds.open():
            yield

    def inbox(self, user: str) -> Inbox:
        """Return the inbox of a user.

        Raises:
            ValueError: this can't be a user's name.
        """
        user = user_name(user)
        return Inbox(self.broker, user, self._locks.setdefault(user, asyncio.Lock()))

    async def push(self, user: str, *, kind: str, text: str, data: Any = None, key: str | None = None) -> Position:
        """Notify a user on all devices, now or when they connect; return the position in the inbox.

        The notification is stored when this returns. If you push it again with the same `key`, it is stored once.

        Raises: as `Inbox.push`.
        """
        return await self.inbox(user).push(kind=kind, text=text, data=data, key=key)


class _InboxEncoder:
    """Turns the records of an inbox into messages for its devices."""

    def record(self, record: Record) -> Prepared:
        """Return a `Notification`."""
        return PreparedMessage.of(parse_notification(record))

    own_record = record

    def reset(self, position: Position) -> Prepared:
        """Return a `Reset` without a room."""
        return PreparedMessage.of(Reset(position=position))

    def signal(self, payload: str) -> None:
        """Do nothing: inboxes have no signals."""


class InboxSubscription:
    """One device's subscription to its user's inbox: a member of the feed, and a listener to the read marks.

    Use it with ``async with``, so that it ends with the device.
    """

    def __init__(self, notifications: Notifications, device: Member) -> None:
        self.user = device.user
        self._device = device
        self._broker = notifications.broker
        self._feeds = notifications.feeds
        self._inbox = notifications.inbox(device.user)
        self._stack = AsyncExitStack()
        self._feed: Feed | None = None
        self._state: ReadState | None = None  # as the device knows it; None while it does not watch
        self._mark: Position | None = None  # arrived before the device was sent its `Inbox`
        self._reads_sent = 0  # how many `Read` messages the device was sent

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    # requests of the device

    async def watch(self, *, after: Position | None = None, last: int = 0, id: int | str | None = None) -> None:  # noqa: A002
        """Send the device an `Inbox`, the notifications that it missed, and every new one.

        Raises:
            UnavailableError: the broker did not answer; the subscription has ended, and the device may watch again.
        """
        await self.stop()
        try:
            # before the read state, so that no mark is missed in between
            await self._stack.enter_async_context(self._broker.subscribe(self._inbox.marks_topic, self))
            state = await self._inbox.read_state()
            self._feed = await self._feeds.join(
                self._inbox.topic, self, _InboxEncoder(), partial(self._open, state, id), after=after, last=last
            )
        except BaseException:
            await self.stop()
            raise

    async def acknowledge(self, position: Position) -> None:
        """Mark everything up to a position as read; send the device a `Read` even if that changes nothing.

        Raises: as `Inbox.acknowledge`.
        """
        reads_sent = self._reads_sent
        state = await self._inbox.acknowledge(position)
        if self._state is not None and state.read is not None:
            state = self._state = self._state.after_reading(state.read)
        if self._reads_sent == reads_sent:  # otherwise the log has returned the mark already
            self._send_read(state)

    async def stop(self) -> None:
        """End the subscription; do nothing if the device does not watch."""
        if self._feed is not None:
            self._feed.leave(self)
        self._feed = self._state = self._mark = None
        await self._stack.aclose()

    # messages from the feed of the inbox

    def send_nowait(self, message: Prepared) -> None:
        """Pass a message on, and count it."""
        self.send_many_nowait(Batch((message,)))

    def send_many_nowait(self, batch: Batch) -> None:
        """Pass messages on together, and count them."""
        for prepared in batch.messages:
            message = prepared.message if isinstance(prepared, PreparedMessage) else None
            if self._state is not None and isinstance(message, Notification):
                self._state = self._state.after_arrival(message.position)
        self._device.send_many_nowait(batch)

    async def drained(self) -> None:
        """Wait until most of what was sent has left."""
        await self._device.drained()

    # records from the log of the read marks

    def on_record(self, record: Record) -> None:
        """Tell the device what was read on any device."""
        for mark in parse_records([record], parse_mark):
            if self._state is None:
                self._mark = mark
            elif (state := self._state.after_reading(mark)) is not self._state:
                self._state = state
                self._send_read(state)

    def on_signal(self, payload: str) -> None:
        """Do nothing: inboxes have no signals."""

    def on_reset(self, position: Position) -> None:
        """Do nothing: a lost mark makes something unread again, and the next `Inbox` says so."""

    def _open(self, state: ReadState, id: int | str | None, position: Position, complete: bool) -> Prepared:  # noqa: A002
        if self._mark is not None:
            state = state.after_reading(self._mark)
        self._state = state
        return PreparedMessage.of(
            InboxMessage(
                position=position,
                complete=complete,
                read=state.read,
                unread=state.unread,
                newest=state.newest,
                id=id,
            )
        )

    def _send_read(self, state: ReadState) -> None:
        self._reads_sent += 1
        read = state.read or Position(state.newest.epoch, 0)
        self._device.send_nowait(PreparedMessage.of(Read(position=read, unread=state.unread, newest=state.newest)))
