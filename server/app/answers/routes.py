"""The same over HTTP: ``PUT`` asks, ``GET`` streams server-sent events, ``DELETE`` stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field

from ...access.auth import Authenticator
from ...access.http_errors import enforce_rate_limit, unavailable
from ...access.rate_limits import RateLimiter
from ...broker import UnavailableError
from ...inbox import PositionError
from ...messages import AnswerName
from ...settings import Settings
from ..long_poll import WaitingRequest, WaitingRequests
from ..sse import PLACE, RECONNECT_MILLISECONDS, format_position, parse_position
from .answers import Answers, AnswersError
from .reader import AnswerReader

__all__ = ["AnswerRoutes", "Question"]

Name = Annotated[AnswerName, Path(description="The name of the answer, chosen by the client that asks.")]
After = Annotated[str | None, Query(pattern=PLACE, description="EPOCH:OFFSET, the id of an earlier event.")]
LastEventId = Annotated[str | None, Header(pattern=PLACE)]


class Question(BaseModel):
    """What to ask the model."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: Annotated[str, Field(min_length=1, max_length=2_000)]


class AnswerRoutes:
    """The HTTP routes of one app."""

    def __init__(
        self, settings: Settings, *, authenticator: Authenticator, answers: Answers, waiting: WaitingRequests
    ) -> None:
        """Use the limits in `settings`; an event stream is one of the `waiting` requests."""
        self._settings = settings
        self._authenticator = authenticator
        self._answers = answers
        self._waiting = waiting
        self._limiter = RateLimiter(rate=settings.messages_per_second, burst=settings.message_burst)

    @property
    def routes(self) -> APIRouter:
        """``/answers/{answer}``, for the user who asks."""
        router = APIRouter(tags=["answers"], prefix="/answers", dependencies=[Depends(self._admit)])
        size = self._settings.message_bytes
        router.put("/{answer}", status_code=202, max_body_size=size)(self.ask)
        router.delete("/{answer}", status_code=204)(self.stop)
        streamed = [Depends(self._open_stream)]
        router.get("/{answer}", dependencies=streamed, response_class=EventSourceResponse)(self.stream)
        return router

    def close(self) -> None:
        """Reset the rate limit."""
        self._limiter.clear()

    async def ask(self, answer: Name, question: Question, request: Request) -> None:
        """Ask the model; stream the answer within some seconds, or the model stops. Asking again changes nothing."""
        try:
            async with self._answers.reading(request.state.session.user, answer, question.prompt) as transcript:
                transcript.note_lost(self._answers.grace)  # the reader is about to come
        except AnswersError as error:
            raise _http_error(error) from None
        except UnavailableError as error:
            raise unavailable(error) from None

    async def stop(self, answer: Name, request: Request) -> None:
        """Stop the model; the stream gets an `end` event."""
        try:
            await self._answers.stop(request.state.session.user, answer)
        except UnavailableError as error:
            raise unavailable(error) from None

    async def stream(self, answer: Name, request: Request) -> AsyncIterator[ServerSentEvent]:
        """Stream the pieces of an answer, each message type an event type. A browser resumes by Last-Event-ID.

        The stream ends after the `end` or `failed` event. A browser's EventSource would open it again: close it there.
        """
        reader: AnswerReader = request.state.reader
        yield ServerSentEvent(retry=RECONNECT_MILLISECONDS, comment="the answer follows")
        async for piece in reader:
            position = None if piece.position is None else format_position(piece.position)
            yield ServerSentEvent(event=piece.type, raw_data=piece.encode(), id=position)

    async def _open_stream(
        self, answer: Name, request: Request, after: After = None, last_event_id: LastEventId = None
    ) -> AsyncIterator[None]:
        try:
            with self._waiting.add(request, request.state.session) as waiting:
                async with self._answers.reading(request.state.session.user, answer) as transcript:
                    reader = AnswerReader(transcript, transcript.start(parse_position(last_event_id or after)))
                    request.state.reader = reader
                    ending = asyncio.create_task(_stop_with(waiting, reader), name="answer-stream")
                    try:
                        yield
                    finally:
                        # HTTP doesn't tell whether the client has left or was cut off
                        transcript.note_lost(self._answers.grace)
                        ending.cancel()
                        await asyncio.wait([ending])
        except AnswersError as error:
            raise _http_error(error) from None
        except PositionError as error:
            raise HTTPException(422, f"after: expected {error}") from None
        except UnavailableError as error:
            raise unavailable(error) from None

    async def _admit(self, request: Request) -> None:
        request.state.session = self._authenticator.authenticate_request(request)
        await enforce_rate_limit(self._limiter, request.state.session.user)


async def _stop_with(waiting: WaitingRequest, reader: AnswerReader) -> None:
    """End a stream when its request is over, because its session has expired or the server is stopping."""
    while not waiting.is_over:
        await waiting.wait()
    reader.stop()


def _http_error(error: AnswersError) -> HTTPException:
    if error.is_limit:
        return HTTPException(429, f"expected {error.expected}", headers={"Retry-After": "1"})
    return HTTPException(404, f"{error.field}: expected {error.expected}")
