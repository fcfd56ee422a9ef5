"""One answer while it is being made: asks the model for a piece, stores it, and asks for the next if somebody reads."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from ...access.rate_limits import RateLimiter
from ...broker import Broker, LogFullError, Position, Record, UnavailableError
from ...messages import AnswerEnd, AnswerFailed, AnswerText, AnswerToolCall
from .model import Model, Piece, ToolCall
from .records import BEGUN, END, Alive, Begun, Left, Reading, Stopped, Stored, is_last, parse_record, parse_signal
from .transcript import BEATS

__all__ = ["AnswerStatistics", "Generation", "GenerationLimits"]

RETRY_SECONDS = 0.5  # between two attempts to store a piece while the broker is unavailable

_log = logging.getLogger(__name__)

Ending = AnswerEnd | AnswerFailed

_BEGINNING = Position("", 0)  # no log has an empty epoch, so what comes after it is the oldest record


@dataclass(frozen=True, kw_only=True)
class GenerationLimits:
    """How much one answer may be."""

    tokens: int
    """Tokens of the longest answer."""
    grace: float
    """Seconds that the model waits for a reader whose connection was lost."""
    silence: float
    """Seconds after which a process that says nothing counts as gone."""
    budget: RateLimiter
    """Tokens of each user."""


@dataclass
class AnswerStatistics:
    """What the answers of this process have cost."""

    tokens: int = 0
    """Tokens that the model has made."""
    unread: int = 0
    """Of these, how many came when nobody was reading."""
    ended: Counter[str] = field(default_factory=Counter)
    """Answers that have ended, by the reason."""


class Generation:
    """Makes one answer; `run` ends when the answer does. A `Listener` of the broker."""

    def __init__(
        self,
        broker: Broker,
        topic: str,
        *,
        user: str,
        answer: str,
        limits: GenerationLimits,
        statistics: AnswerStatistics,
        reader: str,
    ) -> None:
        """Make an answer that has one reader at first."""
        self._broker = broker
        self._topic = topic
        self._user = user
        self._answer = answer
        self._limits = limits
        self._statistics = statistics
        now = asyncio.get_running_loop().time()
        self._readers = {reader: now}  # each with the time of its last sign of life
        self._came = asyncio.Event()  # set while somebody reads
        self._came.set()
        self._grace: asyncio.TimerHandle | None = None  # runs while nobody does
        self._ended: asyncio.Future[Ending | None] = asyncio.get_running_loop().create_future()
        self._making: asyncio.Task[Ending | None] | None = None
        self._tokens = 0

    async def run(self, model: Model, prompt: str) -> None:
        """Begin the answer, ask the model, and store what it says until either side ends it.

        Return at once if another connection or process has begun this answer. Otherwise it always gets a last piece.

        Raises:
            UnavailableError: the broker's engine didn't answer.
        """
        begun = Begun(prompt=prompt, generator=secrets.token_hex(8))
        async with self._broker.subscribe(self._topic, self):  # before it begins, so that no signal is missed
            await self._broker.publish(self._topic, begun.encode(), key=BEGUN)
            history = await self._broker.history(self._topic, _BEGINNING, limit=1)
            if history.records and parse_record(history.records[0]) == begun:
                await self._generate(model, prompt)

    async def _generate(self, model: Model, prompt: str) -> None:
        ending: Ending | None = self._failed("interrupted")  # if this task is cancelled, because the server stops
        making = self._making = asyncio.create_task(self._make(model, prompt), name="answer-model")
        beating = asyncio.create_task(self._beat(), name="answer-beat")
        try:
            await asyncio.wait((making, self._ended), return_when=asyncio.FIRST_COMPLETED)
            ending = self._ended.result() if self._ended.done() else making.result()
        finally:
            making.cancel()
            beating.cancel()
            if self._grace is not None:
                self._grace.cancel()
            await asyncio.wait([making, beating])
            self._statistics.ended[ending.reason if ending else "interrupted"] += 1
            if ending is not None:
                with suppress(UnavailableError):  # then the readers find out by the silence
                    await self._broker.publish(self._topic, ending.encode(), key=END)

    # what the broker calls

    def on_record(self, record: Record) -> None:
        """Stop if somebody else has ended the answer, because this process was silent for too long."""
        with suppress(ValueError):
            if is_last(parse_record(record)):
                self._end(None)

    def on_signal(self, payload: str) -> None:
        """Note who reads, who has left, and who says stop."""
        try:
            signal = parse_signal(payload)
        except ValueError:
            return
        match signal:
            case Reading(reader=reader):
                self._readers[reader] = asyncio.get_running_loop().time()
                self._came.set()
                if self._grace is not None:
                    self._grace.cancel()
                    self._grace = None
            case Left(reader=reader, lost=lost):
                self._readers.pop(reader, None)
                self._check_readers(lost=lost)
            case Stopped():
                self._end(AnswerEnd(answer=self._answer, reason="stopped"))

    def on_reset(self, position: Position) -> None:
        """Stop, because the log has lost the answer."""
        self._end(None)

    def _check_readers(self, *, lost: bool) -> None:
        """If nobody reads any more, let the model wait for as long as somebody may come back."""
        if self._readers:
            return
        self._came.clear()
        left = AnswerEnd(answer=self._answer, reason="left")
        if not lost:
            self._end(left)
        elif self._grace is None:
            self._grace = asyncio.get_running_loop().call_later(self._limits.grace, self._end, left)

    def _end(self, ending: Ending | None) -> None:
        if not self._ended.done():
            self._ended.set_result(ending)
            if self._making is not None:
                self._making.cancel()  # at once, before it can take another token

    def _failed(self, reason: str) -> AnswerFailed:
        return AnswerFailed.model_validate({"answer": self._answer, "reason": reason})

    async def _make(self, model: Model, prompt: str) -> Ending | None:
        """Ask for one piece after the other; return the last piece of the answer."""
        try:
            async with aclosing(model(prompt)) as pieces:
                while True:
                    await self._came.wait()
                    if self._tokens >= self._limits.tokens:
                        return AnswerEnd(answer=self._answer, reason="length")
                    if not await self._limits.budget.try_acquire(self._user):
                        return self._failed("budget")
                    piece = await anext(pieces, None)
                    if piece is None:
                        return AnswerEnd(answer=self._answer, reason="complete")
                    self._count()
                    await self._store(self._message(piece))
        except LogFullError:
            return self._failed("interrupted")
        except Exception:
            _log.exception("the model failed")
            return self._failed("model")

    def _count(self) -> None:
        self._tokens += 1
        self._statistics.tokens += 1
        self._statistics.unread += not self._readers

    def _message(self, piece: Piece) -> Stored:
        if isinstance(piece, ToolCall):
            return AnswerToolCall(answer=self._answer, name=piece.name, arguments=piece.arguments)
        return AnswerText(answer=self._answer, text=piece)

    async def _store(self, piece: Stored) -> None:
        """Store a piece once, however often the broker is unavailable; the model isn't asked meanwhile.

        Raises:
            LogFullError: nothing more can be stored.
            PayloadError: the model has made a piece that is empty or too long.
        """
        while True:
            try:
                await self._broker.publish(self._topic, piece.encode(), key=f"piece {self._tokens}")
            except LogFullError:
                raise
            except UnavailableError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _beat(self) -> None:
        """Say that the model is being asked, and forget readers whose process is gone."""
        loop = asyncio.get_running_loop()
        while True:
            is_ready = self._broker.health().ready
            with suppress(UnavailableError):
                await self._broker.signal(self._topic, Alive().encode())
            await asyncio.sleep(self._limits.silence / BEATS)
            for reader, heard in list(self._readers.items()):
                if not is_ready:  # it is the log that is silent
                    self._readers[reader] = loop.time()
                elif loop.time() - heard > self._limits.silence:
                    del self._readers[reader]
                    self._check_readers(lost=True)
