"""What a broker promises: a log for each topic, whose records reach every process that listens (lesson 04).

A record has an offset, which grows by one within its topic, so that a gap is visible, and every log has
an epoch, which changes when history was lost, so that a reader knows to start again. The model is that of
Centrifugo's history streams.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

from ..errors import ServerError

__all__ = [
    "Broker",
    "BrokerError",
    "Health",
    "History",
    "Limits",
    "Listener",
    "PayloadError",
    "Position",
    "Record",
    "UnavailableError",
]


class BrokerError(ServerError):
    """A broker could not do what was asked; nothing was stored unless it says otherwise."""


class UnavailableError(BrokerError):
    """The engine did not answer in time: the record may or may not be stored; publish again with the same key."""


class PayloadError(BrokerError, ValueError):
    """A topic, key or payload that no broker takes: empty, or over its limit."""


@dataclass(frozen=True, slots=True, order=False)
class Position:
    """A place in the log of one topic: after the record with this offset."""

    epoch: str
    """Changes when records were lost, such as by a restart without the data; never reused."""

    offset: int
    """1 for the first record of the epoch, then one more for each; 0 is before the first."""


@dataclass(frozen=True, slots=True)
class Record:
    """One published payload, as it is stored and delivered."""

    topic: str
    position: Position
    payload: str
    time: float
    """Seconds since 1970 at which it was stored, by the engine's clock."""


@dataclass(frozen=True, slots=True)
class History:
    """What is stored of a topic after a position."""

    records: tuple[Record, ...]
    """Oldest first, without a gap among them."""

    position: Position
    """Of the newest record stored at that moment, whether or not it is among `records`."""

    complete: bool
    """Whether `records` begins right after the position that was asked for; true where none was asked for. False where
    the epoch is another, the offset is beyond the newest, or the records in between have been dropped by a limit: the
    reader missed something that no longer exists, and `records` begins with the oldest that does."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a broker keeps of each topic, and takes."""

    records: int = 1_000
    """The newest so many records of a topic are kept; exact."""

    seconds: float = 7 * 24 * 3600.0
    """Records older than this are never returned, and dropped at the next publish or sweep."""

    payload_bytes: int = 65_536
    """Bytes (UTF-8) of the longest payload; a longer one is refused."""

    key_seconds: float = 24 * 3600.0
    """Seconds for which an idempotency key is remembered, at least."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the engine answers."""

    ready: bool
    reason: str = ""
    """Why not, for an operator; empty while it is ready."""


@runtime_checkable
class Listener(Protocol):
    """Who hears of a topic; every method is called on the loop's thread, never waits and never raises."""

    def on_record(self, record: Record) -> None:
        """Take the next record: offsets grow by one from call to call, whatever the engine went through."""

    def on_signal(self, payload: str) -> None:
        """Take a payload that is not stored."""

    def on_reset(self, position: Position) -> None:
        """Hear that records were lost: what follows comes after `position`, often of another epoch."""


class Broker(Protocol):
    """A log for each topic. Open it with ``async with``; one broker serves one event loop.

    A topic is 1 to 200 characters, a key 1 to 200. Every method has a deadline of its own and raises
    `UnavailableError` when the engine is away; subscriptions outlive that and fill the gap by themselves.
    A topic without listeners that nobody has published to for longer than records and keys are kept may be
    forgotten; its next record begins a new epoch.
    """

    async def __aenter__(self) -> Self:
        """Reach the engine, or open the file.

        Raises:
            BrokerError: that cannot be done.
        """

    async def __aexit__(self, *exc_info: object) -> None:
        """Let go of the engine, and end every task and thread of the broker."""

    @property
    def limits(self) -> Limits:
        """What is kept and taken."""

    async def publish(self, topic: str, payload: str, *, key: str | None = None) -> Position:
        """Store a record and tell every listener in every process; its position.

        A record is stored before this returns. Publishing again with the same `key` to the same topic stores
        nothing and returns the position of the first time, whatever the payload. When the caller is cancelled, the
        record is stored and delivered, or neither.

        Raises:
            PayloadError: the topic, the key or the payload is empty or too long.
            UnavailableError: the engine did not answer.
        """

    async def signal(self, topic: str, payload: str) -> None:
        """Tell everybody who listens now; nothing is stored, and nobody else will ever know (at most once).

        Raises: as `publish`.
        """

    async def history(self, topic: str, after: Position | None = None, *, limit: int | None = None) -> History:
        """The records after a position, oldest first, or all that are kept; at most `limit`, the oldest of them.

        Without `after`, `limit` takes the newest instead: "the last twenty". With a limit of 0 there are no records,
        only the position. A topic that nobody has used yet gets its epoch here, and a position with offset 0.

        Raises:
            PayloadError: the topic is empty or too long.
            ValueError: the limit is negative.
            UnavailableError: the engine did not answer.
        """

    def subscribe(self, topic: str, listener: Listener) -> AbstractAsyncContextManager[Position]:
        """Call `listener` for what is published to `topic` from now on, for the length of the block.

        The block gets the position after which the first record comes, so that ``history`` up to it and the
        records after it have neither a gap nor a duplicate. The first record may be told before the block has begun. A
        listener that raises is logged, and hurts nobody else.

        Raises:
            PayloadError: the topic is empty or too long.
            UnavailableError: the engine did not answer.
        """

    def health(self) -> Health:
        """Whether the engine answers, as far as is known without asking it."""

    async def drop(self, topic: str) -> None:
        """Forget everything about a topic, its keys too; its next record begins a new epoch.

        Listeners stay, and are told by ``on_reset``.

        Raises:
            PayloadError: the topic is empty or too long.
            UnavailableError: the engine did not answer.
        """
