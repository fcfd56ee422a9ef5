"""The WebSocket ``/answers``: several answers at once on one connection, each read by a task of its own."""

from __future__ import annotations

import asyncio

from fastapi import WebSocket, WebSocketException

from ...access.auth import Authenticator, refuse
from ...access.rate_limits import RateLimiter
from ...broadcasting import open_outbox
from ...broker import UnavailableError
from ...echo import Conversation, converse
from ...inbox import PositionError
from ...manager import Connection, FullError, Manager
from ...messages import Answer, AnswersIn, Ask, CloseCode, Error, Message, Ping, Pong, Resume, Stop, Welcome
from ...notifications import unavailable_reason
from ...settings import Settings
from ..chat import LONGEST_DEVICE, close_on_expiry
from .answers import Answers, AnswersError
from .reader import AnswerReader

__all__ = ["AnswersEndpoint"]

MOST_READ = 50  # answers that one connection may read at once
# the client doesn't come back; not 1005, which uvicorn gives for a connection that was lost
LEAVING = (CloseCode.NORMAL, CloseCode.GOING_AWAY)


class AnswersEndpoint:
    """Serves every connection to ``/answers``; `connect` is the endpoint."""

    def __init__(self, settings: Settings, *, authenticator: Authenticator, manager: Manager, answers: Answers) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._manager = manager
        self._answers = answers
        self._limiter = RateLimiter(rate=settings.messages_per_second, burst=settings.message_burst)

    async def connect(self, websocket: WebSocket) -> None:
        """Authenticate a client as ``/ws`` does, and let it read answers until either side closes."""
        session = await self._authenticator.authenticate_websocket(websocket)
        device = websocket.query_params.get("device", "")
        if len(device) > LONGEST_DEVICE:
            await refuse(websocket, 400, CloseCode.POLICY_VIOLATION, f"device is over {LONGEST_DEVICE} characters")
        settings = self._settings
        outbox = open_outbox(
            websocket, messages=settings.outbox_messages, size=settings.outbox_bytes, seconds=settings.send_seconds
        )
        try:
            async with self._manager.register(session.user, device, outbox) as connection:
                requests = _Requests(self._answers, connection, self._limiter)
                with close_on_expiry(session, connection):
                    connection.send(Welcome(user=session.user, device=device))
                    try:
                        ended = await converse(
                            websocket,
                            requests.handle,
                            model=AnswersIn,
                            writer=outbox.writer,
                            meter=requests.meter,
                            longest=settings.message_bytes,
                            idle_timeout=settings.idle_seconds,
                            send_timeout=settings.send_seconds,
                        )
                        requests.is_leaving = ended.code in LEAVING
                    finally:
                        await requests.close()
        except FullError:
            await refuse(websocket, 503, CloseCode.TRY_AGAIN_LATER, "the server is full; try again later")

    def close(self) -> None:
        """Reset the rate limit."""
        self._limiter.clear()


class _Requests:
    """Does what the messages of one connection ask for."""

    def __init__(self, answers: Answers, connection: Connection, limiter: RateLimiter) -> None:
        self.is_leaving = False
        self._answers = answers
        self._connection = connection
        self._limiter = limiter
        self._readings: dict[str, asyncio.Task[None]] = {}

    async def meter(self, message: Message) -> None:
        """Count a message against its user's rate limit.

        Raises:
            WebSocketException: 4002, the user has sent too many.
        """
        if not await self._limiter.try_acquire(self._connection.user):
            reason = f"more than {self._limiter.rate:g} messages per second"
            raise WebSocketException(CloseCode.KICKED_FOR_SPAM, reason)

    async def handle(self, talk: Conversation, message: Ask | Resume | Stop | Ping) -> None:
        """Do what one message asks for, or answer it with an `Error`."""
        try:
            match message:
                case Ask() | Resume():
                    await self._start(message)
                case Stop():
                    await self._answers.stop(self._connection.user, message.answer)
                case Ping():
                    self._connection.send(Pong(id=message.id))
        except AnswersError as error:
            self._connection.send(Error(field=error.field, expected=error.expected, id=message.id))
        except PositionError as error:
            self._connection.send(Error(field="after", expected=str(error), id=message.id))
        except UnavailableError as error:
            self._connection.send(Error(expected=unavailable_reason(error), id=message.id))

    async def close(self) -> None:
        """Stop reading every answer."""
        for task in self._readings.values():
            task.cancel()
        if self._readings:
            await asyncio.wait(self._readings.values())

    async def _start(self, request: Ask | Resume) -> None:
        """Start to read an answer; return when the client was told, so that its next message comes after that."""
        if request.answer in self._readings:
            raise AnswersError("answer", "an answer that this connection isn't reading already")
        if len(self._readings) >= MOST_READ:
            raise AnswersError("answer", f"at most {MOST_READ} answers at once on one connection")
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._read(request, started), name="answer-reading")
        self._readings[request.answer] = task
        task.add_done_callback(lambda _: self._readings.pop(request.answer))
        await asyncio.wait((started, task), return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            task.result()

    async def _read(self, request: Ask | Resume, started: asyncio.Future[None]) -> None:
        name, connection = request.answer, self._connection
        prompt, after = (request.prompt, None) if isinstance(request, Ask) else (None, request.after)
        async with self._answers.reading(connection.user, name, prompt) as transcript:
            try:
                start, begun = transcript.start(after), transcript.begun
                assert begun is not None
                connection.send(Answer(answer=name, prompt=begun.prompt, position=start, id=request.id))
                started.set_result(None)
                async for piece in AnswerReader(transcript, start):
                    connection.send(piece)
                    await connection.drained()  # meanwhile, tokens are joined
            finally:
                if not self.is_leaving:
                    transcript.note_lost(self._answers.grace)
