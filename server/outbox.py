"""The messages that wait for one connection, bounded in number and bytes (lesson 04).

`put` never waits and never raises, whatever the peer does. So a loop over a thousand outboxes takes
as long as a loop, and a peer that is slow, gone or failing costs the others nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum

from .echo import Conversation
from .ledger import OutboxStatistics, ledger
from .messages import CloseCode
from .prepared import Batch, Prepared

__all__ = ["Outbox", "Overflow"]

AHEAD = 16  # times its bounds that an outbox takes before it has had a turn to send: no fault of the peer


class Overflow(Enum):
    """What is done when a message does not fit into an outbox."""

    DROP_OLDEST = "drop_oldest"
    """The oldest that wait are dropped, and counted: for what is soon out of date, such as a log."""

    KEEP_LATEST = "keep_latest"
    """A message takes the place of the one with its key that still waits, whether the outbox is full or not: for
    states, such as a price. Messages without a key stay, and the oldest of all are dropped when it is full."""

    DISCONNECT = "disconnect"
    """The peer is closed with 4008, comes back and asks for what it missed: for what nobody may miss."""


class Outbox:
    """The messages that wait for one connection; made by `open_outbox`.

    `put` and `end` run on the loop's thread. They never wait and never raise. A larger outbox forgives
    longer pauses of a phone in a tunnel, and costs its bytes for each slow connection. What is put
    before the outbox has had a turn to send is not held against the peer, until it is 16 times as much.
    """

    __slots__ = (
        "_cap_bytes",
        "_cap_messages",
        "_dropped",
        "_due",
        "_emptied",
        "_ended",
        "_most_bytes",
        "_most_messages",
        "_overflow",
        "_passed",
        "_places",
        "_sent",
        "_size",
        "_waiting",
    )

    def __init__(self, *, messages: int = 256, size: int = 1 << 20, overflow: Overflow = Overflow.DISCONNECT) -> None:
        """Bound the outbox by a number of messages and by a number of bytes, as UTF-8."""
        self._most_messages = messages
        self._most_bytes = size
        self._overflow = overflow
        self._waiting: list[Prepared] = []
        self._size = 0
        self._places: dict[str, int] | None = {} if overflow is Overflow.KEEP_LATEST else None  # see _passed
        self._passed = 0  # messages that have left the head of the line; a key's place is counted from the first ever
        self._sent = 0
        self._dropped = 0
        self._due = False  # a turn to send has been asked for, or the peer is waited for
        self._ended = False
        self._emptied: asyncio.Future[None] | None = None
        self._set_blocked(blocked=False)

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._waiting)

    @property
    def writer(self) -> Callable[[Conversation], Awaitable[None]] | None:
        """The `writer` of `converse`, or None where none is needed."""
        return None

    def put(self, message: str | Prepared) -> None:
        """Add a message; what happens to one too many is what `Overflow` says."""
        self.deliver(Prepared(message) if isinstance(message, str) else message)

    def deliver(self, message: Prepared) -> None:
        """Add a message that is ready: `put` without a question, for `fan_out`, which asks it once for all."""
        if self._ended or (self._places is not None and self._replace(message)):
            return
        waiting = self._waiting
        waiting.append(message)
        self._size = size = self._size + message.size
        if not self._due:
            self._due = True
            self._wake()
        if len(waiting) > self._cap_messages or size > self._cap_bytes:
            self._make_room()

    def deliver_all(self, batch: Batch) -> None:
        """Add many messages at the price of one."""
        if self._ended or self._places is not None:
            for message in batch.messages:
                self.deliver(message)
            return
        self._waiting += batch.messages
        self._size = size = self._size + batch.size
        if not self._due:
            self._due = True
            self._wake()
        if len(self._waiting) > self._cap_messages or size > self._cap_bytes:
            self._make_room()

    def end(self, code: int, reason: str) -> None:
        """Have the connection closed with this code; what waits is dropped, the first `end` counts."""
        if self._ended:
            return
        self._ended = True
        if code == CloseCode.TOO_SLOW:
            ledger.count_slow()
        self._forget()
        self._goodbye(code, reason)

    async def drained(self) -> None:
        """Wait until nothing waits: all is with the server software, or the connection is over."""
        while self._waiting:
            if self._emptied is None:
                self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._emptied)  # several may wait, and one of them be cancelled

    def statistics(self) -> OutboxStatistics:
        """Count what it holds and has done."""
        return OutboxStatistics(
            messages=len(self._waiting),
            size=self._size,
            sent=self._sent,
            dropped=self._dropped,
            blocked=self._cap_messages == self._most_messages,
        )

    @property
    def passed(self) -> int:
        """Messages that have left the line so far, sent or dropped."""
        return self._passed

    # what the two ways do differently

    def _wake(self) -> None:
        """Ask for a turn to send."""
        raise NotImplementedError

    def _goodbye(self, code: int, reason: str) -> None:
        """Have the connection closed."""
        raise NotImplementedError

    # the line

    def _set_blocked(self, *, blocked: bool) -> None:
        times = 1 if blocked else AHEAD
        self._cap_messages = times * self._most_messages
        self._cap_bytes = times * self._most_bytes

    def _replace(self, message: Prepared) -> bool:
        """Put a message where the one with its key waits; False where none does."""
        if message.key is None or self._places is None:
            return False
        place = self._places.get(message.key, -1) - self._passed
        if place < 0:
            self._places[message.key] = self._passed + len(self._waiting)
            return False
        self._size += message.size - self._waiting[place].size
        self._waiting[place] = message
        self._dropped += 1
        if len(self._waiting) > self._cap_messages or self._size > self._cap_bytes:
            self._make_room()
        return True

    def _make_room(self) -> None:
        if self._overflow is Overflow.DISCONNECT:
            waiting = f"{len(self._waiting)} messages of {self._size} bytes wait"
            self.end(CloseCode.TOO_SLOW, f"{waiting}; read faster")
            return
        excess = len(self._waiting) - self._cap_messages
        size = self._size
        for index, message in enumerate(self._waiting):
            if index >= excess and size <= self._cap_bytes:
                break
            size -= message.size
        else:
            index = len(self._waiting)
        self._dropped += index
        self._take(index)

    def _take(self, count: int) -> list[Prepared]:
        """Take the first messages out of the line."""
        taken = self._waiting[:count]
        del self._waiting[:count]
        self._passed += count
        for message in taken:
            self._size -= message.size
            if self._places and message.key is not None:
                self._places.pop(message.key, None)
        self._tell_if_empty()
        return taken

    def _tell_if_empty(self) -> None:
        if self._emptied is not None and not self._waiting:
            self._emptied.set_result(None)
            self._emptied = None

    def _forget(self) -> None:
        self._dropped += len(self._waiting)
        self._take(len(self._waiting))
