"""What a client and its server agree on over many connections: subscriptions, unconfirmed messages, the read mark."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..broker import Position
from ..inbox import ReadState
from ..messages import (
    Ack,
    Announcement,
    ChatMessage,
    CloseCode,
    Error,
    Inbox,
    Joined,
    Leave,
    Message,
    Notification,
    Read,
    Reset,
    Say,
    Stored,
    Welcome,
)
from .backoff import Backoff
from .codec import Incoming
from .errors import ClientError, ClosedError, Disconnect, RefusedError
from .pending import PendingMessages, refusal_of
from .reader import LostMessages, Reader
from .subscription import Arrival, Subscription

__all__ = ["Session"]

ROOMS_WITHOUT_READER = 8  # in which a client stays after it has sent something, since more may follow
LATER_ATTEMPT = 2  # the attempt whose delay passes before a request is repeated that the server could not answer


class Session:
    """The subscriptions and unconfirmed messages of one client; its connection reports every event to it."""

    def __init__(
        self, send: Callable[[Message], None], backoff: Backoff, on_announcement: Callable[[str], None] | None = None
    ) -> None:
        """Send with `send`, which drops what cannot be sent now."""
        self._send = send
        self._backoff = backoff
        self._on_announcement = on_announcement
        self._subscriptions: dict[str | None, Subscription[Any]] = {}
        self._pending = PendingMessages(send, backoff)
        self._changed = asyncio.Event()  # a loop took an item, or a message was sent
        self.user = ""
        self.read_state: ReadState | None = None
        self.duplicates = self.gaps = 0

    # called by the readers

    def subscribe(self, reader: Reader[Any]) -> None:
        """Give a reader everything after its position, and end any other reader of the same room."""
        room = reader.room
        subscription = self._subscriptions.setdefault(room, Subscription(room))
        if subscription.reader is not None and subscription.reader is not reader:
            error = ClosedError(f"another reader reads {room or 'the inbox'!r}; read it in one place")
            subscription.reader.close(error)
        self._changed.set()
        now = subscription.position if subscription.is_active else None
        subscription.attach(reader)
        if reader.position is None and not reader.last and now is not None:
            subscription.position = reader.position = now  # the client is in the room, because it has sent something
        else:
            self._request(subscription)

    def unsubscribe(self, reader: Reader[Any]) -> None:
        """Give a reader nothing more."""
        subscription = self._subscriptions.get(reader.room)
        if subscription is not None and subscription.reader is reader:
            subscription.reader = None
            self._changed.set()
            if reader.room not in self._pending.rooms():
                self._leave(reader.room)

    def on_taken(self, reader: Reader[Any]) -> None:
        """Note that a reader has room for one more item, and request what was dropped while it had none."""
        self._changed.set()
        subscription = self._subscriptions.get(reader.room)
        if subscription is None or subscription.reader is not reader:
            return
        if subscription.has_dropped and reader.is_empty:
            self._request(subscription)

    # called by the client

    async def say(self, say: Say, key: str, seconds: float) -> Position:
        """Send a message until the server has stored it."""
        pending = self._pending.add(say, key)
        self._changed.set()
        subscription = self._subscriptions.setdefault(say.room, Subscription(say.room))
        if subscription.is_active:
            self._send(say)
        elif subscription.request_id is None:
            self._request(subscription)
        try:
            return await self._pending.wait(pending, seconds)
        finally:
            for room in self._unused()[:-ROOMS_WITHOUT_READER]:
                self._leave(room)

    async def acknowledge(self, ack: Ack, key: str, seconds: float) -> None:
        """Send an acknowledgement until the server has stored it."""
        pending = self._pending.add(ack, key)
        self._changed.set()
        self._send(ack)
        await self._pending.wait(pending, seconds)

    def close(self, error: BaseException | None) -> None:
        """End every reader, and fail every unconfirmed message."""
        for subscription in self._subscriptions.values():
            if subscription.reader is not None:
                subscription.reader.close(error)
        self._pending.fail_all(error or ClosedError("the client was closed before this was confirmed"))

    # called by the connection

    def on_open(self) -> None:
        """Resume everything on a new connection, without waiting for the server's welcome."""
        for room in self._unused():
            del self._subscriptions[room]
        for subscription in self._subscriptions.values():
            self._request(subscription)
        self._pending.resend(None)

    def on_welcome(self, welcome: Welcome) -> None:
        """Note who the server says that this is."""
        self.user = welcome.user

    def on_disconnect(self, disconnect: Disconnect) -> None:
        """Wait for the next connection."""
        for subscription in self._subscriptions.values():
            subscription.on_disconnect()
        if disconnect.code == CloseCode.MESSAGE_TOO_BIG:
            # sent again, it would end the next connection as well
            text = f"too big for the server, {disconnect.reason}; send less at once"
            self._pending.fail_all(RefusedError(text, code=disconnect.code))

    async def on_message(self, message: Incoming) -> None:  # one case for each type of message
        """Take one message; wait while the buffer of its reader is full."""
        match message:
            case ChatMessage():
                await self._on_chat_message(message)
            case Stored():
                self._pending.confirm(message.id, message.position)
            case Notification():
                if self.read_state is not None:
                    self.read_state = self.read_state.after_arrival(message.position)
                await self._deliver(None, message, message.position)
            case Joined():
                await self._on_answer(message.room, message)
                self._pending.resend(message.room)
            case Inbox():
                self._on_read_state(ReadState(newest=message.newest, read=message.read, unread=message.unread))
                await self._on_answer(None, message)
            case Read():
                self._on_read_state(ReadState(newest=message.newest, read=message.position, unread=message.unread))
            case Reset():
                await self._on_reset(message.room, message.position)
            case Announcement() if self._on_announcement is not None:
                self._on_announcement(message.text)
            case Error():
                self._on_error(message)

    async def _on_chat_message(self, message: ChatMessage) -> None:
        if message.position is None:
            raise ClientError("the server sends messages without a position; it is older than this client")
        if message.user == self.user:
            self._pending.confirm(message.id, message.position)
        await self._deliver(message.room, message, message.position)

    def _on_read_state(self, read_state: ReadState) -> None:
        self.read_state = read_state
        if read_state.read is not None:
            self._pending.confirm_read(read_state.read)

    async def _on_answer(self, room: str | None, answer: Joined | Inbox) -> None:
        """Activate the subscription whose last request this answers."""
        subscription = await self._subscription_with_space(room)
        if subscription is None or subscription.request_id is None or subscription.request_id != answer.id:
            return
        lost = subscription.activate(answer.position, answer.complete)
        if lost is not None:
            self._put(subscription, lost, answer.position)
        elif subscription.reader is not None and subscription.reader.position is None:
            subscription.reader.position = answer.position

    async def _on_reset(self, room: str | None, position: Position) -> None:
        subscription = await self._subscription_with_space(room)
        if subscription is None or not subscription.is_active or subscription.has_dropped:
            return
        self._put(subscription, LostMessages(room, subscription.position, position), position)
        if room is None:
            self._request(subscription)  # only the answer says what is unread now

    def _on_error(self, error: Error) -> None:
        if self._pending.on_error(error) or error.id is None:
            return
        asked = [subscription for subscription in self._subscriptions.values() if subscription.request_id == error.id]
        for subscription in asked:
            if error.field is None:  # the server could not reach its log
                delay = self._backoff.delay(LATER_ATTEMPT)
                call_later = asyncio.get_running_loop().call_later
                call_later(delay, self._repeat_request, subscription, subscription.request_id)
                continue
            del self._subscriptions[subscription.room]
            if subscription.reader is not None:
                subscription.reader.close(refusal_of(error))
            self._pending.fail(refusal_of(error), subscription.room)

    # delivery

    async def _deliver(self, room: str | None, item: Any, position: Position) -> None:
        """Give an item to its reader if it is the next one, and request everything again if there is a gap."""
        subscription = await self._subscription_with_space(room)
        if subscription is None:
            return
        match subscription.classify(position):
            case Arrival.NEXT:
                self._put(subscription, item, position)
            case Arrival.DUPLICATE:
                self.duplicates += 1
            case Arrival.GAP:
                self.gaps += 1
                self._request(subscription)

    async def _subscription_with_space(self, room: str | None) -> Subscription[Any] | None:
        """Return the subscription of a room once its reader has space.

        Don't wait while any message is unconfirmed: the loop that should take an item may itself be waiting for the
        confirmation, which comes behind the items.
        """
        while (
            (subscription := self._subscriptions.get(room)) is not None
            and subscription.reader is not None
            and subscription.reader.is_full
            and not self._pending
        ):
            self._changed.clear()
            await self._changed.wait()
        return subscription

    def _put(self, subscription: Subscription[Any], item: Any, position: Position) -> None:
        if subscription.reader is not None and subscription.reader.is_full:
            self.gaps += 1
            subscription.has_dropped = True
            return
        if subscription.reader is not None:
            subscription.reader.put(item, position)
        subscription.position = position

    def _request(self, subscription: Subscription[Any]) -> None:
        self._send(subscription.request())

    def _repeat_request(self, subscription: Subscription[Any], request_id: str | None) -> None:
        if subscription.request_id == request_id is not None:
            self._request(subscription)

    def _unused(self) -> list[str | None]:
        """Return the rooms that have neither a reader nor an unconfirmed message, oldest first."""
        in_use = self._pending.rooms()
        return [
            room
            for room, subscription in self._subscriptions.items()
            if subscription.reader is None and room not in in_use
        ]

    def _leave(self, room: str | None) -> None:
        del self._subscriptions[room]
        if room is not None:
            self._send(Leave(room=room))
