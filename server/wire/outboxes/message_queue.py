"""The queue inside an outbox: bounded in number and bytes, with a policy for one message too many (lesson 04)."""

from __future__ import annotations

import asyncio
from enum import Enum

from ..prepared import Batch, Prepared

__all__ = ["MessageQueue", "Overflow"]

BURST = 16  # times its bounds that a queue takes before it has had a chance to send: no fault of the peer


class Overflow(Enum):
    """What happens to a message that does not fit into an outbox."""

    DROP_OLDEST = "drop_oldest"
    """Drop the oldest queued messages and count them: for what is soon out of date, such as a log."""

    KEEP_LATEST = "keep_latest"
    """Replace the queued message with the same key, whether the queue is full or not: for states, such as a
    price. Messages without a key stay; the oldest of all are dropped when the queue is full."""

    DISCONNECT = "disconnect"
    """Close the connection with 4008; the client comes back and asks for what it missed: for what nobody may miss."""


class MessageQueue:
    """Messages that wait for one connection.

    The bounds hold while the queue is `blocked`, that is while its peer does not keep up. What is queued before the
    connection has had a chance to send is not held against the peer until it is 16 times as much.
    """

    __slots__ = (
        "_bytes_now",
        "_drained",
        "_max_bytes",
        "_max_messages",
        "_messages",
        "_messages_now",
        "_overflow",
        "_places",
        "dequeued",
        "dropped",
        "size",
    )

    def __init__(self, *, messages: int, size: int, overflow: Overflow) -> None:
        """Bound the queue by a number of messages and by a number of bytes, as UTF-8."""
        self.size = 0
        """Bytes that are queued, as UTF-8."""
        self.dequeued = 0
        """Messages that have left the queue so far, taken or dropped."""
        self.dropped = 0
        """Messages that were dropped or replaced."""
        self._max_messages = messages
        self._max_bytes = size
        self._overflow = overflow
        self._messages: list[Prepared] = []
        # where each key is queued, counted from the first message ever: its index is that minus `dequeued`
        self._places: dict[str, int] | None = {} if overflow is Overflow.KEEP_LATEST else None
        self._drained: asyncio.Future[None] | None = None
        self.set_blocked(blocked=False)

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def replaces(self) -> bool:
        """Return whether a message may take the place of an earlier one."""
        return self._places is not None

    @property
    def max_messages(self) -> int:
        """Return how many messages may be queued just now."""
        return self._messages_now

    @property
    def max_bytes(self) -> int:
        """Return how many bytes may be queued just now."""
        return self._bytes_now

    @property
    def blocked(self) -> bool:
        """Return whether the peer does not keep up."""
        return self._messages_now == self._max_messages

    def set_blocked(self, *, blocked: bool) -> None:
        """Say whether the peer does not keep up, so that the bounds hold."""
        times = 1 if blocked else BURST
        self._messages_now = times * self._max_messages
        self._bytes_now = times * self._max_bytes

    def append(self, message: Prepared) -> bool:
        """Queue a message; return False if it is one too many and the peer is to be disconnected."""
        if self._places is None or not self._replace(message):
            self._messages.append(message)
            self.size += message.size
        return self._fits() or self._make_room()

    def extend(self, batch: Batch) -> bool:
        """Queue many messages at the price of one; return False as `append` does."""
        if self._places is not None:
            results = [self.append(message) for message in batch.messages]
            return all(results)
        self._messages += batch.messages
        self.size += batch.size
        return self._fits() or self._make_room()

    def apply_bounds(self) -> bool:
        """Drop what does not fit now that the bounds hold; return False as `append` does."""
        return self._fits() or self._make_room()

    def put_back(self, batch: Batch) -> None:
        """Queue a batch that was accepted already, into a queue that is empty."""
        self._messages = list(batch.messages)
        self.size = batch.size

    def pop(self) -> Prepared:
        """Remove and return the first message."""
        message = self._messages.pop(0)
        self.dequeued += 1
        self.size -= message.size
        if self._places and message.key is not None:
            self._places.pop(message.key, None)
        if self._drained is not None:  # looked at here, too: a call for each message would cost more
            self._notify_drained()
        return message

    def take(self, count: int) -> list[Prepared]:
        """Remove and return the first `count` messages."""
        taken = self._messages[:count]
        del self._messages[:count]
        self.dequeued += count
        for message in taken:
            self.size -= message.size
            if self._places and message.key is not None:
                self._places.pop(message.key, None)
        self._notify_drained()
        return taken

    def take_bytes(self, size: int) -> list[Prepared]:
        """Remove and return all messages, or as many as it takes to fill `size` bytes."""
        if self.size >= size or self._places:
            return self.take(self._count_for(size))
        taken, self._messages = self._messages, []
        self.dequeued += len(taken)
        self.size = 0
        self._notify_drained()
        return taken

    def clear(self) -> None:
        """Drop what is queued."""
        self.dropped += len(self._messages)
        self.take(len(self._messages))

    async def drained(self) -> None:
        """Wait until everything that is queued now has left."""
        if self._messages:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)  # several may wait, and one of them may be cancelled

    def _fits(self) -> bool:
        return len(self._messages) <= self._messages_now and self.size <= self._bytes_now

    def _replace(self, message: Prepared) -> bool:
        """Put a message where the one with its key is queued; return False if there is none."""
        if message.key is None or self._places is None:
            return False
        place = self._places.get(message.key, -1) - self.dequeued
        if place < 0:
            self._places[message.key] = self.dequeued + len(self._messages)
            return False
        self.size += message.size - self._messages[place].size
        self._messages[place] = message
        self.dropped += 1
        return True

    def _make_room(self) -> bool:
        """Drop the oldest messages until the rest fits; return False if nothing may be dropped."""
        if self._overflow is Overflow.DISCONNECT:
            return False
        excess = len(self._messages) - self._messages_now
        size = self.size
        count = 0
        for message in self._messages:
            if count >= excess and size <= self._bytes_now:
                break
            size -= message.size
            count += 1
        self.dropped += count
        self.take(count)
        return True

    def _count_for(self, size: int) -> int:
        """Return how many messages fill so many bytes."""
        total = 0
        for count, message in enumerate(self._messages, 1):
            total += message.size
            if total >= size:
                return count
        return len(self._messages)

    def _notify_drained(self) -> None:
        if self._drained is not None and not self._messages:
            self._drained.set_result(None)
            self._drained = None
