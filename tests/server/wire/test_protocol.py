"""Ready-made frames on real sockets: between everything else that a connection carries, and at its end."""

from __future__ import annotations

import asyncio
import queue
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, Frame, Opcode
from websockets.sync.client import connect

from server import BackgroundServer, serve
from server.broadcasting import Outbox, Overflow, fan_out, open_outbox
from server.echo import Ended, converse
from server.messages import CloseCode
from server.wire.protocol import EXTENSION, FanoutProtocol
from tests.server.people import DEADLINE, Silent
from tests.server.shop import FAST, Order, until

REPLACED = (CloseCode.REPLACED, "another device")
Body = Callable[[WebSocket, Outbox], Awaitable[None]]


@dataclass
class Stage:
    """A server whose handler is given: a connection that is not accepted yet, and its outbox."""

    body: Body
    options: dict[str, Any] = field(default_factory=dict)
    protocols: queue.Queue[FanoutProtocol] = field(default_factory=queue.Queue)
    outboxes: queue.Queue[Outbox] = field(default_factory=queue.Queue)
    left: queue.Queue[int] = field(default_factory=queue.Queue)
    """With what code `receive` ended."""

    @contextmanager
    def open(self, **uvicorn_options: Any) -> Iterator[BackgroundServer]:
        """Serve it on ``/ws``."""
        app = FastAPI()

        @app.websocket("/ws")
        async def handler(websocket: WebSocket) -> None:
            self.protocols.put(websocket.scope["extensions"][EXTENSION]["connection"])
            outbox = open_outbox(websocket, **self.options)
            self.outboxes.put(outbox)
            try:
                await self.body(websocket, outbox)
            except WebSocketDisconnect as left:
                self.left.put(left.code)

        with serve(app, **(FAST | uvicorn_options)) as server:
            yield server


class Raw:
    """A client made of a bare socket, which sees every frame as it is on the wire."""

    def __init__(self, server: BackgroundServer, *, extensions: str = "") -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE)
        offer = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
        self.socket.sendall(
            "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n".encode()
        )
        self.file = self.socket.makefile("rb")
        while self.file.readline() != b"\r\n":
            pass

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.file.close()
        self.socket.close()

    def send(self, opcode: Opcode, payload: bytes, *, fin: bool = True) -> None:
        """Send one frame."""
        self.socket.sendall(Frame(opcode, payload, fin).serialize(mask=True))

    def frame(self) -> Frame | None:
        """The next frame, None at the end of the connection."""
        try:
            return read_frame(self.file.read)
        except ConnectionResetError:
            return None

    def rest(self) -> list[Frame]:
        """Every frame until the end of the connection; pings and replies when it is closed."""
        frames = []
        while frame := self.frame():
            frames.append(frame)
            if frame.opcode is Opcode.CLOSE:
                with suppress(OSError):
                    self.send(Opcode.PING, b"still there?")
                    self.send(Opcode.CLOSE, frame.data[:2])  # type: ignore[arg-type]
        return frames


def read_frame(read: Callable[[int], bytes]) -> Frame | None:
    """One frame of a server from a blocking reader."""
    head = read(2)
    if len(head) < 2:
        return None
    assert not head[1] & 0x80, "a server masks nothing"
    length = head[1]
    if length == 126:
        (length,) = struct.unpack("!H", read(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", read(8))
    data = read(length)
    assert len(data) == length, "a frame was torn"
    return Frame(Opcode(head[0] & 0x0F), data, bool(head[0] & 0x80), bool(head[0] & 0x40))


async def stay(websocket: WebSocket, outbox: Outbox) -> None:
    """A handler that only listens."""
    await websocket.accept()
    while True:
        await websocket.receive_text()


FILLED = 500  # messages of 20,000 bytes: more than the 4 MiB that a kernel takes for one socket


async def fill(websocket: WebSocket, outbox: Outbox) -> None:
    """A handler that has more to say than a peer takes that does not read."""
    await websocket.accept()
    for _ in range(FILLED):
        outbox.send_nowait("x" * 20_000)
        await asyncio.sleep(0)
    while True:
        await websocket.receive_text()


def on_loop(protocol: FanoutProtocol, call: Callable[[], object]) -> None:
    """Do something where the server runs."""
    protocol.loop.call_soon_threadsafe(call)


# between everything else


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_order_is_kept_across_both_kinds_of_send(compression: str | None) -> None:
    """What was put goes before what is sent after it, also when the peer does not keep up."""

    async def both(websocket: WebSocket, outbox: Outbox) -> None:
        await websocket.accept()
        for number in range(0, 600, 3):
            outbox.send_nowait(f"{number:<20000}")
            outbox.send_nowait(f"{number + 1:<20000}")
            await websocket.send_text(f"{number + 2:<20000}")
        await websocket.close()

    with Stage(both).open() as server, connect(server.url("/ws"), proxy=None, compression=compression) as client:
        assert [int(text) for text in client] == list(range(600))


def test_a_send_does_not_wait_for_what_is_queued_after_it() -> None:
    """A stream of frames to a slow peer cannot delay a message forever."""
    begun = threading.Event()

    async def both(websocket: WebSocket, outbox: Outbox) -> None:
        await websocket.accept()
        for _ in range(300):
            outbox.send_nowait("before".ljust(20_000))
        sending = asyncio.ensure_future(websocket.send_text("message"))
        await asyncio.sleep(0)
        assert not sending.done()
        begun.set()
        for _ in range(300):
            outbox.send_nowait("after".ljust(20_000))
        await sending
        await websocket.close()

    with (
        Stage(both, {"size": 1 << 30, "messages": 1_000}).open() as server,
        connect(server.url("/ws"), proxy=None, compression=None, max_queue=1) as client,
    ):
        assert begun.wait(DEADLINE)  # until then it reads next to nothing
        texts = [str(text).strip() for text in client]
    assert texts[:300] == ["before"] * 300
    assert "message" in texts
    assert texts[-1] == "after"


def test_ready_made_frames_stand_uncompressed_between_compressed_ones() -> None:
    """RFC 7692 section 6 allows it: each message says for itself, in RSV1, whether it is compressed."""

    async def both(websocket: WebSocket, outbox: Outbox) -> None:
        await websocket.accept()
        for _ in range(3):
            outbox.send_nowait("plain")
            await websocket.send_text("compressed")
        await websocket.close()

    with Stage(both).open() as server, Raw(server, extensions="permessage-deflate") as client:
        frames = client.rest()
    assert [(frame.rsv1, frame.data == b"plain") for frame in frames[:-1]] == [(False, True), (True, False)] * 3


def test_frames_of_one_turn_are_one_write() -> None:
    """What is due when the loop comes round arrives in one piece: that is what makes it fast."""
    stage = Stage(stay)
    with stage.open() as server, Raw(server) as client:
        outbox, protocol = stage.outboxes.get(timeout=DEADLINE), stage.protocols.get(timeout=DEADLINE)
        on_loop(protocol, lambda: fan_out([outbox] * 100, "hello"))
        assert client.socket.recv(65_536) == b"\x81\x05hello" * 100


def test_fragments_and_pings_in_between() -> None:
    """A client's message in pieces, with a ping among them, is read; the pong and the frames are each whole."""

    async def answer(websocket: WebSocket, outbox: Outbox) -> None:
        await websocket.accept()
        while True:
            text = await websocket.receive_text()
            for _ in range(50):
                outbox.send_nowait(text)

    with Stage(answer).open() as server, Raw(server) as client:
        for _ in range(20):
            client.send(Opcode.TEXT, b"hel", fin=False)
            client.send(Opcode.PING, b"?")
            client.send(Opcode.CONT, b"lo")
        frames = [client.frame() for _ in range(20 * 51)]
        assert frames.count(Frame(Opcode.TEXT, b"hello")) == 20 * 50
        assert frames.count(Frame(Opcode.PONG, b"?")) == 20


def test_a_connection_that_fails_to_send_does_not_stop_the_others() -> None:
    """Whatever goes wrong in one connection's turn, the others have theirs, and that one is ended."""
    stage = Stage(stay)
    with stage.open() as server, Raw(server), Raw(server) as client:
        broken, whole = stage.outboxes.get(timeout=DEADLINE), stage.outboxes.get(timeout=DEADLINE)
        protocol = stage.protocols.get(timeout=DEADLINE)
        until(lambda: server.connections == 2)

        def fail() -> None:
            raise ZeroDivisionError("on purpose")

        protocol.flush = fail  # type: ignore[method-assign]
        on_loop(protocol, lambda: fan_out([broken, whole], "hello"))
        assert client.frame() == Frame(Opcode.TEXT, b"hello")
        until(lambda: server.connections == 1)
        assert "a connection failed to send frames" in str(server.log)


# the beginning and the end


def test_messages_queued_before_the_handshake_come_after_it() -> None:
    """A connection that is registered before it is accepted loses nothing."""

    async def early(websocket: WebSocket, outbox: Outbox) -> None:
        outbox.send_nowait("early")
        await asyncio.sleep(0.01)  # several turns of the loop
        await websocket.accept()
        await websocket.close()

    with Stage(early).open() as server, Raw(server) as client:
        assert [frame.data for frame in client.rest()] == [b"early", Close(1000, "").serialize()]


def test_an_end_before_the_handshake_comes_after_it() -> None:
    """A connection that is replaced during its handshake gets the code, and so does its handler."""

    async def early(websocket: WebSocket, outbox: Outbox) -> None:
        outbox.end(*REPLACED)
        await stay(websocket, outbox)

    stage = Stage(early)
    with stage.open() as server, Raw(server) as client:
        assert [frame.data for frame in client.rest()] == [Close(*REPLACED).serialize()]
        assert stage.left.get(timeout=DEADLINE) == CloseCode.REPLACED


@pytest.mark.parametrize("who", ["the app", "the outbox", "the client", "the server"])
def test_nothing_comes_after_a_close_frame(who: str) -> None:
    """Whoever closes: what is put afterwards is given up, and what was put before the app's own close is sent."""
    go = asyncio.Event()

    async def close(websocket: WebSocket, outbox: Outbox) -> None:
        await websocket.accept()
        await go.wait()
        outbox.send_nowait("before")
        if who == "the app":
            await websocket.close()
        elif who == "the outbox":
            outbox.end(*REPLACED)
        elif who == "the client":
            with suppress(WebSocketDisconnect):
                await websocket.receive_text()
        outbox.send_nowait("after")
        await asyncio.sleep(0.01)  # several turns of the loop
        outbox.send_nowait("after")

    stage = Stage(close)
    with stage.open() as server, Raw(server) as client:
        protocol, outbox = stage.protocols.get(timeout=DEADLINE), stage.outboxes.get(timeout=DEADLINE)
        until(lambda: protocol.handshake_complete)
        if who == "the client":
            client.send(Opcode.CLOSE, b"\x03\xe8")
            until(lambda: not protocol.queue.empty())
        elif who == "the server":
            on_loop(protocol, protocol.shutdown)
        on_loop(protocol, go.set)
        frames = client.rest()
        assert [frame.opcode for frame in frames].index(Opcode.CLOSE) == len(frames) - 1
        assert b"after" not in [frame.data for frame in frames]
        assert (b"before" in [frame.data for frame in frames]) == (who == "the app")
        until(lambda: len(outbox) == 0)


def test_a_slow_client_that_reads_late_sees_4008() -> None:
    """The close frame waits behind whole messages, for the seconds given; then both sides close as usual."""
    stage = Stage(fill, {"messages": 20, "seconds": DEADLINE})
    with stage.open() as server, Silent(server, "sid", greeting="") as sid:
        assert stage.left.get(timeout=DEADLINE) == CloseCode.TOO_SLOW
        until(lambda: stage.outboxes.queue[0].statistics().dropped > 0)
        file = sid.socket.makefile("rb")
        frames: list[Any] = []
        while not frames or frames[-1].opcode is not Opcode.CLOSE:
            frames.append(read_frame(file.read))
        assert {frame.data for frame in frames[:-1]} == {b"x" * 20_000}
        close = Close.parse(frames[-1].data)
        assert (close.code, close.reason.endswith("wait; read faster")) == (CloseCode.TOO_SLOW, True)
        assert server.connections == 1
        sid.send(Opcode.CLOSE, frames[-1].data[:2])
        until(lambda: server.connections == 0)
        file.close()


def test_a_slow_client_that_does_not_read_even_then_loses_its_socket() -> None:
    """After the seconds given: closing would wait for it forever."""
    with Stage(fill, {"messages": 20, "seconds": 0.2}).open() as server, Silent(server, "sid", greeting=""):
        until(lambda: server.connections == 0)


def test_a_peer_whose_handler_has_ended_loses_its_socket() -> None:
    """A handler that returns while its peer does not read leaves nothing behind, though it never closed."""

    async def leave(websocket: WebSocket, outbox: Outbox) -> None:
        await websocket.accept()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                while True:
                    await websocket.send_text("x" * 20_000)

    with Stage(leave, {"seconds": 0.2}).open() as server, Silent(server, "sid", greeting=""):
        until(lambda: server.connections == 0)


def test_a_peer_that_does_not_answer_the_apps_close_loses_its_socket() -> None:
    """Also when the close frame is still on its way, and the handler stays; uvicorn alone would close, and wait."""

    async def close(websocket: WebSocket, outbox: Outbox) -> None:
        protocol = websocket.scope["extensions"][EXTENSION]["connection"]
        protocol.close_timeout = 0.2
        protocol.transport.set_write_buffer_limits(1 << 24)  # or the close would wait for the peer as well
        await websocket.accept()
        await websocket.send_text("x" * 10_000_000)
        await websocket.close()
        await asyncio.Event().wait()

    with Stage(close).open() as server, Silent(server, "sid", greeting=""):
        until(lambda: server.connections == 0)


def test_a_peer_that_is_done_but_does_not_read_loses_its_socket() -> None:
    """Half a close and a full buffer: uvicorn alone would never tell the handler, and never let go of either."""
    stage = Stage(fill, {"overflow": Overflow.DROP_OLDEST, "seconds": 0.3})
    with stage.open() as server, Silent(server, "sid", greeting="") as sid:
        protocol = stage.protocols.get(timeout=DEADLINE)
        until(lambda: not protocol.writable.is_set())
        sid.socket.shutdown(socket.SHUT_WR)
        assert stage.left.get(timeout=DEADLINE) in (CloseCode.NO_STATUS, CloseCode.ABNORMAL)
        until(lambda: server.connections == 0)


def test_the_end_reaches_a_handler_that_does_not_read() -> None:
    """A client that is 16 messages ahead of a callback that hangs is not read; its end is noticed all the same."""
    ended: queue.Queue[Ended] = queue.Queue()

    async def hang(websocket: WebSocket, outbox: Outbox) -> None:
        async def for_ever(*args: object) -> None:
            await asyncio.Event().wait()

        ended.put(await converse(websocket, for_ever, model=Order, writer=outbox.writer))

    stage = Stage(hang)
    with stage.open() as server, Raw(server) as client:
        for _ in range(40):
            client.send(Opcode.TEXT, Order(count=0).encode().encode())
        protocol = stage.protocols.get(timeout=DEADLINE)
        until(lambda: protocol.read_paused)
        on_loop(protocol, lambda: stage.outboxes.queue[0].end(*REPLACED))
        assert ended.get(timeout=DEADLINE) == Ended(*REPLACED)
        assert [frame.data for frame in client.rest()] == [Close(*REPLACED).serialize()]


def test_the_end_is_the_next_thing_that_a_handler_receives() -> None:
    """Answers to messages that came before, and were not read yet, could not be sent."""
    go = asyncio.Event()

    async def late(websocket: WebSocket, outbox: Outbox) -> None:
        await websocket.accept()
        await go.wait()
        outbox.end(*REPLACED)
        await websocket.receive_text()

    stage = Stage(late)
    with stage.open() as server, Raw(server) as client:
        protocol = stage.protocols.get(timeout=DEADLINE)
        client.send(Opcode.TEXT, b"in vain")
        until(lambda: not protocol.queue.empty())
        on_loop(protocol, go.set)
        assert stage.left.get(timeout=DEADLINE) == CloseCode.REPLACED


def test_one_connection_has_one_outbox() -> None:
    """A second one would replace the first, whose messages would wait forever."""
    failed: queue.Queue[str] = queue.Queue()

    async def open_two(websocket: WebSocket, outbox: Outbox) -> None:
        await websocket.accept()
        with pytest.raises(RuntimeError) as error:
            open_outbox(websocket)
        failed.put(str(error.value))
        await websocket.close()

    with Stage(open_two).open() as server, Raw(server):
        assert failed.get(timeout=DEADLINE).endswith("open one outbox for each connection")


def test_a_send_after_the_end_is_a_disconnect() -> None:
    """The handler could not know; what it meets is what it meets when the client is gone, and no failure."""

    async def send(websocket: WebSocket, outbox: Outbox) -> None:
        await websocket.accept()
        outbox.end(*REPLACED)
        await websocket.send_text("too late")

    stage = Stage(send)
    with stage.open() as server, Raw(server) as client:
        assert [frame.data for frame in client.rest()] == [Close(*REPLACED).serialize()]
        assert stage.left.get(timeout=DEADLINE) == CloseCode.ABNORMAL


def test_several_tasks_may_receive() -> None:
    """Each event goes to one of them, and one that is cancelled takes none with it, as with uvicorn's own queue."""
    got: queue.Queue[str] = queue.Queue()

    async def receive_by_three(websocket: WebSocket, outbox: Outbox) -> None:
        await websocket.accept()
        tasks = [asyncio.ensure_future(websocket.receive_text()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks.pop(0).cancel()
        outbox.send_nowait("ready")
        for done in await asyncio.gather(*tasks):
            got.put(done)
        await websocket.close()

    with Stage(receive_by_three).open() as server, Raw(server) as client:
        assert client.frame() == Frame(Opcode.TEXT, b"ready")
        client.send(Opcode.TEXT, b"1")
        client.send(Opcode.TEXT, b"2")
        assert {got.get(timeout=DEADLINE) for _ in range(2)} == {"1", "2"}


# what uvicorn does by itself


class PingCounter(FanoutProtocol):
    """Counts the pings that have come."""

    pings = 0

    def handle_ping(self) -> None:
        """Count one."""
        super().handle_ping()
        self.pings += 1


def test_pings_of_a_peer_that_does_not_read_are_not_hoarded() -> None:
    """It gets an answer to the last one, which RFC 6455 section 5.5.3 allows, instead of a buffer without end."""
    stage = Stage(fill, {"overflow": Overflow.DROP_OLDEST})
    with stage.open(ws=PingCounter) as server, Silent(server, "sid", greeting="") as sid:
        protocol = stage.protocols.get(timeout=DEADLINE)
        assert isinstance(protocol, PingCounter)
        until(lambda: not protocol.writable.is_set())
        ping = Frame(Opcode.PING, b"x" * 100).serialize(mask=True)
        before = protocol.transport.get_write_buffer_size()
        for _ in range(20):
            sid.socket.sendall(ping * 1_000)
        sid.send(Opcode.PING, b"x" * 99 + b"!")
        until(lambda: protocol.pings == 20_001)
        assert protocol.transport.get_write_buffer_size() <= before
        received = b""
        while Frame(Opcode.PONG, b"x" * 99 + b"!").serialize(mask=False) not in received:
            received += sid.socket.recv(65_536)


def test_a_dead_peer_is_found_by_pings_although_its_buffer_is_full() -> None:
    """The handler hears 1011 and the socket is gone; uvicorn alone would close, and wait for the buffer."""
    stage = Stage(fill, {"size": 1 << 30, "messages": 1_000})
    with stage.open(ws_ping_interval=0.1, ws_ping_timeout=0.2) as server, Silent(server, "sid", greeting=""):
        assert stage.left.get(timeout=DEADLINE) == CloseCode.INTERNAL_ERROR
        until(lambda: server.connections == 0)


def test_a_client_is_not_taken_for_dead_because_its_handler_is_busy() -> None:
    """While the handler has not asked for a message that came, the pongs behind it lie unread: no fault of the peer."""

    async def busy(websocket: WebSocket, outbox: Outbox) -> None:
        protocol = websocket.scope["extensions"][EXTENSION]["connection"]
        await websocket.accept()
        while not protocol.read_paused or protocol.pending_ping_payload is None:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.01)
        for _ in range(5):
            protocol.keepalive_timeout()  # as its timer calls it, without the seconds before that
        await websocket.send_text(await websocket.receive_text())
        await websocket.receive_text()

    stage = Stage(busy)
    with (
        stage.open(ws_ping_interval=0.05, ws_ping_timeout=DEADLINE) as server,
        connect(server.url("/ws"), proxy=None, compression=None) as client,
    ):
        client.send("are you there?")
        client.send("still?")
        assert client.recv(timeout=DEADLINE) == "are you there?"


def test_a_peer_that_does_not_read_its_close_frame_does_not_stop_the_server() -> None:
    """Left alone, uvicorn fails on a second close frame, in the middle of telling everybody that it stops."""
    stage = Stage(fill, {"size": 1 << 30, "messages": 1_000})
    with stage.open() as server, ExitStack() as clients:
        for _ in range(3):
            sid = clients.enter_context(Silent(server, "sid", greeting=""))
            sid.send(Opcode.CLOSE, b"\x03\xe8")
            assert stage.left.get(timeout=DEADLINE) == CloseCode.NORMAL
        stage.body = stay
        readers = [clients.enter_context(connect(server.url("/ws"), proxy=None)) for _ in range(5)]
        server.stop()
        for reader in readers:
            with pytest.raises(ConnectionClosed, match="1012"):
                reader.recv(timeout=DEADLINE)


def test_queued_frames_go_before_the_servers_close_frame() -> None:
    """What was put in the same turn in which the server stops is sent, then 1012."""
    stage = Stage(stay)
    with stage.open() as server, Raw(server) as client:
        protocol, outbox = stage.protocols.get(timeout=DEADLINE), stage.outboxes.get(timeout=DEADLINE)
        until(lambda: protocol.handshake_complete)
        on_loop(protocol, lambda: (outbox.send_nowait("last"), protocol.shutdown()))  # type: ignore[func-returns-value]
        assert [frame.data for frame in client.rest()] == [b"last", Close(1012, "").serialize()]


def test_a_server_that_stops_takes_the_socket_of_a_peer_that_does_not_read() -> None:
    """Also while its handler hangs: uvicorn would wait for both, by default forever."""

    async def hang(websocket: WebSocket, outbox: Outbox) -> None:
        with suppress(WebSocketDisconnect):
            await fill(websocket, outbox)
        await asyncio.Event().wait()

    stage = Stage(hang, {"overflow": Overflow.DROP_OLDEST, "seconds": 0.5})
    with stage.open() as server, Silent(server, "sid", greeting=""):
        protocol = stage.protocols.get(timeout=DEADLINE)
        until(lambda: not protocol.writable.is_set())
        on_loop(protocol, protocol.shutdown)
        until(lambda: server.connections == 0)


def test_a_peer_that_reads_again_has_its_whole_deadline_again() -> None:
    """The clock of a peer that stalled stops when it has caught up."""
    stage = Stage(fill, {"overflow": Overflow.DROP_OLDEST, "seconds": DEADLINE})
    with stage.open() as server, Silent(server, "sid", greeting="") as sid:
        protocol, outbox = stage.protocols.get(timeout=DEADLINE), stage.outboxes.get(timeout=DEADLINE)
        until(lambda: (now := outbox.statistics()).sent + now.dropped + now.messages == FILLED)
        assert outbox.statistics().dropped > 0
        assert protocol.is_stalled
        on_loop(protocol, lambda: outbox.send_nowait("the end"))
        received = b""
        while b"the end" not in received:
            received += sid.socket.recv(65_536)
        until(lambda: not protocol.is_stalled)
        assert protocol.writable.is_set()


def test_nothing_of_a_connection_is_left() -> None:
    """The end of a connection lets go of its outbox, its timers and its scope, without a cycle to collect."""
    stage = Stage(stay)
    with stage.open() as server, Raw(server):
        protocol = stage.protocols.get(timeout=DEADLINE)
    assert protocol.source is None
    assert not protocol.is_stalled
    assert protocol.closed.done()
