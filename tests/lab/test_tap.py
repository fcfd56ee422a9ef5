"""A tap passes every byte on, and does to a connection what networks do."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import struct
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
import trustme
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from lab.frame import TapBytes
from lab.tap import Tap, ports_tapped, running
from websockets.asyncio.client import connect as connect_async
from websockets.sync.client import connect

from server import serve
from server.cell import Cell

HOST = "127.0.0.1"


class _Ends:
    """A client's socket, the server's socket for it, and the tap between them."""

    def __init__(self, tap: Tap, listener: socket.socket) -> None:
        self.tap = tap
        self.client = socket.create_connection((HOST, tap.port), timeout=5)
        self.server, _ = listener.accept()
        self.server.settimeout(5)

    def close(self) -> None:
        self.client.close()
        self.server.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server's socket that waits for connections."""
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(5)
        yield listener


@pytest.fixture
def ends(listener: socket.socket) -> Iterator[_Ends]:
    """Both ends of one connection through a tap."""
    with Tap(listener.getsockname()) as tap:
        ends = _Ends(tap, listener)
        yield ends
        ends.close()


def _echo() -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    return app


def _exactly(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := end.recv(min(size - len(data), 1 << 16))):
        data += more
    return data


def _nothing_arrives(end: socket.socket) -> bool:
    """Whether neither a byte nor an end is there to read."""
    end.setblocking(False)
    try:
        return end.recv(1) is None
    except BlockingIOError:
        return True
    finally:
        end.settimeout(5)


async def _echoed(url: str, trust: ssl.SSLContext, text: str) -> str | bytes:
    # the synchronous client shares one TLS session between two threads, which OpenSSL forbids: it hangs now and then
    async with connect_async(url, ssl=trust) as client:
        await client.send(text)
        return await client.recv()


def _send_often(end: socket.socket, data: bytes, count: int) -> None:
    for _ in range(count):
        end.sendall(data)


def _send_until(end: socket.socket, stop: threading.Event) -> None:
    with suppress(OSError):
        while not stop.is_set():
            end.sendall(b"x" * 65_536)


def _read_to_the_end(end: socket.socket) -> None:
    with suppress(OSError):
        while end.recv(1 << 20):
            pass


def _nothing_accepted(listener: socket.socket) -> bool:
    listener.setblocking(False)
    try:
        return listener.accept() is None
    except BlockingIOError:
        return True
    finally:
        listener.settimeout(5)


def _fill(end: socket.socket) -> int:
    """Send until no buffer takes more, and return how much that was."""
    end.settimeout(0.3)
    sent = 0
    with suppress(TimeoutError):
        while sent < 100_000_000:
            sent += end.send(b"x" * 65_536)
    end.settimeout(5)
    return sent


# passing


def test_tap_passes_bytes_both_ways_and_records_them(ends: _Ends) -> None:
    """What either end sends arrives unchanged, and is counted and kept in order."""
    ends.client.sendall(b"\x00ping")
    assert _exactly(ends.server, 5) == b"\x00ping"
    ends.server.sendall(b"pong\xff")
    assert _exactly(ends.client, 5) == b"pong\xff"
    [conversation] = ends.tap.conversations
    assert [(event.direction, event.data) for event in conversation.events] == [  # type: ignore[union-attr]
        ("client", b"\x00ping"),
        ("server", b"pong\xff"),
    ]
    assert (conversation.bytes_up, conversation.bytes_down) == (5, 5)
    assert (ends.tap.bytes_up, ends.tap.up.bytes, ends.tap.down.bytes) == (5, 5, 5)


def test_question_is_recorded_before_its_answer_arrives() -> None:
    """Who has received an answer finds the question and the answer recorded, without waiting."""
    with serve(_echo()) as server, Tap(server) as tap, connect(tap.url("/ws")) as client:
        for count in range(1, 51):
            client.send("hi")
            client.recv()
            assert len(tap.frames) == 2 * count


def test_settle_reads_what_was_sent_before_it(ends: _Ends) -> None:
    """After settle() everything that a client has sent is recorded, that of a new connection as well."""
    ends.client.sendall(b"x" * 100_000)
    with socket.create_connection((HOST, ends.tap.port), timeout=5) as other:
        other.sendall(b"hi")
        ends.tap.cut()
        ends.tap.settle()
        assert [one.bytes_up for one in ends.tap.conversations] == [100_000, 2]


def test_half_closed_connection_still_carries_the_answer(ends: _Ends) -> None:
    """A client that has finished sending gets what the server sends afterwards."""
    ends.client.sendall(b"question")
    ends.client.shutdown(socket.SHUT_WR)
    assert _exactly(ends.server, 100) == b"question"
    ends.server.sendall(b"answer")
    ends.server.close()
    assert _exactly(ends.client, 100) == b"answer"
    ends.client.close()
    ends.tap.wait(lambda tap: tap.conversations[0].outcome == "closed")


def test_reset_of_one_end_reaches_the_other(ends: _Ends) -> None:
    """A client that crashes is a crashed client to the server as well, not one that said goodbye."""
    ends.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ends.client.close()
    with pytest.raises(ConnectionResetError):
        ends.server.recv(1)
    ends.tap.wait(lambda tap: tap.conversations[0].outcome == "reset")


def test_slow_reader_slows_the_sender_down(ends: _Ends) -> None:
    """The tap adds no buffer: a sender whose receiver does not read is stopped after a few megabytes."""
    sent = _fill(ends.server)
    assert 0 < sent < 30_000_000
    assert _exactly(ends.client, sent) == b"x" * sent


def test_twenty_connections_at_once_stay_apart() -> None:
    """Each of 20 parallel connections gets its own answers, and a conversation of its own."""
    with serve(_echo()) as server, Tap(server) as tap, ExitStack() as stack:
        clients = [stack.enter_context(connect(tap.url("/ws"))) for _ in range(20)]
        for index, client in enumerate(clients):
            client.send(f"I am {index}")
        assert [client.recv(timeout=5) for client in clients] == [f"I am {index}" for index in range(20)]
        said = sorted(conversation.frames[0].text or "" for conversation in tap.conversations)
        assert said == sorted(f"I am {index}" for index in range(20))


def test_target_that_refuses_resets_the_client(listener: socket.socket) -> None:
    """Nobody listens behind the tap: the client is told at once, and the outcome says why."""
    port = listener.getsockname()[1]
    listener.close()
    with Tap(port) as tap:
        with pytest.raises(ConnectionResetError), socket.create_connection((HOST, tap.port), timeout=5) as client:
            client.recv(1)
        tap.wait(lambda tap: tap.conversations[0].outcome == "refused")


def test_http_with_keep_alive_is_split_into_exchanges() -> None:
    """Two requests on one connection, one of them with a body, and their responses."""
    app = FastAPI()

    @app.post("/shout")
    def shout(text: dict[str, str]) -> dict[str, str]:
        return {"text": text["text"].upper()}

    import httpx

    with serve(app) as server, Tap(server) as tap, httpx.Client() as client:
        assert client.post(tap.http("/shout"), json={"text": "hi"}).json() == {"text": "HI"}
        assert client.get(tap.http("/nowhere")).status_code == 404
        [conversation] = tap.conversations
        first, second = conversation.exchanges
        assert (conversation.kind, first.request.method, first.request.path) == ("http", "POST", "/shout")
        assert (first.request.body, first.response.body) == (b'{"text":"hi"}', b'{"text":"HI"}')  # type: ignore[union-attr]
        assert (second.request.path, second.response.status) == ("/nowhere", 404)  # type: ignore[union-attr]
        assert second.request.headers["user-agent"].startswith("python-httpx")


def test_server_sent_events_are_seen_while_they_come() -> None:
    """The body of a stream grows with each event, long before the response ends."""
    app, go = FastAPI(), threading.Event()

    @app.get("/events")
    def events() -> StreamingResponse:
        def stream() -> Iterator[str]:
            yield "data: 1\n\n"
            go.wait(5)
            yield "data: 2\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    import httpx

    with serve(app) as server, Tap(server) as tap:
        try:
            with httpx.stream("GET", tap.http("/events")) as response:
                lines = response.iter_lines()
                assert next(lines) == "data: 1"
                assert tap.conversations[0].response.body == b"data: 1\n\n"  # type: ignore[union-attr]
                go.set()
                assert list(lines) == ["", "data: 2", ""]
        finally:
            go.set()
        assert tap.conversations[0].response.body == b"data: 1\n\ndata: 2\n\n"  # type: ignore[union-attr]


def test_tls_passes_through_unread(tmp_path: Path) -> None:
    """The client verifies the server's own certificate; the tap counts bytes and sees no word of it."""
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST, "localhost")
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    certificate.private_key_pem.write_to_path(key)
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with serve(_echo(), ssl_keyfile=str(key), ssl_certfile=str(chain)) as server, Tap(server) as tap:
        assert tap.url("/ws").startswith("wss://")
        assert tap.http().startswith("https://")
        assert asyncio.run(_echoed(tap.url("/ws"), trust, "the secret word")) == "the secret word"
        tap.settle()
        [conversation] = tap.conversations
        assert (conversation.kind, conversation.frames, conversation.requests) == ("tls", [], [])
        seen = b"".join(event.data for event in conversation.events if isinstance(event, TapBytes))
        assert b"the secret word" not in seen
        assert b"websocket" not in seen.lower()
        assert len(seen) == conversation.bytes_up + conversation.bytes_down > 1_000


def test_flood_in_one_connection_leaves_the_tap_to_the_others(listener: socket.socket) -> None:
    """While one connection carries as much as it can, another one is served and the tap can be told to act."""
    with Tap(listener.getsockname(), limit=1_000) as tap:
        flood, other = _Ends(tap, listener), _Ends(tap, listener)
        stop = threading.Event()
        threads = [
            threading.Thread(target=_send_until, args=(flood.server, stop), daemon=True),
            threading.Thread(target=_read_to_the_end, args=(flood.client,), daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            tap.wait(lambda tap: tap.bytes_down > 1_000_000)
            for _ in range(20):
                other.client.sendall(b"ping")
                assert _exactly(other.server, 4) == b"ping"
            tap.stall("server")
            before = tap.bytes_down
            tap.settle()
            assert tap.bytes_down == before
            tap.reset()
        finally:
            stop.set()
            flood.close()
            other.close()
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive()


# memory


def test_recording_stops_at_the_limit_and_passing_goes_on() -> None:
    """Beyond the limit every byte still passes and is counted, and the conversation says that it is cut short."""
    with serve(_echo()) as server, Tap(server, limit=100_000) as tap:
        with connect(tap.url("/ws"), compression=None) as client:
            for size in (10, 60_000, 50_000, 70_000):
                client.send("x" * size)
                assert client.recv() == "x" * size
        tap.settle()
        [conversation] = tap.conversations
        assert conversation.truncated
        assert conversation.outcome == "closed"
        assert conversation.bytes_up > 180_000 < conversation.bytes_down
        assert "recording stopped: the tap's limit of 100,000 bytes is reached" in conversation.transcript()


@pytest.mark.parametrize(("size", "count"), [(200_000, 60), (0, 30_000)])
def test_memory_of_a_tap_is_bounded(size: int, count: int, listener: socket.socket) -> None:
    """Neither many bytes nor many empty frames make a tap take much more than its limit."""
    response = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    request = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    frame = b"\x82\x7f" + struct.pack("!Q", size) + bytes(size) if size else b"\x89\x00"
    with Tap(listener.getsockname(), limit=1_000_000) as tap:
        ends = _Ends(tap, listener)
        ends.client.sendall(request)
        ends.server.recv(65_536)
        ends.server.sendall(response)
        _exactly(ends.client, len(response))
        gc.collect()
        tracemalloc.start()
        try:
            sender = threading.Thread(target=_send_often, args=(ends.server, frame, count), daemon=True)
            sender.start()
            left = len(frame) * count
            while left > 0:
                left -= len(ends.client.recv(1 << 20))
            sender.join(5)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert tap.conversations[0].truncated
        assert tap.bytes_down == len(response) + len(frame) * count
        assert held < 4_000_000
        ends.close()


# faults, each seen from both ends


def test_cut_cable_swallows_bytes_and_ends_both_ways(ends: _Ends) -> None:
    """After cut() neither end gets a byte or hears that the other one closed; both may go on sending."""
    ends.tap.cut()
    ends.client.sendall(b"up")
    ends.server.sendall(b"down")
    ends.client.shutdown(socket.SHUT_WR)
    ends.tap.wait(lambda tap: (tap.bytes_up, tap.bytes_down) == (2, 4))
    ends.tap.settle()
    assert _nothing_arrives(ends.server)
    assert _nothing_arrives(ends.client)
    assert not ends.tap.conversations[0].ended


def test_mended_cable_brings_late_what_was_sent_meanwhile(ends: _Ends) -> None:
    """TCP sends again what was lost, so mend() delivers everything, in order, and then the end."""
    ends.client.sendall(b"1")
    assert _exactly(ends.server, 1) == b"1"
    ends.tap.cut()
    ends.client.sendall(b"2")
    ends.client.close()
    ends.tap.wait(lambda tap: tap.bytes_up == 2)
    ends.tap.mend()
    assert _exactly(ends.server, 10) == b"2"
    ends.server.close()
    ends.tap.wait(lambda tap: tap.conversations[0].outcome == "closed")


def test_cut_of_one_direction_leaves_the_other_whole(ends: _Ends) -> None:
    """What the server sends is lost while what the client sends still arrives."""
    ends.tap.cut("server")
    ends.server.sendall(b"lost")
    ends.client.sendall(b"heard")
    assert _exactly(ends.server, 5) == b"heard"
    ends.tap.wait(lambda tap: tap.bytes_down == 4)
    assert _nothing_arrives(ends.client)


def test_reset_does_not_cross_a_cut_cable(ends: _Ends) -> None:
    """A client that crashes behind a cut cable stays connected, as far as the server can tell."""
    ends.tap.cut()
    ends.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ends.client.close()
    ends.tap.settle()
    assert _nothing_arrives(ends.server)
    ends.tap.mend()
    with pytest.raises(ConnectionResetError):
        ends.server.recv(1)


def test_cut_cable_holds_back_a_bounded_number_of_bytes(ends: _Ends) -> None:
    """A sender into a cut cable is stopped by its own buffer, and gets rid of everything after mend()."""
    ends.tap.cut()
    sent = _fill(ends.client)
    assert 0 < sent < 30_000_000
    ends.tap.mend()
    assert _exactly(ends.server, sent) == b"x" * sent


def test_new_connection_over_a_cut_cable_gets_no_answer(listener: socket.socket) -> None:
    """The server does not hear of it before mend(); then it is served."""
    with Tap(listener.getsockname()) as tap:
        tap.cut()
        client = socket.create_connection((HOST, tap.port), timeout=5)
        client.sendall(b"anybody there?")
        tap.wait(lambda tap: tap.bytes_up == 14)
        assert _nothing_arrives(client)
        assert _nothing_accepted(listener)
        tap.mend()
        server, _ = listener.accept()
        assert _exactly(server, 14) == b"anybody there?"
        server.close()
        client.close()


def test_client_that_gives_up_on_a_cut_cable_never_reaches_the_server(listener: socket.socket) -> None:
    """It left before the cable was mended, so the server never hears of it."""
    with Tap(listener.getsockname()) as tap:
        tap.cut()
        client = socket.create_connection((HOST, tap.port), timeout=5)
        client.close()
        tap.wait(lambda tap: tap.conversations[0].outcome == "gave up")
        tap.mend()
        assert _nothing_accepted(listener)


def test_stalled_direction_blocks_its_sender_and_not_the_other(ends: _Ends) -> None:
    """The server's send blocks and the client gets nothing; what the client sends still arrives."""
    ends.tap.stall("server")
    sent = _fill(ends.server)
    assert 0 < sent < 30_000_000
    assert _nothing_arrives(ends.client)
    ends.client.sendall(b"still here")
    assert _exactly(ends.server, 10) == b"still here"
    ends.tap.mend()
    assert _exactly(ends.client, sent) == b"x" * sent


def test_stall_reads_no_byte_that_is_sent_after_it(ends: _Ends) -> None:
    """From the moment stall() returns, nothing more is read, not even once."""
    ends.tap.stall("client")
    ends.client.sendall(b"late")
    ends.tap.settle()
    assert ends.tap.bytes_up == 0
    ends.tap.mend("client")
    assert _exactly(ends.server, 4) == b"late"


def test_slow_direction_takes_its_time(ends: _Ends) -> None:
    """20,000 bytes at 50,000 bytes a second take 0.4 s at least; the other direction takes none."""
    ends.tap.slow(50_000, "server")
    start = time.monotonic()
    ends.server.sendall(b"x" * 20_000)
    ends.client.sendall(b"quick")
    assert _exactly(ends.server, 5) == b"quick"
    assert _exactly(ends.client, 20_000) == b"x" * 20_000
    # the pause behind the last of eight pieces is not waited for
    assert time.monotonic() - start > 0.3


def test_mend_makes_a_slow_direction_quick_at_once(ends: _Ends) -> None:
    """What would have taken a day arrives as soon as the direction is mended."""
    ends.tap.slow(1)
    ends.server.sendall(b"x" * 80_000)
    assert _exactly(ends.client, 1) == b"x"
    ends.tap.mend()
    assert _exactly(ends.client, 79_999) == b"x" * 79_999


def test_reset_ends_both_sides_with_an_error(ends: _Ends) -> None:
    """After reset() each end gets "connection reset", and the tap goes on for the next connection."""
    ends.tap.reset()
    for end in (ends.client, ends.server):
        with pytest.raises(ConnectionResetError):
            end.recv(1)
    assert ends.tap.conversations[0].outcome == "reset"
    assert ends.tap.alive


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_reset_works_on_a_faulty_connection(ends: _Ends, fault: str) -> None:
    """A connection that is cut or stalled can be reset all the same."""
    getattr(ends.tap, fault)()
    ends.tap.reset()
    with pytest.raises(ConnectionResetError):
        ends.server.recv(1)


def test_fault_with_a_wrong_argument_says_what_is_right(ends: _Ends) -> None:
    """A misspelt direction and a rate of nothing are refused, not ignored."""
    with pytest.raises(ValueError, match="'client', 'server' or None for both, not 'down'"):
        ends.tap.cut("down")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="over 0, not 0; use stall"):
        ends.tap.slow(0)


# its life


def test_stop_ends_open_connections_and_leaves_nothing(listener: socket.socket) -> None:
    """Within a second both ends are closed, the thread is gone and so is every socket; twice is harmless."""
    gc.collect()
    process = psutil.Process()
    before = process.num_fds()
    tap = Tap(listener.getsockname()).start()
    assert f"tap-{tap.port}" in [thread.name for thread in threading.enumerate()]
    ends = [_Ends(tap, listener) for _ in range(5)]
    tap.stall()
    start = time.monotonic()
    tap.stop()
    assert time.monotonic() - start < 1
    tap.stop()
    for one in ends:
        assert one.client.recv(1) == b""
        assert one.server.recv(1) == b""
        one.close()
    assert {conversation.outcome for conversation in tap.conversations} == {"stopped"}
    assert not tap.alive
    assert f"tap-{tap.port}" not in [thread.name for thread in threading.enumerate()]
    assert process.num_fds() <= before


def test_stop_waits_for_an_end_that_has_begun(listener: socket.socket) -> None:
    """Both ends have closed when the tap is stopped, so the connection counts as closed, not as cut off."""
    for _ in range(20):
        with Tap(listener.getsockname()) as tap:
            ends = _Ends(tap, listener)
            ends.close()
        assert tap.conversations[0].outcome == "closed"


def test_registry_lists_running_taps_and_every_port(listener: socket.socket) -> None:
    """leftovers() finds the taps that run, and knows the ports of those that have."""
    before = running()
    with Tap(listener.getsockname()) as tap:
        assert running() == (*before, tap)
    assert running() == before
    assert tap.port in ports_tapped


def test_second_run_of_a_cell_stops_the_tap_of_the_first(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell that makes a tap can be run again without leaving one behind."""
    monkeypatch.setattr("server.cell.this_cell", lambda: Cell("a", "first"))
    first = Tap(listener.getsockname()).start()
    same_run = Tap(listener.getsockname()).start()
    assert first.alive
    monkeypatch.setattr("server.cell.this_cell", lambda: Cell("a", "second"))
    with Tap(listener.getsockname()):
        assert not first.alive
        assert not same_run.alive


def test_tap_says_when_it_does_not_run(listener: socket.socket) -> None:
    """Before start() and after stop() a tap names the remedy instead of hanging."""
    tap = Tap(listener.getsockname())
    with pytest.raises(RuntimeError, match="does not listen yet; use `with Tap"):
        tap.url()
    tap.start().stop()
    with pytest.raises(RuntimeError, match="the tap is stopped; make a new one"):
        tap.cut()


@pytest.mark.parametrize(
    ("target", "url", "http"),
    [
        (4321, "ws", "http"),
        ("127.0.0.1:4321", "ws", "http"),
        ("localhost:4321", "ws", "http"),
        (("127.0.0.1", 4321), "ws", "http"),
        ("ws://127.0.0.1:4321/ws?a=b", "ws", "http"),
        ("https://127.0.0.1:4321", "wss", "https"),
        ("wss://127.0.0.1", "wss", "https"),
    ],
)
def test_address_keeps_the_scheme_of_the_target(target: int | str | tuple[str, int], url: str, http: str) -> None:
    """A port, an address or a URL names the target; only the port of the address changes."""
    with Tap(target) as tap:
        assert tap.url("/a?b=c") == f"{url}://127.0.0.1:{tap.port}/a?b=c"
        assert tap.http("a") == f"{http}://127.0.0.1:{tap.port}/a"


@pytest.mark.parametrize(
    "target", ["", "nonsense", "127.0.0.1", "ws://h:x", None, True, 70_000, ("127.0.0.1",), object()]
)
def test_target_that_is_none_is_refused_with_the_remedy(target: object) -> None:
    """Whatever is no target is named in the error, together with what is one."""
    with pytest.raises(ValueError, match=r"cannot tap .*; pass"):
        Tap(target)  # type: ignore[arg-type]


# waiting


def test_wait_returns_what_the_predicate_returned(ends: _Ends) -> None:
    """It wakes up when something crosses the tap, and hands back what was found."""
    threading.Timer(0.05, lambda: ends.client.sendall(b"news")).start()
    assert ends.tap.wait(lambda tap: tap.bytes_up and f"{tap.bytes_up} bytes") == "4 bytes"


def test_wait_that_is_in_vain_says_what_the_tap_saw(ends: _Ends) -> None:
    """The error names the time and what was seen instead."""
    with pytest.raises(TimeoutError, match=r"not true within 0.1 s; the tap saw 1 connection, 0 requests, 0 frames"):
        ends.tap.wait(lambda tap: tap.frames, timeout=0.1)


def test_predicate_may_ask_for_what_is_not_there_yet(listener: socket.socket) -> None:
    """The first conversation can be waited for by its index."""
    with Tap(listener.getsockname()) as tap:
        threading.Timer(0.05, lambda: socket.create_connection((HOST, tap.port)).close()).start()
        assert tap.wait(lambda tap: tap.conversations[0]).number == 1
        listener.accept()[0].close()


def test_predicate_may_use_the_tap(ends: _Ends) -> None:
    """A predicate that asks the tap's own thread for something does not block it."""
    ends.client.sendall(b"x")
    assert ends.tap.wait(lambda tap: len(tap.conversations[0].transcript()) == 2, timeout=2)


def test_tap_works_with_nest_asyncio() -> None:
    """nest-asyncio patches the loop of the whole process; the tap's own goes on."""
    script = """
        import asyncio, nest_asyncio
        nest_asyncio.apply()
        from fastapi import FastAPI, WebSocket
        from lab.tap import Tap
        from server import serve
        from websockets.asyncio.client import connect
        app = FastAPI()

        @app.websocket("/ws")
        async def handler(websocket: WebSocket):
            await websocket.accept()
            await websocket.send_text("hello")
            await websocket.close()

        async def main():
            with serve(app) as server, Tap(server) as tap:
                for _ in range(3):
                    async with connect(tap.url("/ws")) as client:
                        assert await client.recv() == "hello"
                tap.reset()
                print(len(tap.frames))

        asyncio.run(main())
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("9\n", "")
