"""The answers of one app: who may ask, which model is asked, and who reads the answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ...access.rate_limits import RateLimiter
from ...broker import Broker
from ...errors import ServerError
from ...settings import Settings
from .generation import AnswerStatistics, Generation, GenerationLimits
from .model import Model
from .records import Stopped, answer_topic
from .transcript import Transcript, Transcripts

__all__ = ["Answers", "AnswersError"]


class AnswersError(ServerError):
    """A client asked for an answer that it can't have; nothing was asked of the model."""

    def __init__(self, field: str | None, expected: str, *, is_limit: bool = False) -> None:
        super().__init__(f"{field or 'answer'}: expected {expected}")
        self.field = field
        self.expected = expected
        self.is_limit = is_limit
        """Whether it would be possible later."""


class Answers:
    """Asks the model and stores its answers in a broker; they can be read in every process that shares it."""

    def __init__(self, settings: Settings, broker: Broker, model: Model) -> None:
        """Use the limits in `settings`, and a broker that isn't shared: it is opened and closed with this object."""
        self.broker = broker
        self.statistics = AnswerStatistics()
        self.grace = settings.answer_grace_seconds
        """Seconds in which a reader whose connection was lost may come back."""
        self._model = model
        self._per_user = settings.answers_per_user
        self._budget = RateLimiter.per_day(settings.answer_tokens_per_day)
        self._limits = GenerationLimits(
            tokens=settings.answer_tokens,
            grace=settings.answer_grace_seconds,
            silence=settings.answer_silence_seconds,
            budget=self._budget,
        )
        self._transcripts = Transcripts(broker, silence=settings.answer_silence_seconds)
        self._running: Counter[str] = Counter()  # answers that are being made for each user
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        """Answers that this process is making now."""
        return self._running.total()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Answer for the length of the block; at its end, interrupt what is being made.

        Raises:
            BrokerError: the broker can't be opened.
        """
        async with self.broker:
            try:
                yield
            finally:
                for task in self._tasks:
                    task.cancel()
                if self._tasks:
                    await asyncio.wait(self._tasks)
                self._budget.clear()

    @asynccontextmanager
    async def reading(self, user: str, answer: str, prompt: str | None = None) -> AsyncIterator[Transcript]:
        """Read an answer of a user for the length of the block; with a prompt, ask the model if nobody has yet.

        As long as anybody is in such a block, in any process, the model goes on.

        Raises:
            AnswersError: there is no such answer, or the user has too many at once.
            UnavailableError: the broker's engine didn't answer.
        """
        topic = answer_topic(user, answer)
        async with self._transcripts.open(topic, answer) as transcript:
            if transcript.begun is None and prompt is not None:
                await self._begin(user, answer, prompt, transcript)
            if transcript.begun is None:
                raise AnswersError("answer", "an answer of yours that is still stored")
            yield transcript

    async def stop(self, user: str, answer: str) -> None:
        """Stop the model, in whichever process it is asked; do nothing if it has ended.

        Raises:
            UnavailableError: the broker's engine didn't answer.
        """
        await self.broker.signal(answer_topic(user, answer), Stopped().encode())

    async def _begin(self, user: str, answer: str, prompt: str, transcript: Transcript) -> None:
        """Ask the model, unless another connection or process was faster."""
        if self._running[user] >= self._per_user:
            raise AnswersError(None, f"at most {self._per_user} answers at once; stop one, or wait", is_limit=True)
        self._running[user] += 1  # before anything is awaited, so that the limit holds
        task = asyncio.create_task(self._generate(user, answer, prompt, transcript), name="answer")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await transcript.until_begun(task)

    async def _generate(self, user: str, answer: str, prompt: str, transcript: Transcript) -> None:
        generation = Generation(
            self.broker,
            transcript.topic,
            user=user,
            answer=answer,
            limits=self._limits,
            statistics=self.statistics,
            reader=transcript.reader,
        )
        try:
            await generation.run(self._model, prompt)
        finally:
            self._running[user] -= 1
            if not self._running[user]:
                del self._running[user]
