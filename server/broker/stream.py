"""The logs in the engine: what is asked of it about a topic, and what its answers mean."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from itertools import count
from typing import Any

from .courier import Client, Courier, RefusedError
from .protocol import History, Limits, Position, Record, UnavailableError
from .scripts import DROP, NEWEST, PUBLISH, READ

__all__ = ["Streams", "parse_record"]

OWN_KEY_SECONDS = 30.0  # seconds after its deadline for which a publish without a key is still known
IDLE_SECONDS = 30 * 24 * 3600.0  # seconds for which the position of a topic outlives its records


class Streams:
    """Every topic of one engine; `name` is the engine's, for errors. `run_writes` and `run_reads` must run."""

    def __init__(self, client: Client, name: str, prefix: str, limits: Limits, deadline: float) -> None:
        # two connections, so that a long history does not hold up who publishes
        self._writes = Courier(client, name, deadline)
        self._reads = Courier(client, name, deadline)
        self.run_writes = self._writes.run
        self.run_reads = self._reads.run
        self._prefix = prefix
        self._limits = limits
        self._deadline = deadline
        self._session = secrets.token_hex(8)
        self._numbers = count()

    def channel(self, topic: str) -> str:
        """Where the engine tells what is published to a topic."""
        return f"{self._base(topic)}:news"

    async def publish(self, topic: str, payload: str, key: str | None) -> Position:
        """Store a record and tell; the position of the first time for a key that is known.

        Raises:
            UnavailableError: the engine did not answer; the record may or may not be stored.
        """
        name, life = f"key:{key}", self._limits.key_seconds
        if key is None:
            # so that it is stored once, however often it is sent because an answer was lost
            name, life = f"own:{self._unique()}", OWN_KEY_SECONDS + self._deadline
        keys = [*self._keys(topic), f"{self._base(topic)}:{name}"]
        arguments = (self.channel(topic), payload, self._limits.records, _milliseconds(life))
        try:
            epoch, offset = await self._writes.call(PUBLISH, keys, *self._common(), *arguments)
        except RefusedError:
            raise
        except UnavailableError as error:
            raise UnavailableError(
                f"{error}; the record may or may not be stored: publish it again with the same key"
            ) from None
        return Position(epoch, int(offset))

    async def signal(self, topic: str, payload: str) -> None:
        """Tell who listens now, at most once.

        Raises:
            UnavailableError: the engine did not answer.
        """
        await self._writes.send([("PUBLISH", self.channel(topic), f"signal {payload}")], repeatable=False)

    async def read(self, topic: str, after: Position | None, limit: int, *, seen: bool = False) -> History:
        """The next `limit` records after a position, or the newest; `seen`: that position was surely reached.

        Raises:
            UnavailableError: the engine did not answer.
        """
        since = (after.epoch, after.offset) if after is not None else ("", NEWEST)
        answer = await self._reads.call(READ, self._keys(topic), *self._common(), *since, limit, int(seen))
        epoch, offset, first = answer[0], int(answer[1]), int(answer[2])
        records = [_stored(topic, epoch, identity, fields[1]) for identity, fields in answer[3]]
        if after is None:
            records.reverse()
        complete = after is None or (after.epoch == epoch and first - 1 <= after.offset <= offset)
        return History(tuple(records), Position(epoch, offset), complete)

    async def positions(self, topics: Sequence[str]) -> list[Position | None]:
        """The newest position of each of some topics, without beginning those that do not exist.

        Raises:
            UnavailableError: the engine did not answer.
        """
        commands = [("HMGET", self._keys(topic)[0], "epoch", "offset") for topic in topics]
        answers = await self._reads.send(commands)
        return [Position(epoch, int(offset)) if epoch else None for epoch, offset in answers]

    async def drop(self, topic: str) -> None:
        """Forget a topic and tell.

        Raises:
            UnavailableError: the engine did not answer.
        """
        await self._writes.call(DROP, self._keys(topic), self.channel(topic))

    def _base(self, topic: str) -> str:
        """What all keys of a topic begin with; a cluster places a key by what is in its first braces."""
        return f"{self._prefix}:{{{topic.replace('%', '%25').replace('}', '%7D')}}}"

    def _keys(self, topic: str) -> list[str]:
        base = self._base(topic)
        return [f"{base}:meta", f"{base}:log"]

    def _common(self) -> tuple[Any, ...]:
        kept = max(self._limits.seconds, self._limits.key_seconds) + IDLE_SECONDS
        return self._unique(), _milliseconds(kept), int(self._limits.seconds * 1_000_000)

    def _unique(self) -> str:
        """A word that is used once, by whatever process."""
        return f"{self._session}{next(self._numbers):x}"


def parse_record(topic: str, text: str) -> Record:
    """The record that was told on the channel as ``epoch offset microseconds payload``."""
    epoch, offset, microseconds, payload = text.split(" ", 3)
    return Record(topic, Position(epoch, int(offset)), payload, int(microseconds) / 1_000_000)


def _stored(topic: str, epoch: str, identity: str, payload: str) -> Record:
    offset, _, microseconds = identity.partition("-")
    return Record(topic, Position(epoch, int(offset)), payload, int(microseconds) / 1_000_000)


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))
