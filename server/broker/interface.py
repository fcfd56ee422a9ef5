"""What a broker promises: a log for each topic, whose records reach every process that listens (lesson 04).

A record has an offset, which grows by one within its topic, so that a gap is visible. Every log has an epoch, which
changes when history was lost, so that a reader knows to start again. Centrifugo's history streams use the same model.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

from ..errors import ServerError
from ..messages.position import Position

__all__ = [
    "Broker",
    "BrokerError",
    "Health",
    "History",
    "Limits",
    "Listener",
    "LogFullError",
    "PayloadError",
    "Position",
    "Record",
    "UnavailableError",
]


class BrokerError(ServerError):
    """A broker couldn't do what was asked; nothing was stored unless the error says otherwise."""


class UnavailableError(BrokerError):
    """The engine didn't answer in time: the record may or may not be stored; publish it again with the same key."""


class LogFullError(UnavailableError):
    """The engine or the disk is full: nothing was stored, and what is stored can still be read."""


class PayloadError(BrokerError, ValueError):
    """A topic, key or payload that no broker accepts: empty, or over its limit."""


@dataclass(frozen=True, slots=True)
class Record:
    """One published payload, as it is stored and delivered."""

    topic: str
    position: Position
    payload: str
    time: float
    """Seconds since 1970 at which the record was stored, by the engine's clock.

    If that clock was set back, a record has an earlier time than the one before it. Only the offsets give the order.
    """


@dataclass(frozen=True, slots=True)
class History:
    """What is stored of a topic after a position."""

    records: tuple[Record, ...]
    """Oldest first, without a gap among them."""

    position: Position
    """The position of the newest record stored at that moment, whether or not it is among `records`."""

    complete: bool
    """Whether `records` begins right after the position that was asked for; true if none was asked for.

    False if the epoch is another one, the offset is beyond the newest, or a limit has dropped the records in between:
    the reader missed something that no longer exists, and `records` begins with the oldest record that does.
    """


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a broker keeps of each topic, and how long a payload may be."""

    records: int = 1_000
    """How many of a topic's newest records are kept; exact."""

    seconds: float = 7 * 24 * 3600.0
    """Records older than this are never returned, and are dropped at the next publish or sweep.

    Only the beginning of a log is ever dropped. If the clock was wrong, a record that looks too old stays as long as a
    record before it does, and records stored while the clock ran ahead are as old as the first record after them.
    """

    payload_bytes: int = 65_536
    """Bytes (UTF-8) of the longest payload; a longer one is refused."""

    key_seconds: float = 24 * 3600.0
    """Seconds for which an idempotency key is remembered, at least."""

    empty_seconds: float = 3600.0
    """Seconds for which a topic without a record is remembered after its last use.

    Joining a room is enough to create its topic. So this bounds what somebody can fill who joins one after another.
    """


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the engine answers."""

    ready: bool
    reason: str = ""
    """Why it doesn't, for an operator; empty while it is ready."""


@runtime_checkable
class Listener(Protocol):
    """Receives what is published to a topic. Every method is called on the loop's thread; it must return at once."""

    def on_record(self, record: Record) -> None:
        """Take the next record: offsets grow by one from call to call, whatever happens to the engine."""

    def on_signal(self, payload: str) -> None:
        """Take a payload that isn't stored."""

    def on_reset(self, position: Position) -> None:
        """Note that records were lost: the next record comes after `position`, often in another epoch."""


class Broker(Protocol):
    """A log for each topic. Open it with ``async with``; one broker serves one event loop.

    A topic has 1 to 200 characters, and so has a key. Every method has a deadline of its own and raises
    `UnavailableError` when the engine is away; a subscription survives that and fills the gap by itself.
    A topic that has no listener, and to which nothing was published for longer than records and keys are kept, may be
    forgotten, and so may one that never had a record after `Limits.empty_seconds`; its next record begins a new epoch.
    """

    async def __aenter__(self) -> Self:
        """Connect to the engine, or open the file.

        Raises:
            BrokerError: that isn't possible.
        """

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect from the engine, and end every task and thread of the broker."""

    @property
    def limits(self) -> Limits:
        """How much is kept, and how long a payload may be."""

    async def publish(self, topic: str, payload: str, *, key: str | None = None) -> Position:
        """Store a record, send it to every listener in every process, and return its position.

        The record is stored before this returns. Publishing again to the same topic with the same `key` stores
        nothing and returns the position of the first time, whatever the payload. If the caller is cancelled, the
        record is both stored and delivered, or neither.

        Raises:
            PayloadError: the topic, the key or the payload is empty or too long.
            UnavailableError: the engine didn't answer.
        """

    async def signal(self, topic: str, payload: str) -> None:
        """Send a payload to everybody who listens now, at most once; nothing is stored.

        Raises:
            PayloadError: the topic or the payload is empty or too long.
            UnavailableError: the engine didn't answer.
        """

    async def history(self, topic: str, after: Position | None = None, *, limit: int | None = None) -> History:
        """Return the records after a position, oldest first, or all that are kept; at most the oldest `limit` of them.

        Without `after`, `limit` takes the newest instead: "the last twenty". With a limit of 0 there are no records,
        only the position. A topic that was never used gets its epoch here, and a position with offset 0.

        Raises:
            PayloadError: the topic is empty or too long.
            ValueError: the limit is negative.
            UnavailableError: the engine didn't answer.
        """

    def subscribe(self, topic: str, listener: Listener) -> AbstractAsyncContextManager[Position]:
        """Call `listener` for what is published to `topic` from now on, for the length of the block.

        The block gets the position after which the first record comes, so that ``history`` up to it and the
        records after it have neither a gap nor a duplicate. The first record may arrive before the block has begun. If
        a listener raises, the error is logged and the other listeners aren't affected.

        Raises:
            PayloadError: the topic is empty or too long.
            UnavailableError: the engine didn't answer.
        """

    def health(self) -> Health:
        """Return whether the engine answers, as far as is known without asking it."""

    async def drop(self, topic: str) -> None:
        """Forget everything about a topic, its keys too; its next record begins a new epoch.

        Listeners stay subscribed, and get an ``on_reset``.

        Raises:
            PayloadError: the topic is empty or too long.
            UnavailableError: the engine didn't answer.
        """
