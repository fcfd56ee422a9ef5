"""A tap passes every byte on, records it, and keeps within its memory."""

from __future__ import annotations

import gc
import socket
import ssl
import struct
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from lab.tap.frames import TapBytes
from lab.tap.tap import Tap
from websockets.sync.client import connect

from server import serve
from tests.lab.tap.ends import HOST, Ends, echo, echoed, exactly, fill, read_to_the_end, send_often, send_until


def test_tap_passes_bytes_both_ways_and_records_them(ends: Ends) -> None:
    """What either end sends arrives unchanged, and is counted and kept in order."""
    ends.client.sendall(b"\x00ping")
    assert exactly(ends.server, 5) == b"\x00ping"
    ends.server.sendall(b"pong\xff")
    assert exactly(ends.client, 5) == b"pong\xff"
    [conversation] = ends.tap.conversations
    assert [(event.direction, event.data) for event in conversation.events] == [  # type: ignore[union-attr]
        ("client", b"\x00ping"),
        ("server", b"pong\xff"),
    ]
    assert (conversation.bytes_up, conversation.bytes_down) == (5, 5)
    assert (ends.tap.bytes_up, ends.tap.up.bytes, ends.tap.down.bytes) == (5, 5, 5)


def test_question_is_recorded_before_its_answer_arrives() -> None:
    """Who has received an answer finds the question and the answer recorded, without waiting."""
    with serve(echo()) as server, Tap(server) as tap, connect(tap.url("/ws")) as client:
        for count in range(1, 51):
            client.send("hi")
            client.recv()
            assert len(tap.frames) == 2 * count


def test_settle_reads_what_was_sent_before_it(ends: Ends) -> None:
    """After settle() everything that a client has sent is recorded, that of a new connection as well."""
    ends.client.sendall(b"x" * 100_000)
    with socket.create_connection((HOST, ends.tap.port), timeout=30) as other:
        other.sendall(b"hi")
        ends.tap.cut()
        ends.tap.settle()
        assert [one.bytes_up for one in ends.tap.conversations] == [100_000, 2]


def test_half_closed_connection_still_carries_the_answer(ends: Ends) -> None:
    """A client that has finished sending gets what the server sends afterwards."""
    ends.client.sendall(b"question")
    ends.client.shutdown(socket.SHUT_WR)
    assert exactly(ends.server, 100) == b"question"
    ends.server.sendall(b"answer")
    ends.server.close()
    assert exactly(ends.client, 100) == b"answer"
    ends.client.close()
    ends.tap.wait(lambda tap: tap.conversations[0].outcome == "closed")


def test_reset_of_one_end_reaches_the_other(ends: Ends) -> None:
    """A client that crashes is a crashed client to the server as well, not one that said goodbye."""
    ends.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ends.client.close()
    with pytest.raises(ConnectionResetError):
        ends.server.recv(1)
    ends.tap.wait(lambda tap: tap.conversations[0].outcome == "reset")


def test_slow_reader_slows_the_sender_down(ends: Ends) -> None:
    """The tap adds no buffer: a sender whose receiver does not read is stopped after a few megabytes."""
    sent = fill(ends.server)
    assert 0 < sent < 30_000_000
    assert exactly(ends.client, sent) == b"x" * sent


def test_twenty_connections_at_once_stay_apart() -> None:
    """Each of 20 parallel connections gets its own answers, and a conversation of its own."""
    with serve(echo()) as server, Tap(server) as tap, ExitStack() as stack:
        clients = [stack.enter_context(connect(tap.url("/ws"))) for _ in range(20)]
        for index, client in enumerate(clients):
            client.send(f"I am {index}")
        assert [client.recv(timeout=30) for client in clients] == [f"I am {index}" for index in range(20)]
        said = sorted(conversation.frames[0].text or "" for conversation in tap.conversations)
        assert said == sorted(f"I am {index}" for index in range(20))


def test_target_that_refuses_resets_the_client(listener: socket.socket) -> None:
    """No server listens behind the tap: the client is refused at once, and the outcome says why."""
    port = listener.getsockname()[1]
    listener.close()
    with Tap(port) as tap:
        with pytest.raises(ConnectionResetError), socket.create_connection((HOST, tap.port), timeout=30) as client:
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
            go.wait(30)
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


@pytest.mark.anyio
async def test_tls_passes_through_unread(tmp_path: Path) -> None:
    """The client verifies the server's own certificate; the tap counts bytes and sees no word of it."""
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST, "localhost")
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    certificate.private_key_pem.write_to_path(key)
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with serve(echo(), ssl_keyfile=str(key), ssl_certfile=str(chain)) as server, Tap(server) as tap:
        assert tap.url("/ws").startswith("wss://")
        assert tap.http().startswith("https://")
        assert await echoed(tap.url("/ws"), trust, "the secret word") == "the secret word"
        tap.settle()
        [conversation] = tap.conversations
        assert (conversation.kind, conversation.frames, conversation.requests) == ("tls", [], [])
        seen = b"".join(event.data for event in conversation.events if isinstance(event, TapBytes))
        assert b"the secret word" not in seen
        assert b"websocket" not in seen.lower()
        assert len(seen) == conversation.bytes_up + conversation.bytes_down > 1_000


def test_flood_in_one_connection_leaves_the_tap_to_the_others(listener: socket.socket) -> None:
    """While one connection carries as much as it can, another one is served, and the tap still obeys."""
    with Tap(listener.getsockname(), limit=1_000) as tap:
        flood, other = Ends(tap, listener), Ends(tap, listener)
        stop = threading.Event()
        threads = [
            threading.Thread(target=send_until, args=(flood.server, stop), daemon=True),
            threading.Thread(target=read_to_the_end, args=(flood.client,), daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            tap.wait(lambda tap: tap.bytes_down > 1_000_000)
            for _ in range(20):
                other.client.sendall(b"ping")
                assert exactly(other.server, 4) == b"ping"
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
            thread.join(30)
            assert not thread.is_alive()


# memory


def test_recording_stops_at_the_limit_and_passing_goes_on() -> None:
    """Beyond the limit every byte still passes and is counted, and the conversation says that it is cut short."""
    with serve(echo()) as server, Tap(server, limit=100_000) as tap:
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
        ends = Ends(tap, listener)
        ends.client.sendall(request)
        ends.server.recv(65_536)
        ends.server.sendall(response)
        exactly(ends.client, len(response))
        gc.collect()
        tracemalloc.start()
        try:
            sender = threading.Thread(target=send_often, args=(ends.server, frame, count), daemon=True)
            sender.start()
            left = len(frame) * count
            while left > 0:
                left -= len(ends.client.recv(1 << 20))
            sender.join(30)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert tap.conversations[0].truncated
        assert tap.bytes_down == len(response) + len(frame) * count
        assert held < 4_000_000
        ends.close()
