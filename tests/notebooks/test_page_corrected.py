"""The page that the course started from, corrected: each claim against a real server.

Every test shows both: what the page's version really does, and that the course's version does
what the page promised.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, WebSocket, WebSocketDisconnect
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import StreamingResponse
from lab import Tap
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from server import serve
from server.echo import Conversation, Echo, closing, converse
from server.handshake import Handshake

Handler = Callable[[WebSocket], Awaitable[None]]
Writer = Callable[[], Awaitable[None]]

DEADLINE = 60.0  # seconds for what must happen
PATIENCE = 0.3  # seconds to see that something does not happen

NO_FRAME = (1006, "")


def _app(handler: Handler) -> FastAPI:
    app = FastAPI()
    app.websocket("/ws")(handler)
    return app


def _end(client: ClientConnection) -> tuple[int, str]:
    """The code and the reason with which the client's connection ends."""
    try:
        while True:
            client.recv(timeout=DEADLINE)
    except ConnectionClosed as end:
        return (end.rcvd.code, end.rcvd.reason) if end.rcvd else NO_FRAME


# send and receive at once


async def _read(websocket: WebSocket) -> None:
    async for message in websocket.iter_text():
        raise ValueError(message)


async def with_gather(websocket: WebSocket, writer: Writer) -> None:
    """The page's pattern."""
    await asyncio.gather(_read(websocket), writer())


async def with_task_group(websocket: WebSocket, writer: Writer) -> None:
    """The modern spelling of the same idea."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_read(websocket))
        group.create_task(writer())  # type: ignore[arg-type]


async def with_first_completed(websocket: WebSocket, writer: Writer) -> None:
    """Whoever ends first takes the other along."""
    tasks = {asyncio.ensure_future(_read(websocket)), asyncio.ensure_future(writer())}
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.wait(tasks)
    for task in done:
        task.result()


async def with_owner(websocket: WebSocket, writer: Writer) -> None:
    """The reader owns the connection: it cancels and awaits the writer."""
    child = asyncio.ensure_future(writer())
    try:
        await _read(websocket)
    finally:
        child.cancel()
        await asyncio.wait([child])


async def with_converse(websocket: WebSocket, writer: Writer) -> None:
    """The course's finished form."""

    async def on_message(talk: Conversation, message: Echo) -> None:
        raise ValueError(message.text)

    async def write(talk: Conversation) -> None:
        await writer()

    await converse(websocket, on_message, model=Echo, writer=write)


@pytest.mark.parametrize(
    ("structure", "how", "alive"),
    [
        (with_gather, "the client closes", True),
        (with_gather, "the reader raises", True),
        (with_task_group, "the client closes", True),
        (with_task_group, "the reader raises", False),
        (with_first_completed, "the client closes", False),
        (with_first_completed, "the reader raises", False),
        (with_owner, "the client closes", False),
        (with_owner, "the reader raises", False),
        (with_converse, "the client closes", False),
        (with_converse, "the reader raises", False),
    ],
)
def test_writer_ends_with_its_connection(
    structure: Callable[[WebSocket, Writer], Awaitable[None]], how: str, alive: bool
) -> None:
    """The page: gather runs both, and an exception in either cancels both. Truth: it cancels nothing.

    The sibling keeps running, after an exception and after a normal goodbye, until its next send
    fails. Whoever owns the connection must cancel the writer and await it.
    """
    started, stopped = threading.Event(), threading.Event()

    async def writer() -> None:
        started.set()
        try:
            await asyncio.sleep(30)  # as on the page, until the next ping
        finally:
            stopped.set()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await structure(websocket, writer)

    with serve(_app(handler)) as server:
        with connect(server.url("/ws")) as client:
            assert started.wait(DEADLINE)
            if how == "the reader raises":
                client.send(Echo(text="raise").encode())
                if not alive:
                    _end(client)
        assert stopped.wait(PATIENCE if alive else DEADLINE) is not alive


# heartbeats


@pytest.mark.parametrize("protocol_ping", [False, True])
def test_cut_cable_is_noticed(protocol_ping: bool) -> None:
    """The page: a ping message every 30 s keeps the connection alive. Truth: nothing checks its answer.

    Into a cut cable twenty application pings go without an error. Protocol pings have a deadline,
    and end the connection when their pongs stay away.
    """
    pings = threading.Semaphore(0)
    gone = threading.Event()

    async def handler(websocket: WebSocket) -> None:
        async def writer() -> None:
            while True:
                await asyncio.sleep(0.01)
                await websocket.send_json({"type": "ping"})
                pings.release()

        await websocket.accept()
        try:
            await with_owner(websocket, writer)
        finally:
            gone.set()

    options = {"ws_ping_interval": 0.1, "ws_ping_timeout": 0.2} if protocol_ping else {"ws_ping_interval": None}
    with (
        serve(_app(handler), **options) as server,
        Tap(server) as tap,
        connect(tap.url("/ws"), ping_interval=None, close_timeout=0.1) as client,
    ):
        assert json.loads(client.recv(timeout=DEADLINE)) == {"type": "ping"}
        tap.cut()
        while pings.acquire(blocking=False):
            pass
        if protocol_ping:
            assert gone.wait(DEADLINE)
        else:
            assert all(pings.acquire(timeout=DEADLINE) for _ in range(20))
            assert not gone.is_set()
            assert server.connections == 1


# refusals


@pytest.mark.parametrize("code", [1008, 4001])
def test_close_before_accept_loses_its_code(code: int) -> None:
    """The page: close() instead of accept() rejects, with 1008 or 4001 for a missing login. Truth: HTTP 403.

    Neither the code nor the reason leaves the server.
    """

    async def handler(websocket: WebSocket) -> None:
        await websocket.close(code, "log in first")

    with serve(_app(handler)) as server, pytest.raises(InvalidStatus) as refused, connect(server.url("/ws")):
        pass
    response = refused.value.response
    assert (response.status_code, response.body) == (403, b"")
    assert str(code) not in str(response.headers)
    assert "log in first" not in str(response.headers)


def test_accept_then_close_delivers_its_code() -> None:
    """The page: use 4001 for "auth required". Truth: only after accept() does it reach the client."""

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(4001, "log in first")

    with serve(_app(handler)) as server, connect(server.url("/ws")) as client:
        assert _end(client) == (4001, "log in first")


def test_denial_response_delivers_status_and_body() -> None:
    """The page knows no other way to refuse. Truth: an HTTP error before accept() arrives as it is."""

    async def handler(websocket: WebSocket) -> None:
        raise HTTPException(401, "log in first")

    with serve(_app(handler)) as server, pytest.raises(InvalidStatus) as refused, connect(server.url("/ws")):
        pass
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body) == {"detail": "log in first"}


# close codes


def test_shutdown_sends_1012() -> None:
    """The page: 1001 when the server shuts down. Truth: that is what RFC 6455 says, but uvicorn sends 1012."""

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            pass

    with serve(_app(handler)) as server, connect(server.url("/ws")) as client:
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert _end(client)[0] == 1012
        stopping.join()


async def _raises(websocket: WebSocket) -> None:
    await websocket.receive_text()
    raise ZeroDivisionError


async def _returns(websocket: WebSocket) -> None:
    await websocket.receive_text()


@pytest.mark.parametrize(("body", "code"), [(_raises, 1011), (_returns, 1000)])
@pytest.mark.parametrize("explicit", [False, True])
def test_end_of_a_handler_is_told_only_explicitly(body: Handler, code: int, explicit: bool) -> None:
    """The page: 1011 when the server fails. Truth: uvicorn sends no close frame, and the client sees 1006.

    That is so when the handler raises and when it simply returns; `closing` says it explicitly.
    """

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        if explicit:
            async with closing(websocket):
                await body(websocket)
        else:
            await body(websocket)

    with serve(_app(handler)) as server, connect(server.url("/ws")) as client:
        client.send("go")
        assert _end(client) == ((code, "") if explicit else NO_FRAME)


# kinds of messages


def test_text_json_and_bytes_can_be_mixed() -> None:
    """The page: the three are not interchangeable on a connection, pick one. Truth: each message has its kind.

    Text and JSON are even the same kind.
    """

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("text")
        await websocket.send_json({"kind": "json"})
        await websocket.send_bytes(b"bytes")
        await websocket.receive_text()

    with serve(_app(handler)) as server, Tap(server) as tap, connect(tap.url("/ws")) as client:
        assert [client.recv(timeout=DEADLINE) for _ in range(3)] == ["text", '{"kind":"json"}', b"bytes"]
        assert [frame.opcode for frame in tap.frames] == [1, 1, 2]


async def _page_echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            data = await websocket.receive_text()
            await websocket.send_text(f"echo: {data}")
    except WebSocketDisconnect:
        pass


async def _course_echo(websocket: WebSocket) -> None:
    await converse(websocket, Conversation.send, model=Echo)


def test_wrong_kind_of_message_kills_the_page_echo_only() -> None:
    """The page: mixing is a recipe for confusion. Truth: one binary message ends its receive loop with 1006.

    It is a KeyError that `except WebSocketDisconnect` does not catch. The validated echo answers
    with an error and goes on.
    """
    with serve(_app(_page_echo)) as server, connect(server.url("/ws")) as client:
        client.send(b"hi")
        assert _end(client) == NO_FRAME
        assert any(record.exc_info and isinstance(record.exc_info[1], KeyError) for record in server.log)
    with serve(_app(_course_echo)) as server, connect(server.url("/ws")) as client:
        for wrong in (b"hi", "{", '{"type": "echo", "text": NaN}'):
            client.send(wrong)
            assert json.loads(client.recv(timeout=DEADLINE))["type"] == "error"
        client.send(Echo(text="hi").encode())
        assert json.loads(client.recv(timeout=DEADLINE)) == {"type": "echo", "text": "hi"}


def test_iterators_exist_and_end_with_the_connection() -> None:
    """The page: iter_websocket is a small helper that you write. Truth: iter_text, iter_bytes and iter_json exist."""
    seen: list[Any] = []
    ended = threading.Event()

    async def handler(websocket: WebSocket, kind: str) -> None:
        await websocket.accept()
        async for message in getattr(websocket, f"iter_{kind}")():
            seen.append(message)
        ended.set()

    assert not hasattr(WebSocket, "iter_websocket")
    with serve(_app(handler)) as server:  # type: ignore[arg-type]
        for kind, message in (("text", "hi"), ("bytes", b"hi"), ("json", '{"say": "hi"}')):
            with connect(server.url(f"/ws?kind={kind}")) as client:
                client.send(message)
            assert ended.wait(DEADLINE)
            ended.clear()
    assert seen == ["hi", b"hi", {"say": "hi"}]


# push


def test_page_diagram_has_one_unsolicited_message() -> None:
    """The page: its second and third server messages answered nothing. Truth: there are two, one of them unasked."""

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        assert await websocket.receive_text() == "hello"
        await websocket.send_text("hi there")
        await websocket.send_text("are you up?")
        assert await websocket.receive_text() == "yep"
        await websocket.close()

    with serve(_app(handler)) as server, Tap(server) as tap:
        with connect(tap.url("/ws")) as client:
            client.send("hello")
            assert [client.recv(timeout=DEADLINE), client.recv(timeout=DEADLINE)] == ["hi there", "are you up?"]
            client.send("yep")
            assert _end(client)[0] == 1000
        messages = [frame.direction for frame in tap.frames if frame.opcode == 1]
    assert messages == ["client", "server", "server", "client"]
    unasked = [before == after == "server" for before, after in pairwise(messages)]
    assert sum(unasked) == 1


def test_http_keeps_the_line_open() -> None:
    """The page: after the answer of a server the line closes. Truth: it stays open for the next request.

    What HTTP lacks is that the server may begin; an answer that goes on and on (server-sent
    events) even gives that, in one direction.
    """
    app = FastAPI()
    more = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    @app.get("/")
    async def page() -> str:
        return "hi"

    @app.get("/events")
    async def events() -> StreamingResponse:
        async def stream() -> Any:
            loops.append(asyncio.get_running_loop())
            yield "data: first\n\n"
            await more.wait()
            yield "data: unasked\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    with serve(app) as server, Tap(server) as tap:
        client = http.client.HTTPConnection("127.0.0.1", tap.port, timeout=DEADLINE)
        for path in ("/", "/"):
            client.request("GET", path)
            assert client.getresponse().read() == b'"hi"'
        client.request("GET", "/events")
        answer = client.getresponse()
        assert answer.readline() == b"data: first\n"
        loops[0].call_soon_threadsafe(more.set)
        assert answer.read() == b"\ndata: unasked\n\n"
        client.close()
        assert len(tap.conversations) == 1
        assert len(tap.requests) == 3


# what the page does not mention


async def _tells_a_secret(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(f"the secret of {websocket.cookies['user']}")


def _bare() -> FastAPI:
    return _app(_tells_a_secret)


def _with_cors() -> FastAPI:
    app = _app(_tells_a_secret)
    app.add_middleware(CORSMiddleware, allow_origins=["https://ours.example"], allow_credentials=True)
    return app


def _with_allow_list() -> FastAPI:
    app = FastAPI()
    handshake = Handshake(origins=["https://ours.example"])

    app.websocket("/ws", dependencies=[Depends(handshake)])(_tells_a_secret)
    return app


@pytest.mark.parametrize(("app", "told"), [(_bare, True), (_with_cors, True), (_with_allow_list, False)])
def test_foreign_page_gets_nothing(app: Callable[[], FastAPI], told: bool) -> None:
    """The page says nothing on Origin. Truth: any page opens your socket with your user's cookies.

    CORSMiddleware does not look at WebSockets; an allow-list does, and lets our own page in.
    """
    with serve(app()) as server:
        cookie = {"Cookie": "user=ada"}
        with connect(server.url("/ws"), origin=Origin("https://ours.example"), additional_headers=cookie) as client:
            assert client.recv(timeout=DEADLINE) == "the secret of ada"
        with connect(server.url("/ws"), origin=Origin("https://evil.example"), additional_headers=cookie) as client:
            if told:
                assert client.recv(timeout=DEADLINE) == "the secret of ada"
            else:
                assert _end(client)[0] == 4003


@pytest.mark.parametrize("limit", [None, 1_000])
def test_message_over_the_limit_gets_1009(limit: int | None) -> None:
    """The page says nothing on limits. Truth: a message may have 16 MiB, unless a number says otherwise."""
    options = {} if limit is None else {"ws_max_size": limit}
    with serve(_app(_page_echo), **options) as server, connect(server.url("/ws"), compression=None) as client:
        client.send("x" * 1_000)
        assert client.recv(timeout=DEADLINE) == "echo: " + "x" * 1_000
        client.send("x" * 1_001)
        if limit is None:
            assert client.recv(timeout=DEADLINE) == "echo: " + "x" * 1_001
        else:
            assert _end(client)[0] == 1009
