"""A conversation on a real socket: every way it can end, and nothing that outlives it."""

from __future__ import annotations

import asyncio
import json
import queue
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect, WebSocketException
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, field_validator
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from server import BackgroundServer, serve
from server.echo import READ_AHEAD, Conversation, Echo, Ended, closing, converse, create_app
from server.messages import CloseCode, Message, cut_reason

DEADLINE = 60.0  # seconds that anything here may take, on a busy machine


class Say(Message):
    """What the clients of these tests send."""

    type: Literal["say"] = "say"
    text: Annotated[str, Field(max_length=100_000)] = "hi"
    id: int | None = None


SAY = Say().encode()


@dataclass
class Stage:
    """A server with one conversation per client, and a report of how each of them ended."""

    on_message: Callable[[Conversation, Say], Awaitable[None]] = Conversation.send
    options: dict[str, Any] = field(default_factory=dict)
    ws: str = "auto"
    reports: queue.Queue[tuple[Ended | BaseException, list[str]]] = field(default_factory=queue.Queue)
    task: asyncio.Task[None] | None = None

    @contextmanager
    def open(self, **uvicorn_options: Any) -> Iterator[BackgroundServer]:
        """Serve the conversation on ``/ws``."""
        app = FastAPI()
        app.websocket("/ws")(self._handler)
        with serve(app, ws=self.ws, **uvicorn_options) as server:
            yield server

    async def _handler(self, websocket: WebSocket) -> None:
        self.task = asyncio.current_task()
        outcome: Ended | BaseException | None = None
        try:
            outcome = await converse(websocket, self.on_message, model=Say, **self.options)
        except BaseException as error:
            outcome = error
            raise
        finally:
            assert outcome is not None
            left = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("conversation-")]
            self.reports.put((outcome, left))

    def ended(self) -> Ended | BaseException:
        """Wait for the end of one conversation; assert that none of its tasks was left."""
        outcome, left = self.reports.get(timeout=DEADLINE)
        assert left == []
        return outcome


class Talker:
    """A writer that says when it has started, then sends or waits, and says when it was stopped."""

    def __init__(self, *, say: Say | None = None) -> None:
        self.say = say
        self.started = threading.Event()
        self.stopped = threading.Event()

    async def __call__(self, talk: Conversation) -> None:
        """Write until cancelled."""
        self.started.set()
        try:
            while True:
                if self.say is None:
                    await asyncio.Event().wait()
                else:
                    await talk.send(self.say)
        finally:
            self.stopped.set()


@pytest.fixture(params=["auto", "websockets", "server.wire.protocol:FanoutProtocol"])
def ws(request: pytest.FixtureRequest) -> str:
    """Both implementations of WebSocket in uvicorn that need only the websockets library, and ours."""
    return str(request.param)


def open_raw(server: BackgroundServer, path: str = "/ws") -> socket.socket:
    """A client made of a bare socket, its handshake done, so that a test can break the rules."""
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE)
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += sock.recv(1)
    assert answer.startswith(b"HTTP/1.1 101 ")
    return sock


def reset(sock: socket.socket) -> None:
    """Vanish with RST instead of a close frame, as a process that is killed with unread data."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def masked(opcode: Opcode, payload: bytes) -> bytes:
    """One frame as a client sends it."""
    return Frame(opcode, payload).serialize(mask=True)


def end_of(client: ClientConnection) -> tuple[int, str]:
    """Read until the server closes; the code and reason that the client saw, 1006 without a close frame."""
    try:
        while True:
            client.recv(timeout=DEADLINE)
    except ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


async def forever(talk: Conversation, message: Say) -> None:
    """A callback that waits for something that never comes."""
    await asyncio.Event().wait()


# what is said


def test_echo_app_sends_back_what_came() -> None:
    """The app of the lesson answers each message with the same message, its id included."""
    with serve(create_app()) as server, connect(server.url("/echo")) as client:
        client.send('{"type": "echo", "text": "grüß dich", "id": 7}')
        assert json.loads(client.recv(timeout=DEADLINE)) == {"type": "echo", "text": "grüß dich", "id": 7}


@pytest.mark.parametrize(
    ("junk", "answer"),
    [
        (b"\x00\x01", {"expected": "a text message with a JSON object, not binary"}),
        ('{"type": "say", "text"', None),
        ('{"type": "say", "text": NaN}', None),
        ('{"type": "shout"}', {"field": "type", "expected": "'say'"}),
        ('{"type": "say", "text": 7, "id": 3}', {"field": "text", "expected": "a valid string", "id": 3}),
        ("[" * 100_000, None),
        ("", None),
        (b"", {"expected": "a text message with a JSON object, not binary"}),
    ],
    ids=["binary", "cut", "nan", "unknown type", "wrong field", "deep", "empty", "empty binary"],
)
def test_junk_gets_an_error_and_the_conversation_goes_on(
    junk: str | bytes, answer: dict[str, Any] | None, ws: str
) -> None:
    """What kills a hand-written loop is answered here, and the next good message is echoed."""
    with Stage(ws=ws).open() as server, connect(server.url("/ws")) as client:
        client.send(junk)
        error = json.loads(client.recv(timeout=DEADLINE))
        assert error["type"] == "error"
        assert answer is None or error == {"type": "error"} | answer
        client.send(SAY)
        assert client.recv(timeout=DEADLINE) == SAY


def test_answers_keep_the_order_of_the_messages() -> None:
    """Errors and answers come in the order of what they answer."""
    with Stage().open() as server, connect(server.url("/ws")) as client:
        for number in range(50):
            client.send(Say(id=number).encode() if number % 2 else f'{{"type":"oops","id":{number}}}')
        assert [json.loads(client.recv(timeout=DEADLINE))["id"] for _ in range(50)] == list(range(50))


def test_connection_that_is_accepted_already_is_used_as_it_is() -> None:
    """A caller that chose a subprotocol has accepted; it is not done again."""
    app = FastAPI()

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept(subprotocol="chat")
        await converse(websocket, Conversation.send, model=Say)

    with serve(app) as server, connect(server.url("/ws"), subprotocols=["chat"]) as client:  # type: ignore[list-item]
        assert client.subprotocol == "chat"
        client.send(SAY)
        assert client.recv(timeout=DEADLINE) == SAY


def test_writer_sends_unasked_and_may_stop() -> None:
    """A writer that returns does not end the conversation."""

    async def greet(talk: Conversation) -> None:
        await talk.send(Say(text="welcome"))

    with Stage(options={"writer": greet}).open() as server, connect(server.url("/ws")) as client:
        assert client.recv(timeout=DEADLINE) == Say(text="welcome").encode()
        client.send(SAY)
        assert client.recv(timeout=DEADLINE) == SAY


def test_an_idle_conversation_has_no_task_of_its_own(ws: str) -> None:
    """There is a child that answers only while there is something to answer: most connections only listen."""
    seen: queue.Queue[list[str]] = queue.Queue()

    def look() -> None:
        names = [task.get_name() for task in asyncio.all_tasks(stage.task.get_loop() if stage.task else None)]
        seen.put([name for name in names if name.startswith("conversation-")])

    async def hold(talk: Conversation, message: Say) -> None:
        look()
        await talk.send(message)

    stage = Stage(hold, ws=ws)
    with stage.open() as server, connect(server.url("/ws")) as client:
        for _ in range(2):
            client.send(SAY)
            assert client.recv(timeout=DEADLINE) == SAY
            assert seen.get(timeout=DEADLINE) == ["conversation-answers"]
            assert stage.task is not None
            while True:  # the child gives way once more before it ends
                stage.task.get_loop().call_soon_threadsafe(look)
                if not seen.get(timeout=DEADLINE):
                    break


def test_many_tasks_may_send_at_once(ws: str) -> None:
    """Messages of concurrent senders arrive whole, and each sender's in its order, also under backpressure."""

    async def sender(talk: Conversation, number: int) -> None:
        for count in range(20):
            await talk.send(Say(text="x" * 20_000, id=number * 20 + count))

    async def crowd(talk: Conversation) -> None:
        async with asyncio.TaskGroup() as senders:
            for number in range(20):
                senders.create_task(sender(talk, number))

    with Stage(options={"writer": crowd}, ws=ws).open() as server, connect(server.url("/ws")) as client:
        got = [json.loads(client.recv(timeout=DEADLINE))["id"] for _ in range(400)]
    for number in range(20):
        assert [each for each in got if each // 20 == number] == [number * 20 + count for count in range(20)]


def test_reading_is_bounded_when_answers_are_slow() -> None:
    """A client that sends faster than it is answered is made to wait by TCP; the server's inbox stays short."""
    parsed = 0
    lead: list[int] = []

    class Counted(Say):
        @field_validator("text")
        @classmethod
        def count(cls, text: str) -> str:
            nonlocal parsed
            parsed += 1
            return text

    async def slowly(talk: Conversation, message: Say) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        lead.append(parsed - len(lead))
        await talk.send(message)

    app = FastAPI()

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await converse(websocket, slowly, model=Counted)

    with serve(app) as server, connect(server.url("/ws")) as client:
        for _ in range(500):
            client.send(SAY)
        for _ in range(500):
            client.recv(timeout=DEADLINE)
    assert max(lead) <= READ_AHEAD + 2  # one more in the answerer's hands, one in the reader's


# how it ends


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1000, "bye"), (1001, ""), (4321, "mine")])
def test_client_closes(code: int, reason: str, ws: str) -> None:
    """The server sees the client's code and reason, and its writer stops."""
    talker = Talker()
    stage = Stage(options={"writer": talker}, ws=ws)
    with stage.open() as server, connect(server.url("/ws")) as client:
        assert talker.started.wait(DEADLINE)
        client.close(code, reason)
        assert stage.ended() == Ended(code, reason)
        assert talker.stopped.is_set()
        assert client.protocol.close_code == code


def test_client_closes_without_a_code(ws: str) -> None:
    """A close frame without a code is 1005 on the server."""
    stage = Stage(ws=ws)
    with stage.open() as server, open_raw(server) as sock:
        sock.sendall(masked(Opcode.CLOSE, b""))
        sock.shutdown(socket.SHUT_WR)
        assert stage.ended() == Ended(CloseCode.NO_STATUS, "")


@pytest.mark.parametrize("say", [None, Say()], ids=["silent writer", "busy writer"])
def test_client_vanishes(say: Say | None, ws: str) -> None:
    """A reset connection ends the conversation quietly, whether the server was sending or not."""
    talker = Talker(say=say)
    stage = Stage(options={"writer": talker}, ws=ws)
    with stage.open() as server:
        sock = open_raw(server)
        assert talker.started.wait(DEADLINE)
        reset(sock)
        ended = stage.ended()
        assert isinstance(ended, Ended)
        assert ended.code in (CloseCode.NO_STATUS, CloseCode.ABNORMAL)
        assert talker.stopped.is_set()
        assert "Exception" not in str(server.log)


@pytest.mark.parametrize("say", [None, Say()], ids=["silent writer", "busy writer"])
def test_server_stops(say: Say | None, ws: str) -> None:
    """A stopping server closes with 1012, and the conversation has ended before the server has."""
    talker = Talker(say=say)
    stage = Stage(options={"writer": talker}, ws=ws)
    with stage.open() as server, connect(server.url("/ws")) as client:
        assert talker.started.wait(DEADLINE)
        server.stop()
        assert end_of(client) == (CloseCode.SERVICE_RESTART, "")
        assert stage.ended() == Ended(CloseCode.SERVICE_RESTART, "")
        assert talker.stopped.is_set()


def test_failing_on_message_is_1011(ws: str) -> None:
    """The client gets 1011, the log has the exception, and the writer stops."""

    async def fail(talk: Conversation, message: Say) -> None:
        raise ZeroDivisionError("on purpose")

    talker = Talker()
    stage = Stage(fail, {"writer": talker}, ws)
    with stage.open() as server, connect(server.url("/ws")) as client:
        client.send(SAY)
        assert end_of(client) == (CloseCode.INTERNAL_ERROR, "")
        assert isinstance(stage.ended(), ZeroDivisionError)
        assert talker.stopped.is_set()
    assert [r.exc_info[0] for r in server.log if r.exc_info] == [ZeroDivisionError]


def test_failing_writer_is_1011_while_the_client_is_silent(ws: str) -> None:
    """A writer that fails ends the conversation at once, though the reader still waits for a message."""

    async def fail(talk: Conversation) -> None:
        raise ZeroDivisionError("on purpose")

    stage = Stage(options={"writer": fail}, ws=ws)
    with stage.open() as server, connect(server.url("/ws")) as client:
        assert end_of(client) == (CloseCode.INTERNAL_ERROR, "")
        assert isinstance(stage.ended(), ZeroDivisionError)
    assert [r.exc_info[0] for r in server.log if r.exc_info] == [ZeroDivisionError]


def test_two_failures_are_raised_together() -> None:
    """When a cancelled callback fails as well, neither exception is lost."""

    async def fail(talk: Conversation, message: Say) -> None:
        raise ZeroDivisionError("first")

    async def fail_when_cancelled(talk: Conversation) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise KeyError("second")

    stage = Stage(fail, {"writer": fail_when_cancelled})
    with stage.open() as server, connect(server.url("/ws")) as client:
        client.send(SAY)
        assert end_of(client) == (CloseCode.INTERNAL_ERROR, "")
    outcome = stage.ended()
    assert isinstance(outcome, ExceptionGroup)
    assert [type(error) for error in outcome.exceptions] == [ZeroDivisionError, KeyError]


def test_failure_while_the_client_leaves_is_raised() -> None:
    """An exception in a callback's clean-up is not hidden by the client's close."""

    async def fail_when_cancelled(talk: Conversation) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise KeyError("clean-up")

    stage = Stage(options={"writer": fail_when_cancelled})
    with stage.open() as server, connect(server.url("/ws")) as client:
        client.send(SAY)
        client.recv(timeout=DEADLINE)
        client.close()
        assert isinstance(stage.ended(), KeyError)


@pytest.mark.parametrize("by", ["on_message", "writer"])
def test_callback_ends_the_conversation_with_its_own_code(by: str, ws: str) -> None:
    """`WebSocketException` closes with a code and a reason, and is not a failure."""

    async def close(talk: Conversation, message: Say | None = None) -> None:
        raise WebSocketException(CloseCode.KICKED_FOR_SPAM, "too many messages")

    stage = Stage(close, ws=ws) if by == "on_message" else Stage(options={"writer": close}, ws=ws)
    with stage.open() as server, connect(server.url("/ws")) as client:
        if by == "on_message":
            client.send(SAY)
        assert end_of(client) == (4002, "too many messages")
        assert stage.ended() == Ended(4002, "too many messages")
        assert "Exception" not in str(server.log)


def test_callback_may_have_a_task_group_of_its_own(ws: str) -> None:
    """A client that leaves is no failure, also when a task of a callback's own group finds it gone."""
    started = threading.Event()

    async def send_for_ever(talk: Conversation) -> None:
        started.set()
        while True:
            await talk.send(Say())

    async def write(talk: Conversation) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(send_for_ever(talk))

    stage = Stage(options={"writer": write}, ws=ws)
    with stage.open() as server:
        sock = open_raw(server)
        assert started.wait(DEADLINE)
        reset(sock)
        ended = stage.ended()
        assert isinstance(ended, Ended)
        assert ended.code in (CloseCode.NO_STATUS, CloseCode.ABNORMAL)
        assert "Exception" not in str(server.log)


def test_task_of_a_callback_may_close() -> None:
    """`WebSocketException` ends the conversation with its code from within a task group as well."""

    async def close() -> None:
        raise WebSocketException(CloseCode.KICKED_FOR_SPAM, "too many messages")

    async def write(talk: Conversation) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(close())

    stage = Stage(options={"writer": write})
    with stage.open() as server, connect(server.url("/ws")) as client:
        assert end_of(client) == (4002, "too many messages")
        assert stage.ended() == Ended(4002, "too many messages")


def test_idle_client_is_closed_with_1008(ws: str) -> None:
    """A client that sends nothing for the idle timeout gets the reason; its pongs do not count."""
    talker = Talker()
    stage = Stage(options={"writer": talker, "idle_timeout": 0.2}, ws=ws)
    with stage.open(ws_ping_interval=0.02) as server, connect(server.url("/ws")) as client:
        assert end_of(client) == (CloseCode.POLICY_VIOLATION, "no message for 0.2 s")
        assert stage.ended() == Ended(CloseCode.POLICY_VIOLATION, "no message for 0.2 s")
        assert talker.stopped.is_set()


def test_cancelled_handler_says_1001(ws: str) -> None:
    """Cancelling the handler stops its children, closes the connection, and raises CancelledError."""
    talker = Talker()
    stage = Stage(options={"writer": talker}, ws=ws)
    with stage.open() as server, connect(server.url("/ws")) as client:
        assert talker.started.wait(DEADLINE)
        assert stage.task is not None
        stage.task.get_loop().call_soon_threadsafe(stage.task.cancel)
        assert end_of(client) == (CloseCode.GOING_AWAY, "")
        assert isinstance(stage.ended(), asyncio.CancelledError)
        assert talker.stopped.is_set()


def test_client_that_does_not_read_is_given_up(ws: str) -> None:
    """A send that finds no room for `send_timeout` seconds ends the conversation with 4008."""
    talker = Talker(say=Say(text="x" * 100_000))
    stage = Stage(options={"writer": talker, "send_timeout": 0.2}, ws=ws)
    with stage.open() as server, open_raw(server):
        assert stage.ended() == Ended(CloseCode.TOO_SLOW, "nothing was read for 0.2 s")


def test_client_that_leaves_is_noticed_by_a_busy_callback(ws: str) -> None:
    """`on_message` is cancelled when its client leaves, though it neither sends nor receives."""
    stage = Stage(forever, ws=ws)
    with stage.open() as server, connect(server.url("/ws")) as client:
        client.send(SAY)
        client.send(SAY)  # unread by on_message: uvicorn would stop reading here, and never see the close
        client.close()
        assert client.protocol.close_code == CloseCode.NORMAL
        assert stage.ended() == Ended(CloseCode.NORMAL, "")


def test_flooding_client_that_vanishes_ends_a_sending_callback() -> None:
    """Even when the inbox is full and the reader waits, a failing send ends the conversation."""
    waiting, go_on = threading.Event(), asyncio.Event()

    async def send_late(talk: Conversation, message: Say) -> None:
        waiting.set()
        await go_on.wait()
        while True:
            await talk.send(message)

    stage = Stage(send_late)
    with stage.open() as server:
        sock = open_raw(server)
        sock.sendall(masked(Opcode.TEXT, SAY.encode()) * (READ_AHEAD * 3))
        assert waiting.wait(DEADLINE)
        reset(sock)
        assert stage.task is not None
        stage.task.get_loop().call_soon_threadsafe(go_on.set)
        ended = stage.ended()
        assert isinstance(ended, Ended)
        assert ended.code in (CloseCode.NO_STATUS, CloseCode.ABNORMAL)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (Frame(Opcode.TEXT, b"unmasked").serialize(mask=False), CloseCode.PROTOCOL_ERROR),
        (masked(Opcode.TEXT, b"\xff\xfe"), CloseCode.INVALID_DATA),
        (masked(Opcode.TEXT, b"x" * 2_000), CloseCode.MESSAGE_TOO_BIG),
    ],
    ids=["unmasked", "not utf-8", "too big"],
)
def test_broken_protocol_ends_the_conversation(raw: bytes, code: CloseCode) -> None:
    """What the server closes by itself ends the conversation as well, with the server's code."""
    stage = Stage(options={"writer": Talker()})
    with stage.open(ws_max_size=1_000) as server, open_raw(server) as sock:
        sock.sendall(raw)
        ended = stage.ended()
        assert isinstance(ended, Ended)
        assert ended.code == code


# closing


def closing_server(body: Callable[[WebSocket], Awaitable[None]], *, accept: bool = True) -> BackgroundServer:
    """A server whose handler is `closing` around `body`."""
    app = FastAPI()

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        if accept:
            await websocket.accept()
        async with closing(websocket):
            await body(websocket)

    return serve(app)


async def do_return(websocket: WebSocket) -> None:
    """A handler that has nothing to do."""


async def do_fail(websocket: WebSocket) -> None:
    """A handler with a bug."""
    raise KeyError("a bug")


async def do_raise(websocket: WebSocket) -> None:
    """A handler that closes with a longer reason than a close frame allows."""
    raise WebSocketException(4001, "ä" * 200)


async def do_close(websocket: WebSocket) -> None:
    """A handler that closes by itself."""
    await websocket.close(4003, "no")


@pytest.mark.parametrize(
    ("body", "end"),
    [
        (do_return, (1000, "")),
        (do_fail, (1011, "")),
        (do_raise, (4001, "ä" * 61)),
        (do_close, (4003, "no")),
    ],
)
def test_closing_sends_a_close_frame(body: Callable[[WebSocket], Awaitable[None]], end: tuple[int, str]) -> None:
    """However the block ends, the client sees a close frame; without `closing`, uvicorn lets it see 1006."""
    with closing_server(body) as server, connect(server.url("/ws")) as client:
        assert end_of(client) == end


def test_closing_refuses_a_connection_that_was_not_accepted() -> None:
    """A close before `accept` is passed on to FastAPI, which refuses the handshake."""
    with closing_server(do_raise, accept=False) as server, pytest.raises(InvalidStatus) as refused:
        connect(server.url("/ws")).__enter__()
    assert refused.value.response.status_code == 403


def test_closing_takes_a_client_that_left_as_a_normal_end() -> None:
    """`WebSocketDisconnect` ends in the block, and its code and reason can be read afterwards."""
    seen: queue.Queue[Ended] = queue.Queue()
    app = FastAPI()

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        async with closing(websocket) as ended:
            await websocket.receive_text()
        seen.put(ended)

    with serve(app) as server, connect(server.url("/ws")) as client:
        client.close(4000, "bye")
        assert seen.get(timeout=DEADLINE) == Ended(4000, "bye")
        assert "Exception" not in str(server.log)


def test_send_after_the_end_is_a_disconnect() -> None:
    """A closed connection raises `WebSocketDisconnect` at every send, not a RuntimeError at the second."""
    seen: queue.Queue[type[BaseException]] = queue.Queue()

    async def send_twice(talk: Conversation) -> None:
        with suppress(WebSocketDisconnect):
            while True:
                await talk.send(Say())
        try:
            await talk.send(Say())
        except Exception as error:
            seen.put(type(error))
            raise

    with Stage(options={"writer": send_twice}).open() as server:
        reset(open_raw(server))
        assert seen.get(timeout=DEADLINE) is WebSocketDisconnect


@given(st.text())
def test_reason_is_cut_to_what_a_close_frame_holds(reason: str) -> None:
    """The cut reason is a beginning of the reason, and fits into 123 bytes."""
    cut = cut_reason(reason)
    assert reason.startswith(cut)
    assert len(cut.encode()) <= 123
    assert cut == reason or len(reason.encode()) > 123


@pytest.mark.parametrize("character", ["é", "e\u0301", "🦊", "👩\u200d👩\u200d👧", "🇩🇪"], ids=ascii)
def test_a_reason_is_cut_between_two_characters(character: str) -> None:
    """As a reader sees them; and what is left out would not have fitted."""
    for start in range(30):
        text = "x" * start + character * 100
        cut = cut_reason(text)
        assert cut in {text[: start + len(character) * count] for count in range(100)}
        assert len(cut.encode()) + len(character.encode()) > 123


def test_echo_is_limited() -> None:
    """The echo's text has a longest length, and what is longer gets an error."""
    with serve(create_app()) as server, connect(server.url("/echo")) as client:
        client.send(json.dumps({"type": "echo", "text": "x" * 10_001}))
        assert json.loads(client.recv(timeout=DEADLINE))["field"] == "text"
        client.send(Echo(text="x" * 10_000).encode())
        assert json.loads(client.recv(timeout=DEADLINE))["type"] == "echo"
