"""A handler for one connection that reads, answers and writes at the same time, and an echo made of it (lesson 02).

`converse` runs the handler: its own task reads, one child task answers, one writes. When one of them ends the
conversation, the others are cancelled and awaited. `closing` makes sure that the client gets a close frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Generic, Literal, TypeVar

from fastapi import FastAPI, WebSocket, WebSocketDisconnect, WebSocketException
from pydantic import Field, TypeAdapter
from starlette.types import Message as Event
from starlette.websockets import WebSocketState

from .messages import CloseCode, Error, Message, parse
from .wire.closing import CLOSE_TIMEOUT, Ended, closing
from .wire.protocol import EXTENSION

__all__ = ["Conversation", "Echo", "Ended", "app", "closing", "converse", "create_app"]

READ_AHEAD = 16  # messages that wait for `on_message`; a client that sends more has to wait itself
SEND_TIMEOUT = 10.0  # seconds until a client that does not read is given up

NOT_TEXT = Error(expected="a text message with a JSON object, not binary")

M = TypeVar("M", bound=Message)


class Conversation:
    """One accepted connection, as the callbacks of `converse` see it."""

    __slots__ = ("send_timeout", "websocket")

    def __init__(self, websocket: WebSocket, *, send_timeout: float | None = SEND_TIMEOUT) -> None:
        self.websocket = websocket
        self.send_timeout = send_timeout

    async def send(self, message: Message) -> None:
        """Send one message. Several tasks may send at the same time; each message stays whole.

        A client that reads slowly makes this wait (backpressure). One that has read nothing for `send_timeout`
        seconds ends the conversation with 4008.

        Raises:
            WebSocketDisconnect: the connection has ended; don't catch it, `converse` does.
            TypeError: `message` isn't a `Message`, but a dict, for example.
        """
        if not isinstance(message, Message):
            raise TypeError(f"send takes a Message, got {message!r}; make it an object of one of your models")
        await self.send_text(message.encode())

    async def send_text(self, text: str) -> None:
        """Send a message that is encoded already; otherwise like `send`.

        A send to a client that keeps up doesn't wait at all. A callback that sends in a loop would then keep the
        server from everything else, such as reading a close frame, so each send lets other tasks run once.
        """
        try:
            async with asyncio.timeout(self.send_timeout):
                await self.send_without_deadline(text)
        except TimeoutError:
            reason = f"nothing was read for {self.send_timeout:g} s"
            raise WebSocketException(CloseCode.TOO_SLOW, reason) from None
        await asyncio.sleep(0)

    async def send_without_deadline(self, text: str) -> None:
        """Send a message that is encoded already, for a caller that has a deadline of its own, such as an outbox.

        Raises:
            WebSocketDisconnect: if the connection has ended.
            WebSocketException: if a middleware has given up (4008).
        """
        try:
            await self.websocket.send({"type": "websocket.send", "text": text})
        except TimeoutError:
            raise WebSocketException(CloseCode.TOO_SLOW, "a send took too long") from None
        except RuntimeError:
            # Starlette and uvicorn each have their own for "closed already"
            raise WebSocketDisconnect(CloseCode.ABNORMAL) from None


async def converse(
    websocket: WebSocket,
    on_message: Callable[[Conversation, M], Awaitable[None]],
    *,
    model: type[M] | TypeAdapter[M],
    writer: Callable[[Conversation], Awaitable[None]] | None = None,
    meter: Callable[[M | Error], Awaitable[None]] | None = None,
    longest: int | None = None,
    idle_timeout: float | None = None,
    send_timeout: float | None = SEND_TIMEOUT,
) -> Ended:
    """Talk with one client until either side ends it; return the code and reason of the end.

    Accept the connection if nobody has yet. Read each text frame as `model` and pass it to the callback
    ``async def on_message(conversation, message)``, one message after the other. The callback answers with
    ``await conversation.send(…)`` and returns nothing. A frame that isn't such a message (binary, broken JSON, a wrong
    field) is answered with an `Error`, and the conversation goes on. `writer` sends what isn't an answer; when it
    returns, the conversation goes on without it. Both callbacks are cancelled and awaited before this returns,
    however the conversation ends.

    The connection is always being read, so a client that leaves is noticed at once, even by a callback that never
    sends. Only if 16 messages wait for `on_message`, nothing more is read until it has caught up: TCP makes the client
    wait. The task that answers exists only while there is something to answer.

    `meter` is called with each message before it is answered, or with the `Error` that answers it, because junk costs
    the server as much as a message. A message of more than `longest` bytes isn't parsed, and ends the conversation
    with 1009.

    To end the conversation, a callback raises ``WebSocketException(code, reason)``. A client that sends no message for
    `idle_timeout` seconds (pings don't count) gets 1008, and one that doesn't read for `send_timeout` seconds 4008. If
    a callback fails, the client gets 1011; if the conversation is cancelled, 1001.

    Raises:
        Exception: whatever a callback raised, after the client has been told 1011; several at once come as an
            `ExceptionGroup`.
    """
    if websocket.application_state is WebSocketState.CONNECTING:
        await websocket.accept()
    conversation = Conversation(websocket, send_timeout=send_timeout)
    # a timeout's own frames and objects are a large part of a connection that idles, so there is none without need
    receive = websocket.receive if idle_timeout is None else partial(_receive_in_time, websocket, idle_timeout)
    async with closing(websocket) as ended:
        try:
            async with asyncio.TaskGroup() as children:
                if writer is not None:
                    children.create_task(_run_writer(writer, conversation), name="conversation-writer")
                dispatcher = _Dispatcher(conversation, on_message, children)
                while True:
                    message = _parse_event(await receive(), model, longest)
                    if meter is not None:
                        await meter(message)
                    await dispatcher.dispatch(message)
        except BaseExceptionGroup as group:
            raise _cause(group) from None
    return ended


async def _receive_in_time(websocket: WebSocket, seconds: float) -> Event:
    """Receive the next event; end the conversation if none comes in time."""
    try:
        async with asyncio.timeout(seconds):
            return await websocket.receive()
    except TimeoutError:
        raise WebSocketException(CloseCode.POLICY_VIOLATION, f"no message for {seconds:g} s") from None


def _parse_event(event: Event, model: type[M] | TypeAdapter[M], longest: int | None) -> M | Error:
    """Parse the message in an event, and check its size.

    Raises:
        WebSocketDisconnect: if it is the end of the connection.
        WebSocketException: if the message is too long.
    """
    if event["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(event.get("code", CloseCode.NO_STATUS), event.get("reason"))
    text = event.get("text")
    if longest is not None and len(event["bytes"] if text is None else text.encode()) > longest:
        raise WebSocketException(CloseCode.MESSAGE_TOO_BIG, f"over {longest} bytes")
    if text is None:
        return NOT_TEXT
    message = parse(text, model)
    return message  # noqa: RET504  # mypy takes the type of what is returned for that of what is parsed


class _Dispatcher(Generic[M]):
    """Calls `on_message` for one message after the other, in a child task that exists only while messages wait."""

    __slots__ = ("_children", "_conversation", "_is_running", "_messages", "_on_message", "_room")

    def __init__(
        self,
        conversation: Conversation,
        on_message: Callable[[Conversation, M], Awaitable[None]],
        children: asyncio.TaskGroup,
    ) -> None:
        self._conversation = conversation
        self._on_message = on_message
        self._children = children
        self._messages: list[M | Error] = []
        self._room: asyncio.Future[None] | None = None
        self._is_running = False

    async def dispatch(self, message: M | Error) -> None:
        """Have a message answered after those before it; wait while 16 of them wait."""
        while len(self._messages) >= READ_AHEAD:
            if not await self._wait_for_room():
                return
        self._messages.append(message)
        if not self._is_running:
            self._is_running = True
            self._children.create_task(self._run(), name="conversation-answers")

    async def _run(self) -> None:
        """Answer the messages that wait, one after the other."""
        try:
            while self._messages:
                message = self._messages.pop(0)
                if self._room is not None and not self._room.done():
                    self._room.set_result(None)
                if isinstance(message, Error):
                    await self._conversation.send(message)
                    continue
                answering: Awaitable[object] | None = self._on_message(self._conversation, message)
                if answering is None:
                    raise TypeError("on_message must be a coroutine function; write `async def`")
                if (returned := await answering) is not None:
                    raise TypeError(f"on_message returned {returned!r}; send it with `await conversation.send(…)`")
        except* WebSocketDisconnect:
            await _wait_for_reader()
            raise
        self._is_running = False

    async def _wait_for_room(self) -> bool:
        """Wait until fewer messages wait; return False if the connection ends meanwhile, as far as the server tells."""
        room = self._room = asyncio.get_running_loop().create_future()
        extension = self._conversation.websocket.scope.get("extensions", {}).get(EXTENSION)
        if extension is None:
            await room
            return True
        await asyncio.wait((room, extension["connection"].closed), return_when=asyncio.FIRST_COMPLETED)
        return room.done()


async def _run_writer(writer: Callable[[Conversation], Awaitable[None]], conversation: Conversation) -> None:
    try:
        await writer(conversation)
    except* WebSocketDisconnect:  # also from within a task group of the writer
        await _wait_for_reader()
        raise


async def _wait_for_reader() -> None:
    """Let the reader say how the connection ended, after a child has found the client gone.

    The reader receives the client's own close code, and cancels this wait at once. If it receives nothing, because
    a dead peer's bytes are stuck in the transport, the conversation ends when this returns.
    """
    this = asyncio.current_task()
    if this is not None and not this.cancelling():
        await asyncio.sleep(CLOSE_TIMEOUT)


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one exception that ended a conversation; a failure counts more than a close."""
    closes, failures = group.split((WebSocketDisconnect, WebSocketException))
    if failures is not None:
        return failures if len(failures.exceptions) > 1 else failures.exceptions[0]
    # a task group puts its body's exception last: the reader's, which has the client's own code
    cause: BaseException = closes or group
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[-1]
    return cause


class Echo(Message):
    """What a client sends to the echo, and gets back."""

    type: Literal["echo"] = "echo"
    text: Annotated[str, Field(max_length=10_000)]
    id: int | str | None = None


def create_app(*, idle_timeout: float | None = None) -> FastAPI:
    """Return an app with one WebSocket endpoint, ``/echo``, that sends every `Echo` back as it came."""
    app = FastAPI(title="Echo")

    @app.websocket("/echo")
    async def echo(websocket: WebSocket) -> None:
        await converse(websocket, Conversation.send, model=Echo, idle_timeout=idle_timeout)

    return app


app = create_app()
