"""One answer as this process reads it from the log: once for all of its readers, who each keep only their place."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from ...broker import Broker, Position, Record, UnavailableError
from ...broker.feed import log_unreadable
from ...inbox import PositionError
from ...messages import AnswerFailed
from .records import END, Alive, Begun, Left, Reading, Stored, is_last, parse_record, parse_signal

__all__ = ["BEATS", "Transcript", "Transcripts"]

BEATS = 5  # signs of life in the time of silence after which a process counts as gone


class Transcript:
    """The pieces of one answer so far. Made by `Transcripts`; a `Listener` of the broker.

    It tells whoever generates the answer that it is read. If nothing is heard from there for `silence` seconds, it
    ends the answer itself, for every reader in every process, with an `AnswerFailed`: interrupted.
    """

    def __init__(self, broker: Broker, topic: str, answer: str, *, silence: float) -> None:
        self.topic = topic
        self.reader = secrets.token_hex(8)  # what the generation knows this process by
        self.begun: Begun | None = None
        self.position = Position("", 0)
        """The position of the newest record."""
        self._broker = broker
        self._answer = answer
        self._silence = silence
        self.pieces: list[Stored] = []
        """What has come, with positions. One that this process has made itself has none."""
        self._start = self.position  # of the record with which it began
        self._early: list[Record] | None = []  # what comes before the history has been read
        self._changed = asyncio.Event()
        self._heard = 0.0  # when there was a sign of life
        self._may_return_until = 0.0  # the time until which a reader whose connection was lost may come back

    @property
    def is_over(self) -> bool:
        """Whether the last piece is there."""
        return bool(self.pieces) and is_last(self.pieces[-1])

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Transcript]:
        """Read the log for the length of the block, and tell the generation that it is read.

        Raises:
            UnavailableError: the broker's engine didn't answer.
        """
        self._hear()
        async with self._broker.subscribe(self.topic, self):
            history = await self._broker.history(self.topic)
            early, self._early = self._early or [], None
            self.position = history.position
            for record in history.records:
                self._add(record)
            for record in early:
                self.on_record(record)
            if self.is_over:
                yield self
                return
            # before anybody gets a piece, so that this reader counts when another one leaves
            await self._broker.signal(self.topic, Reading(reader=self.reader).encode())
            watch = asyncio.create_task(self._watch(), name="answer-transcript")
            try:
                yield self
            finally:
                watch.cancel()
                await asyncio.wait([watch])
                await self._leave()

    def note_lost(self, grace: float) -> None:
        """Note that a reader's connection was lost: it may come back within `grace` seconds."""
        self._may_return_until = asyncio.get_running_loop().time() + grace

    async def until_begun(self, generation: asyncio.Task[None]) -> None:
        """Wait until the answer has begun, here or elsewhere, or until the task that was to begin it has ended.

        Raises:
            UnavailableError: the task failed, because the broker's engine didn't answer.
        """
        while self.begun is None and not generation.done():
            # the event of now: a task that called `wait` would begin to wait later, and miss what happens until then
            waiting = asyncio.create_task(self._changed.wait(), name="answer-begins")
            await asyncio.wait((waiting, generation), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        if self.begun is None:
            generation.result()

    def start(self, after: Position | None) -> Position:
        """Return the position after which a reader begins that has seen everything up to `after`.

        Raises:
            PositionError: the answer has no such position.
        """
        if after is None:
            return self._start
        if after.epoch != self._start.epoch or not self._start.offset <= after.offset <= self.position.offset:
            raise PositionError("a position of this answer")
        return after

    def count_up_to(self, position: Position) -> int:
        """Return how many pieces a reader has that has seen everything up to a position."""
        return sum(1 for piece in self.pieces if piece.position and piece.position.offset <= position.offset)

    def notify(self) -> None:
        """Let every `wait` return."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        """Wait until something has changed."""
        await self._changed.wait()

    # what the broker calls

    def on_record(self, record: Record) -> None:
        """Keep a record, unless the history had it already: an engine delivers it a moment later than it is stored."""
        if self._early is not None:
            self._early.append(record)
            return
        if record.position.epoch == self.position.epoch and record.position.offset <= self.position.offset:
            return
        self.position = record.position
        self._add(record)
        self._hear()
        self.notify()

    def on_signal(self, payload: str) -> None:
        """Note a sign of life of the generation."""
        with suppress(ValueError):
            if isinstance(parse_signal(payload), Alive):
                self._hear()

    def on_reset(self, position: Position) -> None:
        """End the answer for the readers of this process: a part of it was lost."""
        self._fail()

    def _add(self, record: Record) -> None:
        try:
            found = parse_record(record)
        except ValueError as error:
            log_unreadable(record, error)
            return
        if isinstance(found, Begun):
            self.begun, self._start = found, record.position
        elif not self.is_over:
            self.pieces.append(found)

    async def _watch(self) -> None:
        """Say that the answer is read, and end it when nobody generates it any more."""
        loop = asyncio.get_running_loop()
        while not self.is_over:
            await asyncio.sleep(self._silence / BEATS)
            with suppress(UnavailableError):
                await self._broker.signal(self.topic, Reading(reader=self.reader).encode())
            if not self._broker.health().ready:
                self._hear()  # it is the log that is silent
            elif self.begun is not None and loop.time() - self._heard > self._silence:
                await self._interrupt()

    async def _interrupt(self) -> None:
        failed = AnswerFailed(answer=self._answer, reason="interrupted")
        try:
            await self._broker.publish(self.topic, failed.encode(), key=END)
        except UnavailableError:  # its log is full, for example; the readers must not wait any longer
            self._fail()

    async def _leave(self) -> None:
        if self.is_over:
            return
        lost = asyncio.get_running_loop().time() < self._may_return_until
        with suppress(UnavailableError):
            await self._broker.signal(self.topic, Left(reader=self.reader, lost=lost).encode())

    def _fail(self) -> None:
        if not self.is_over:
            self.pieces.append(AnswerFailed(answer=self._answer, reason="interrupted"))
            self.notify()

    def _hear(self) -> None:
        self._heard = asyncio.get_running_loop().time()


@dataclass(eq=False)
class _Entry:
    transcript: Transcript
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    is_open: bool = False
    readers: int = 0


class Transcripts:
    """The answers that are read in this process, by topic."""

    def __init__(self, broker: Broker, *, silence: float) -> None:
        """Read from a broker that is open; see `Transcript` for `silence`."""
        self._broker = broker
        self._silence = silence
        self._entries: dict[str, _Entry] = {}

    @asynccontextmanager
    async def open(self, topic: str, answer: str) -> AsyncIterator[Transcript]:
        """Return the transcript of an answer, the same for all readers at the same time.

        Raises:
            UnavailableError: the broker's engine didn't answer.
        """
        entry = self._entries.get(topic)
        if entry is None:
            transcript = Transcript(self._broker, topic, answer, silence=self._silence)
            entry = self._entries[topic] = _Entry(transcript)
        entry.readers += 1
        try:
            async with entry.opening:
                if not entry.is_open:
                    await entry.stack.enter_async_context(entry.transcript.open())
                    entry.is_open = True
            yield entry.transcript
        finally:
            entry.readers -= 1
            if not entry.readers:
                del self._entries[topic]
                await entry.stack.aclose()
