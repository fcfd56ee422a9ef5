"""The logs in the engine: the commands about a topic, and what the answers mean."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from itertools import count
from typing import Any

from ..interface import History, Limits, Position, Record, UnavailableError
from .pipeline import Client, Command, Pipeline, RefusedError, evalsha
from .scripts import DROP, NEWEST, PUBLISH, READ
from .seen import SeenPositions, StampedPosition

__all__ = ["MAX_COMPARED", "Topics", "parse_entry"]

MAX_COMPARED = 500  # topics whose positions are asked for at once
OWN_KEY_SECONDS = 30.0  # seconds after its deadline for which a publish without a key is still known
IDLE_SECONDS = 30 * 24 * 3600.0  # seconds for which the position of a topic outlives its records


class Topics:
    """The topics of one engine; `name` is the engine's, for errors. `run_writes` and `run_reads` must run."""

    def __init__(self, client: Client, name: str, prefix: str, limits: Limits, deadline: float) -> None:
        # two connections, so that publishing doesn't wait for a long history
        self._writes = Pipeline(client, name, deadline)
        self._reads = Pipeline(client, name, deadline)
        self.run_writes = self._writes.run
        self.run_reads = self._reads.run
        self._prefix = prefix
        self._limits = limits
        self._deadline = deadline
        self._seen = SeenPositions()
        self._session = secrets.token_hex(8)
        self._numbers = count()

    def channel(self, topic: str) -> str:
        """Return the channel on which the engine tells what is published to a topic."""
        return f"{self._base(topic)}:news"

    def keys(self, topic: str, *names: str) -> list[str]:
        """Return the keys of a topic: ``meta``, ``log``, and further ones."""
        base = self._base(topic)
        return [f"{base}:{name}" for name in ("meta", "log", *names)]

    async def publish(self, topic: str, payload: str, key: str | None) -> Position:
        """Store a record, tell every process, and return its position; for a known key, the position of the first time.

        Raises:
            UnavailableError: the engine didn't answer; the record may or may not be stored.
        """
        name, life = f"key:{key}", self._limits.key_seconds
        if key is None:
            # so that the record is stored once, even if it is sent again because an answer was lost
            name, life = f"own:{self._unique()}", OWN_KEY_SECONDS + self._deadline
        keys = self.keys(topic, name)
        arguments = (self.channel(topic), payload, self._limits.records, _milliseconds(life))
        try:
            answer = await self._writes.call(PUBLISH, keys, lambda: (*self._common_arguments(topic), *arguments))
        except RefusedError:
            raise
        except UnavailableError as error:
            raise UnavailableError(
                f"{error}; the record may or may not be stored: publish it again with the same key"
            ) from None
        return self._remember_answer(topic, *answer).position

    async def signal(self, topic: str, payload: str) -> None:
        """Tell every process that listens now, at most once.

        Raises:
            UnavailableError: the engine didn't answer.
        """
        await self._writes.send([lambda: ("PUBLISH", self.channel(topic), f"signal {payload}")], repeatable=False)

    async def read(
        self, topic: str, after: Position | None, limit: int, *, seen: StampedPosition | None = None
    ) -> tuple[History, StampedPosition]:
        """Return the next `limit` records after a position, or the newest; and the position of the newest of all.

        `seen` is what the caller has seen; by default, that is the newest position that this process knows.

        Raises:
            UnavailableError: the engine didn't answer.
        """
        since = (after.epoch, after.offset) if after is not None else ("", NEWEST)
        answer = await self._reads.call(
            READ, self.keys(topic), lambda: self._read_arguments(topic, seen, *since, limit)
        )
        epoch, offset, first = answer[0], int(answer[1]), int(answer[2])
        records = [_stored(topic, epoch, identity, fields[1]) for identity, fields in answer[3]]
        if after is None:
            records.reverse()
        complete = after is None or (after.epoch == epoch and first - 1 <= after.offset <= offset)
        return History(tuple(records), Position(epoch, offset), complete), self._remember_answer(
            topic, epoch, offset, answer[4]
        )

    async def newest(self, topics: Sequence[str], *, keep: bool = False) -> list[StampedPosition | None]:
        """Return the newest position of each topic; None for one that doesn't exist.

        With `keep`, those without a record are kept: they are created if need be, and remembered for longer.

        Raises:
            UnavailableError: the engine didn't answer.
        """
        answers = await self._reads.send(
            [
                self._read_command(topic)
                if keep and not self._seen.newest(topic).offset
                else self._position_command(topic)
                for topic in topics
            ]
        )
        return [
            StampedPosition(answer[0], int(answer[1]), int(answer[-1] or 0)) if answer[0] else None
            for answer in answers
        ]

    def last_seen(self, topic: str) -> StampedPosition:
        """Return the newest position that this process knows of a topic; one with an empty epoch if it knows none."""
        return self._seen.newest(topic)

    def remember(self, topic: str, seen: StampedPosition) -> None:
        """Remember what was seen of a topic; from now on the engine is told so."""
        self._seen.add(topic, seen)

    async def detect_losses(self) -> None:
        """Begin a new epoch of every topic of which this process has seen more than the engine has.

        Raises:
            UnavailableError: the engine didn't answer.
        """
        topics = self._seen.topics()
        for start in range(0, len(topics), MAX_COMPARED):
            some = topics[start : start + MAX_COMPARED]
            newest = await self.newest(some)
            # a topic that the engine doesn't have gets a new epoch when it is used next
            different = [
                topic
                for topic, position in zip(some, newest, strict=True)
                if position and position != self._seen.newest(topic)
            ]
            answers = await self._reads.send([self._read_command(topic) for topic in different])
            for topic, answer in zip(different, answers, strict=True):
                self._remember_answer(topic, answer[0], answer[1], answer[4])

    async def drop(self, topic: str) -> None:
        """Forget a topic and tell every process.

        Raises:
            UnavailableError: the engine didn't answer.
        """
        await self._writes.call(DROP, self.keys(topic), lambda: (self.channel(topic),))

    def _remember_answer(self, topic: str, epoch: str, offset: str | int, time: str) -> StampedPosition:
        position = StampedPosition(epoch, int(offset), int(time))
        self.remember(topic, position)
        return position

    def _read_command(self, topic: str) -> Command:
        """Return a command that tells what was seen, and reads no record."""
        return evalsha(READ, self.keys(topic), lambda: self._read_arguments(topic, None, "", NEWEST, 0))

    def _position_command(self, topic: str) -> Command:
        return lambda: ("HMGET", self.keys(topic)[0], "epoch", "offset", "time")

    def _base(self, topic: str) -> str:
        """Return what all keys of a topic begin with; a cluster places a key by what is in its first braces."""
        return f"{self._prefix}:{{{topic.replace('%', '%25').replace('}', '%7D')}}}"

    def _common_arguments(self, topic: str, seen: StampedPosition | None = None) -> tuple[Any, ...]:
        kept = max(self._limits.seconds, self._limits.key_seconds) + IDLE_SECONDS
        age = int(self._limits.seconds * 1_000_000)
        return self._unique(), _milliseconds(kept), age, *(seen or self._seen.newest(topic))

    def _read_arguments(self, topic: str, seen: StampedPosition | None, *what: Any) -> tuple[Any, ...]:
        return *self._common_arguments(topic, seen), *what, _milliseconds(self._limits.empty_seconds)

    def _unique(self) -> str:
        """Return a word that no process has used before."""
        return f"{self._session}{next(self._numbers):x}"


def parse_entry(topic: str, text: str) -> tuple[Record, int]:
    """Parse ``epoch offset microseconds previous payload`` from the channel; return the record and `previous`.

    `previous` is the time of the record before it, in microseconds, or 0 if there is none.

    Raises:
        ValueError: the text is no entry.
    """
    epoch, offset, microseconds, previous, payload = text.split(" ", 4)
    return Record(topic, Position(epoch, int(offset)), payload, int(microseconds) / 1_000_000), int(previous)


def _stored(topic: str, epoch: str, identity: str, payload: str) -> Record:
    offset, _, microseconds = identity.partition("-")
    return Record(topic, Position(epoch, int(offset)), payload, int(microseconds) / 1_000_000)


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))
