"""The portable outbox below the middleware of an app: each send is its connection's, and so is a failure."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, WebSocket, WebSocketException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from server import BackgroundServer, serve
from server.broadcasting import PortableOutbox, statistics
from server.echo import Conversation, converse
from server.messages import CloseCode
from server.wire.outboxes.outbox import TextSender
from tests.server.people import DEADLINE
from tests.server.shop import PORTABLE, Order, order, until

WHO: ContextVar[str] = ContextVar("WHO")
SIZE = 300_000  # bytes of a message that make a send wait
LARGE = 127  # in the second byte of a frame of that size
Around = Callable[[Message], AbstractAsyncContextManager[None]]


class Middleware:
    """Knows who is connected, and does something around each send that has a text."""

    def __init__(self, app: ASGIApp, around: Around) -> None:
        self.app = app
        self.around = around

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note who is connected for everything that this connection does."""

        async def wrapped(message: Message) -> None:
            if message["type"] != "websocket.send":
                await send(message)
                return
            async with self.around(message):
                await send(message)

        if scope["type"] == "websocket":
            WHO.set(scope["path"].strip("/"))
        await self.app(scope, receive, wrapped)


@contextmanager
def hall(around: Around) -> Iterator[BackgroundServer]:
    """A server on which each order goes to everybody."""
    app, outboxes = FastAPI(), []

    @app.websocket("/{name}")
    async def handler(websocket: WebSocket) -> None:
        outbox = PortableOutbox(size=16 << 20)
        outboxes.append(outbox)

        async def take(talk: Conversation, wanted: Order) -> None:
            for number in range(wanted.count):
                for each in outboxes:
                    each.send_nowait(str(number).ljust(wanted.size))

        try:
            await converse(websocket, take, model=Order, writer=outbox.writer)
        finally:
            outboxes.remove(outbox)

    with serve(Middleware(app, around), **PORTABLE) as server:
        yield server


def enter(stack: ExitStack, server: BackgroundServer, name: str, **options: Any) -> ClientConnection:
    """Connect a client under a name."""
    client: ClientConnection = connect(server.url(f"/{name}"), proxy=None, max_queue=None, **options)
    return stack.enter_context(client)


def receive(client: ClientConnection, count: int) -> None:
    """Read so many messages, in order."""
    assert [int(client.recv(timeout=DEADLINE)) for _ in range(count)] == list(range(count))


def test_a_send_has_the_context_of_its_connection() -> None:
    """What a middleware has noted of one user, such as for a log, is not another's, whoever caused the message."""
    seen: list[tuple[str, object]] = []

    @asynccontextmanager
    async def around(message: Message) -> AsyncIterator[None]:
        seen.append((WHO.get("nobody"), asyncio.current_task()))
        yield

    with hall(around) as server, ExitStack() as stack:
        clients = {name: enter(stack, server, name) for name in ("ana", "ben", "eve")}
        for _ in range(2):
            order(clients["ana"], 1)
            for client in clients.values():
                receive(client, 1)
    assert sorted(name for name, _ in seen) == ["ana", "ana", "ben", "ben", "eve", "eve"]
    assert len(set(seen)) == len(clients)  # and each connection has one task for all its sends


@asynccontextmanager
async def noted(message: Message) -> AsyncIterator[None]:
    """As middleware for tracing does: set something for the length of a send."""
    token = WHO.set("a send")
    try:
        yield
    finally:
        WHO.reset(token)


@asynccontextmanager
async def in_a_scope(message: Message) -> AsyncIterator[None]:
    """A scope of anyio belongs to one task."""
    with anyio.CancelScope():
        yield


@asynccontextmanager
async def in_time(message: Message) -> AsyncIterator[None]:
    """A deadline of asyncio cancels the task in which it began."""
    async with asyncio.timeout(0.05):
        yield


@pytest.mark.parametrize("protocol", ["websockets-sansio", "wsproto"])
def test_answers_and_queued_messages_are_sent_at_the_same_time(protocol: str) -> None:
    """Both to a client that reads slowly: each message is whole, and of each kind all come in order."""
    app = FastAPI()

    @app.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        outbox = PortableOutbox(size=16 << 20)

        async def take(talk: Conversation, wanted: Order) -> None:
            for number in range(wanted.count):
                outbox.send_nowait(f"queued {number}".ljust(wanted.size))
                await talk.send_text(f"answer {number}".ljust(wanted.size))

        await converse(websocket, take, model=Order, writer=outbox.writer)

    with serve(app, ws=protocol) as server, connect(server.url("/"), proxy=None, max_queue=1) as client:
        order(client, 30, SIZE)
        received = [client.recv(timeout=DEADLINE) for _ in range(60)]
        assert {len(text) for text in received} == {SIZE}
        for kind in ("queued", "answer"):
            numbers = [int(text.split()[1]) for text in map(str, received) if text.startswith(kind)]
            assert numbers == list(range(30))


@asynccontextmanager
async def yielding(message: Message) -> AsyncIterator[None]:
    """As a lock or a log does: let the loop come round before each send."""
    await asyncio.sleep(0)
    yield


def test_a_burst_is_not_held_against_a_peer_whose_every_send_waits() -> None:
    """A peer that keeps up gets all, although each message is queued for a pass of the loop."""
    with hall(yielding) as server, ExitStack() as stack:
        ana, ben = enter(stack, server, "ana"), enter(stack, server, "ben")
        for _ in range(40):
            order(ana, 50)
        for client in (ana, ben):
            for _ in range(40):
                receive(client, 50)


@contextmanager
def mute(server: BackgroundServer) -> Iterator[socket.socket]:
    """Connect a client that reads its handshake and then nothing, with a small buffer."""
    with socket.socket() as silent:
        silent.settimeout(DEADLINE)
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        silent.connect(("127.0.0.1", server.port))
        silent.sendall(
            b"GET /mute HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        while not silent.recv(1, socket.MSG_PEEK):
            pass
        yield silent


def read_frames(silent: socket.socket) -> int:
    """Read large text frames until a small frame or the end comes; return their number."""
    with silent.makefile("rb") as stream:
        while stream.readline().strip():
            pass  # the head of the handshake
        count = 0
        while (head := stream.read(2)) and head[1] == LARGE:
            count += len(stream.read(int.from_bytes(stream.read(8)))) == SIZE
        return count


@pytest.mark.parametrize("around", [noted, in_a_scope, in_time])
def test_a_send_that_has_to_wait_ends_as_it_began(around: Around) -> None:
    """It is finished in the task and the context in which it began; the others receive all, meanwhile and after."""
    open_before = statistics().connections
    with hall(around) as server, ExitStack() as stack:
        silent = stack.enter_context(mute(server))
        ana, ben = enter(stack, server, "ana", max_size=None), enter(stack, server, "ben", max_size=None)
        order(ana, 30, SIZE)
        for client in (ana, ben):
            receive(client, 30)
        if around is in_time:
            until(lambda: statistics().connections == open_before + 2, server)  # its time is over
            order(ana, 1)
            assert read_frames(silent) < 30
        else:
            order(ana, 1)
            assert read_frames(silent) == 30
        for client in (ana, ben):
            receive(client, 1)
        assert not [record for record in server.log if record.levelname == "ERROR"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("a bug"), 1011),
        (RuntimeError("closed"), 1011),
        (asyncio.CancelledError(), 1011),
        (OSError("gone"), None),
    ],
)
def test_a_send_that_fails_ends_its_own_connection_only(error: BaseException, code: int | None) -> None:
    """Its client is told 1011, unless the error says that it is gone; the others go on, and nothing of it is left."""

    @asynccontextmanager
    async def around(message: Message) -> AsyncIterator[None]:
        if WHO.get("nobody") == "eve":
            raise error
        yield

    open_before = statistics().connections
    with hall(around) as server, ExitStack() as stack:
        ana, eve = enter(stack, server, "ana"), enter(stack, server, "eve")
        order(ana, 3)
        receive(ana, 3)
        with pytest.raises(ConnectionClosed) as closed:
            eve.recv(timeout=DEADLINE)
        assert (closed.value.rcvd and closed.value.rcvd.code) == code
        order(ana, 2)
        receive(ana, 2)
        until(lambda: statistics().connections == open_before + 1, server)
        assert not [record for record in server.log if "ASGI" in record.getMessage()]
    assert statistics().connections == open_before


class Waits:
    """Sends nothing, and has something to do when it is given up."""

    def __init__(self) -> None:
        self.begun = self.cleaned_up = 0

    send_timeout = None

    async def send_without_deadline(self, text: str) -> None:
        """Wait."""
        self.begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.cleaned_up += 1


@pytest.mark.anyio
@pytest.mark.parametrize("passes", range(6))
@pytest.mark.parametrize("how", ["cancel", "end"])
async def test_a_send_that_is_given_up_cleans_up(passes: int, how: str) -> None:
    """Whenever that is; nothing is left in the statistics, and whoever waits for the outbox goes on."""
    before = statistics()
    outbox, sender = PortableOutbox(), Waits()
    writer = asyncio.create_task(write(outbox, sender))
    await asyncio.sleep(0)
    for text in "abc":
        outbox.send_nowait(text)
    draining = asyncio.create_task(outbox.drained())
    for _ in range(passes):
        await asyncio.sleep(0)
    if how == "cancel":
        writer.cancel()
    else:
        outbox.end(4004, "another device")
    done, _ = await asyncio.wait([writer], timeout=DEADLINE)
    assert done
    assert sender.cleaned_up == sender.begun
    await asyncio.wait_for(draining, DEADLINE)
    assert statistics().connections == before.connections
    (ended,) = await asyncio.gather(writer, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError if how == "cancel" else WebSocketException)


async def write(outbox: PortableOutbox, sender: TextSender) -> None:
    """Run the writer of an outbox."""
    await outbox.writer(sender)


class Turnstile:
    """Lets one send through each time it is told to."""

    def __init__(self, send_timeout: float | None = None) -> None:
        self.send_timeout = send_timeout
        self.sent: list[str] = []
        self._open = asyncio.Semaphore(0)

    def let_one_through(self) -> None:
        """Let the send that waits, or the next one, go on."""
        self._open.release()

    async def send_without_deadline(self, text: str) -> None:
        """Wait for permission."""
        await self._open.acquire()
        self.sent.append(text)


@asynccontextmanager
async def written(outbox: PortableOutbox, sender: Turnstile) -> AsyncIterator[asyncio.Task[None]]:
    """The writer of an outbox, for the length of the block."""
    writer = asyncio.create_task(write(outbox, sender))
    await asyncio.sleep(0)
    try:
        yield writer
    finally:
        writer.cancel()
        await asyncio.wait([writer])


async def eventually(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something is so."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110  # the passes of the loop are what an outbox counts
            await asyncio.sleep(0)


@pytest.mark.anyio
async def test_a_peer_that_reads_a_little_and_then_nothing_is_slow_again() -> None:
    """Its bounds hold for each send that waits, not only for the first; once it has taken all, it is not slow."""
    outbox, sender = PortableOutbox(messages=3), Turnstile()
    async with written(outbox, sender) as writer:
        for text in "abc":
            outbox.send_nowait(text)
        for count in range(1, 4):
            await eventually(lambda: outbox.statistics().blocked)
            sender.let_one_through()
            await eventually(lambda: len(sender.sent) == count)  # noqa: B023
        assert not outbox.statistics().blocked
        for text in "defgh":
            outbox.send_nowait(text)
        await asyncio.wait([writer], timeout=DEADLINE)
        with pytest.raises(WebSocketException, match="read faster"):
            writer.result()
    assert sender.sent == list("abc")


@pytest.mark.anyio
async def test_a_peer_that_reads_a_little_has_the_whole_deadline_again() -> None:
    """It is closed with 4008 when it has read nothing for the seconds of `converse`."""
    outbox, sender = PortableOutbox(), Turnstile(send_timeout=0.05)
    async with written(outbox, sender) as writer:
        outbox.send_nowait("a")
        outbox.send_nowait("b")
        await eventually(lambda: outbox.statistics().blocked)
        sender.let_one_through()
        await asyncio.wait([writer], timeout=DEADLINE)
        with pytest.raises(WebSocketException, match=r"nothing was read for 0\.05 s") as closed:
            writer.result()
    assert closed.value.code == CloseCode.TOO_SLOW
    assert sender.sent == ["a"]
