"""A conversation that lives as long as its connection, and an echo made of it (lesson 02).

`converse` runs one connection: the handler's own task reads, one child answers, one child writes,
and when any of them ends the conversation, the others are cancelled and awaited. `closing` makes
sure that the client is told why.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Generic, Literal, ParamSpec, TypeVar

from fastapi import FastAPI, WebSocket, WebSocketDisconnect, WebSocketException
from pydantic import Field, TypeAdapter
from starlette.websockets import WebSocketState

from .frames import EXTENSION
from .messages import CloseCode, Error, Message, parse

__all__ = ["Conversation", "Echo", "Ended", "app", "closing", "converse", "create_app", "cut_reason"]

INBOX = 16  # messages read ahead of `on_message`; a client that sends more has to wait
SEND_TIMEOUT = 10.0  # seconds until a client that does not read is given up
CLOSE_TIMEOUT = 1.0  # seconds that the last frame of a conversation may take
LONGEST_REASON = 123  # bytes, RFC 6455 section 5.5: a control frame holds 125, two are the code

NOT_TEXT = Error(expected="a text message with a JSON object, not binary")

M = TypeVar("M", bound=Message)
P = ParamSpec("P")


@dataclass
class Ended:
    """How a connection ended, as the server saw it: filled in when the `closing` block ends."""

    code: int = CloseCode.NORMAL
    """The client's close code, or ours. After an abrupt loss 1005 or 1006, as the server software likes."""

    reason: str = ""
    """The text beside the code, often empty."""


def cut_reason(reason: str) -> str:
    """The longest beginning of `reason` that fits into a close frame, cut between two characters."""
    return reason.encode(errors="replace")[:LONGEST_REASON].decode(errors="ignore")


@asynccontextmanager
async def closing(websocket: WebSocket) -> AsyncIterator[Ended]:
    """Let no accepted connection end without a close frame: uvicorn sends none of its own.

    The block returns: 1000. It raises `WebSocketException`: that code and reason, and the
    exception ends here, for it is a way to say goodbye. It raises anything else: 1011, and the
    exception goes on to the server's log. It is cancelled: 1001. A `WebSocketDisconnect` means
    that the client was first; there is nothing left to send and the exception ends here.

    A client that reads nothing gets up to one second to take the frame.
    """
    ended = Ended()
    try:
        yield ended
    except WebSocketDisconnect as left:
        ended.code, ended.reason = left.code, left.reason
    except WebSocketException as goodbye:
        if websocket.application_state is WebSocketState.CONNECTING:
            raise  # not accepted yet: FastAPI answers with HTTP 403
        ended.code, ended.reason = goodbye.code, goodbye.reason
    except asyncio.CancelledError:
        ended.code = CloseCode.GOING_AWAY
        raise
    except Exception:
        ended.code = CloseCode.INTERNAL_ERROR
        raise
    finally:
        await _close(websocket, ended.code, ended.reason)


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    if websocket.application_state is not WebSocketState.CONNECTED:
        return
    if websocket.client_state is not WebSocketState.CONNECTED:
        return
    # the client may leave at any moment, and then every server raises an error of its own
    with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await websocket.close(code, cut_reason(reason))


class Conversation:
    """One accepted connection, as the callbacks of `converse` see it."""

    def __init__(self, websocket: WebSocket, *, send_timeout: float | None = SEND_TIMEOUT) -> None:
        self.websocket = websocket
        self._send_timeout = send_timeout

    async def send(self, message: Message) -> None:
        """Send one message; any number of tasks may send at once, and each message stays whole.

        A client that reads slowly makes this wait (backpressure), and one that has read nothing
        for `send_timeout` seconds ends the conversation with 4008.

        Raises:
            WebSocketDisconnect: the connection has ended; let it pass, `converse` knows.
        """
        await self.send_text(message.encode())

    async def send_text(self, text: str, *, give_way: bool = True) -> None:
        """Send a message that has been encoded already, once for many connections; otherwise like `send`.

        A send that finds room does not wait at all. A callback that sends in a loop would keep the
        server from everything else, a client's goodbye included, so each send lets the others run
        once. `give_way` False leaves that out, for a batch whose length is bounded.
        """
        try:
            async with asyncio.timeout(self._send_timeout):
                await self.websocket.send_text(text)
                if give_way:
                    await asyncio.sleep(0)
        except TimeoutError:
            reason = f"nothing was read for {self._send_timeout:g} s"
            raise WebSocketException(CloseCode.TOO_SLOW, reason) from None
        except RuntimeError:
            # Starlette and uvicorn each have their own for "closed already"
            raise WebSocketDisconnect(CloseCode.ABNORMAL) from None


async def converse(
    websocket: WebSocket,
    on_message: Callable[[Conversation, M], Awaitable[None]],
    *,
    model: type[M] | TypeAdapter[M],
    writer: Callable[[Conversation], Awaitable[None]] | None = None,
    idle_timeout: float | None = None,
    send_timeout: float | None = SEND_TIMEOUT,
) -> Ended:
    """Talk with one client until either side ends it; return the code and reason of the end.

    Accepts the connection if nobody has yet. Each text frame is read as `model` and handed to
    `on_message`, one after the other. What is no such message (binary, broken JSON, a wrong
    field) is answered with an `Error`, and the conversation goes on. `writer` sends what nobody
    asked for; when it returns, the conversation goes on without it. Both callbacks are cancelled
    and awaited before this returns, however the conversation ends.

    The connection is always being read, so a client that leaves is noticed at once, even by a
    callback that never sends. Only a client that is 16 messages ahead of `on_message` is not read
    until `on_message` has caught up: TCP makes it wait. There is a task that answers only while there is
    something to answer.

    To end it, a callback raises ``WebSocketException(code, reason)``. A client that sends no
    message for `idle_timeout` seconds (pings do not count) gets 1008, one that does not read for
    `send_timeout` seconds 4008; a callback that fails gives 1011. Cancelling gives 1001.

    Raises:
        Exception: whatever a callback raised, after the client has been told 1011; several at
            once come as an `ExceptionGroup`.
    """
    if websocket.application_state is WebSocketState.CONNECTING:
        await websocket.accept()
    talk = Conversation(websocket, send_timeout=send_timeout)
    async with closing(websocket) as ended:
        try:
            async with asyncio.TaskGroup() as children:
                if writer is not None:
                    children.create_task(_until_left(writer, talk), name="conversation-writer")
                inbox = _Inbox(talk, on_message, children)
                while True:
                    message = await _read(websocket, model, idle_timeout)
                    await inbox.put(message)
        except BaseExceptionGroup as group:
            raise _cause(group) from None
    return ended


async def _read(websocket: WebSocket, model: type[M] | TypeAdapter[M], idle_timeout: float | None) -> M | Error:
    try:
        # the timeout's own frames and objects are the largest part of a connection that idles without one
        if idle_timeout is None:
            event = await websocket.receive()
        else:
            async with asyncio.timeout(idle_timeout):
                event = await websocket.receive()
    except TimeoutError:
        raise WebSocketException(CloseCode.POLICY_VIOLATION, f"no message for {idle_timeout:g} s") from None
    if event["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(event.get("code", CloseCode.NO_STATUS), event.get("reason"))
    text = event.get("text")
    if text is None:
        return NOT_TEXT
    message = parse(text, model)
    return message  # noqa: RET504  # mypy takes the type of what is returned for that of what is parsed


class _Inbox(Generic[M]):
    """The messages read ahead, and the child that answers them; there is one only while there are any."""

    __slots__ = ("_children", "_messages", "_on_message", "_room", "_runs", "_talk")

    def __init__(
        self, talk: Conversation, on_message: Callable[[Conversation, M], Awaitable[None]], children: asyncio.TaskGroup
    ) -> None:
        self._talk = talk
        self._on_message = on_message
        self._children = children
        self._messages: list[M | Error] = []
        self._room: asyncio.Future[None] | None = None
        self._runs = False

    async def put(self, message: M | Error) -> None:
        """Have a message answered after those before it; waits while 16 of them wait."""
        while len(self._messages) >= INBOX:
            if not await self._is_room():
                return
        self._messages.append(message)
        if not self._runs:
            self._runs = True
            self._children.create_task(_until_left(self._answer_all), name="conversation-answers")

    async def _answer_all(self) -> None:
        while self._messages:
            message = self._messages.pop(0)
            if self._room is not None and not self._room.done():
                self._room.set_result(None)
            await (self._talk.send(message) if isinstance(message, Error) else self._on_message(self._talk, message))
        self._runs = False

    async def _is_room(self) -> bool:
        """Wait for room; False if the connection has ended meanwhile, where the server can tell without being asked."""
        room = self._room = asyncio.get_running_loop().create_future()
        offer = self._talk.websocket.scope.get("extensions", {}).get(EXTENSION)
        if offer is None:
            await room
            return True
        await asyncio.wait((room, offer["connection"].over), return_when=asyncio.FIRST_COMPLETED)
        return room.done()


async def _until_left(callback: Callable[P, Awaitable[None]], *args: P.args, **kwargs: P.kwargs) -> None:
    """Run a child; when it finds the client gone, leave it to the reader to say how."""
    try:
        await callback(*args, **kwargs)
    except* WebSocketDisconnect:  # also from within a task group of the callback
        this = asyncio.current_task()
        if this is not None and not this.cancelling():
            # the reader is told the client's own code, and cancels this sleep at once; if it is not
            # told, because a dead peer's bytes are stuck in the transport, this ends the conversation
            await asyncio.sleep(CLOSE_TIMEOUT)
        raise


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception that ended a conversation; a failure is told before a goodbye."""
    goodbyes, failures = group.split((WebSocketDisconnect, WebSocketException))
    if failures is not None:
        return failures if len(failures.exceptions) > 1 else failures.exceptions[0]
    # a task group puts its body's exception last: the reader's, who knows the client's own code
    cause: BaseException = goodbyes or group
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[-1]
    return cause


class Echo(Message):
    """What a client says to the echo, and what it hears again."""

    type: Literal["echo"] = "echo"
    text: Annotated[str, Field(max_length=10_000)]
    id: int | str | None = None


def create_app(*, idle_timeout: float | None = None) -> FastAPI:
    """An app with one WebSocket endpoint, ``/echo``, that sends every `Echo` back as it came."""
    app = FastAPI(title="Echo")

    @app.websocket("/echo")
    async def echo(websocket: WebSocket) -> None:
        await converse(websocket, Conversation.send, model=Echo, idle_timeout=idle_timeout)

    return app


app = create_app()
