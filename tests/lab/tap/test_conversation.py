"""What a tap makes of the bytes: HTTP messages, frames, compression, ends."""

from __future__ import annotations

import socket
import struct
import zlib
from collections.abc import Iterator

import pytest
from fastapi import FastAPI, HTTPException, WebSocket
from hypothesis import given, settings
from hypothesis import strategies as st
from lab.tap.conversation import Conversation
from lab.tap.frames import TapBytes, TapFrame
from lab.tap.tap import Tap
from lab.tap.traffic import RecordingLimit
from websockets.exceptions import InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Close, Frame, Opcode
from websockets.sync.client import connect

from server import BackgroundServer, serve
from server.testing.tapped_connection import ConnectionEvent, Direction

REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
COMPRESSED = RESPONSE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")


def _conversation(*said: tuple[Direction, bytes], limit: int = 1_000_000) -> Conversation:
    conversation = Conversation(1, RecordingLimit(limit), lambda timeout: None)
    for direction, data in said:
        conversation.record(direction, data)
    return conversation


def _websocket(*said: tuple[Direction, bytes], response: bytes = RESPONSE, limit: int = 1_000_000) -> Conversation:
    return _conversation(("client", REQUEST), ("server", response), *said, limit=limit)


def _frame(opcode: Opcode, data: bytes, *, mask: bool = False, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=mask)


@pytest.fixture
def server() -> Iterator[BackgroundServer]:
    """A server that greets, echoes texts and bytes, and refuses in every way."""
    app = FastAPI()

    @app.websocket("/ws")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        while (message := await websocket.receive())["type"] == "websocket.receive":
            kind = "text" if message.get("text") is not None else "bytes"
            await websocket.send({"type": "websocket.send", kind: message[kind]})

    @app.websocket("/closed")
    async def closed(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(4001, "log in again")

    @app.websocket("/forbidden")
    async def forbidden(websocket: WebSocket) -> None:
        await websocket.close(1008, "never seen")

    @app.websocket("/unauthorized")
    async def unauthorized(websocket: WebSocket) -> None:
        raise HTTPException(401, "no ticket")

    with serve(app) as server:
        yield server


# the handshake


def test_handshake_is_kept_raw_and_parsed(server: BackgroundServer) -> None:
    """Request and response are there as headers, and byte for byte as they were sent."""
    with Tap(server) as tap, connect(tap.url("/ws?room=1"), compression=None) as client:
        [conversation] = tap.conversations
        request, response = conversation.request, conversation.response
        assert request is not None
        assert response is not None
        assert client.request is not None
        assert (conversation.kind, request.method, request.path) == ("websocket", "GET", "/ws?room=1")
        assert request.headers["sec-websocket-KEY"] == client.request.headers["Sec-WebSocket-Key"]
        assert request.raw == client.request.serialize()
        assert (response.status, response.reason) == (101, "Switching Protocols")
        assert response.raw.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert response.raw.endswith(b"\r\n\r\n")
        assert client.response is not None
        assert response.headers == client.response.headers


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [("/forbidden", 403, b""), ("/unauthorized", 401, b'{"detail":"no ticket"}'), ("/nowhere", 403, b"")],
)
def test_refusal_is_an_http_response_with_its_body(
    server: BackgroundServer, path: str, status: int, body: bytes
) -> None:
    """A handshake that is refused leaves a response with status and body, and no frames."""
    with Tap(server) as tap:
        with pytest.raises(InvalidStatus):
            connect(tap.url(path)).__enter__()
        tap.wait(lambda tap: tap.conversations[0].ended)
        [conversation] = tap.conversations
        assert conversation.response is not None
        assert (conversation.kind, conversation.response.status, conversation.response.body) == ("http", status, body)
        assert conversation.frames == []


def test_frame_that_comes_with_the_response_is_a_frame() -> None:
    """A server may greet in the same packet as its 101, a client may send before the 101 has come."""
    early = _conversation(
        ("client", REQUEST + _frame(Opcode.TEXT, b"early", mask=True)),
        ("server", RESPONSE + _frame(Opcode.TEXT, b"hello")),
    )
    assert {(frame.direction, frame.text) for frame in early.frames} == {("client", "early"), ("server", "hello")}
    assert early.response is not None
    assert early.response.raw == RESPONSE


def test_request_that_is_no_http_is_kept_as_bytes(server: BackgroundServer) -> None:
    """What the parser refuses is shown as it is, together with the reason, and the answer is parsed all the same."""
    with Tap(server) as tap, socket.create_connection(("127.0.0.1", tap.port), timeout=30) as client:
        client.sendall(b"HELLO\r\n\r\n")
        assert client.recv(4_096).startswith(b"HTTP/1.1 400 Bad Request")
        [conversation] = tap.conversations
        first = conversation.events[0]
        assert isinstance(first, TapBytes)
        assert (first.data, first.note[:8]) == (b"HELLO\r\n\r\n", "not HTTP")
        assert [event.status for event in conversation.events if hasattr(event, "status")] == [400]


def test_several_requests_in_one_packet_are_told_apart() -> None:
    """Pipelined requests, one of them HEAD, and their responses in one packet are four messages."""
    get, head = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", b"HEAD /b HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    conversation = _conversation(("client", get + head), ("server", answer + b"ab" + answer))
    first, second = conversation.exchanges
    assert (first.request.path, first.response.body) == ("/a", b"ab")  # type: ignore[union-attr]
    assert (second.request.method, second.response.raw) == ("HEAD", answer)  # type: ignore[union-attr]


def test_provisional_response_gives_way_to_the_final_one() -> None:
    """A 100 Continue is an event, and not the response to the request."""
    conversation = _conversation(
        ("client", b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
        ("server", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ("client", b"hi"),
        ("server", b"HTTP/1.1 204 No Content\r\n\r\n"),
    )
    assert conversation.response is not None
    assert conversation.response.status == 204
    assert conversation.request is not None
    assert conversation.request.body == b"hi"


def test_upgrade_to_another_protocol_is_not_taken_for_frames() -> None:
    """Only a WebSocket's bytes are parsed as frames."""
    request = REQUEST.replace(b"websocket", b"chess")
    conversation = _conversation(
        ("client", request), ("server", RESPONSE.replace(b"websocket", b"chess") + b"e4"), ("client", b"e5")
    )
    assert conversation.frames == []
    assert [event.note for event in conversation.events if isinstance(event, TapBytes)] == ["upgraded to chess"] * 2


# frames


@pytest.mark.parametrize(("size", "header"), [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)], ids=str)
@pytest.mark.parametrize("mask", [False, True])
def test_frame_of_every_length_form_keeps_every_byte(size: int, header: int, mask: bool) -> None:
    """Header, masking key and payload of each length form are found, and the raw bytes are exact."""
    raw = _frame(Opcode.BINARY, b"x" * size, mask=mask)
    [frame] = _websocket(("client" if mask else "server", raw)).frames
    assert (frame.raw, frame.payload, frame.masked) == (raw, b"x" * size, mask)
    assert len(frame.header) == header + (4 if mask else 0)
    assert frame.mask == (raw[header : header + 4] if mask else b"")
    assert frame.text is None


def test_fragments_keep_their_kind_around_a_control_frame(server: BackgroundServer) -> None:
    """A message in three frames with a ping in between: each frame by itself, in the order of the wire."""
    with Tap(server) as tap, connect(tap.url("/ws"), compression=None) as client:
        client.recv()

        def pieces() -> Iterator[str]:
            yield "one "
            client.ping(b"beat").wait(30)
            yield "two"

        client.send(pieces())
        assert client.recv() == "one two"
        seen = [(frame.direction, frame.opcode.name, frame.fin, frame.payload) for frame in tap.frames[1:]]
        assert seen == [
            ("client", "TEXT", False, b"one "),
            ("client", "PING", True, b"beat"),
            ("server", "PONG", True, b"beat"),
            ("client", "CONT", False, b"two"),
            ("client", "CONT", True, b""),
            ("server", "TEXT", True, b"one two"),
        ]
        assert [frame.text for frame in tap.frames if frame.opcode is Opcode.CONT] == ["two", ""]


def test_close_frame_shows_code_and_reason(server: BackgroundServer) -> None:
    """The close code and the reason are those that were sent; a close without a code is 1005."""
    with Tap(server) as tap:
        with connect(tap.url("/closed")) as client, pytest.raises(Exception, match="4001"):
            client.recv()
        [conversation] = tap.conversations
        assert (conversation.close_code, conversation.close_reason) == (4001, "log in again")
        assert [(frame.direction, frame.code) for frame in conversation.frames] == [("server", 4001), ("client", 4001)]
    assert _websocket(("server", _frame(Opcode.CLOSE, b""))).close_code == 1005
    assert _websocket(("server", _frame(Opcode.CLOSE, b"x"))).frames[0].close is None
    assert _websocket().close_code is None


def test_frame_without_a_mask_is_recorded_as_such(server: BackgroundServer) -> None:
    """The tap shows the client's mistake, and the close frame that it is answered with."""
    with Tap(server) as tap, socket.create_connection(("127.0.0.1", tap.port), timeout=30) as client:
        client.sendall(REQUEST)
        # uvicorn leaves a frame unread that comes before its 101
        assert client.recv(4_096).startswith(b"HTTP/1.1 101")
        client.sendall(_frame(Opcode.TEXT, b"naked"))
        tap.wait(lambda tap: tap.conversations[0].close_code == 1002)
        first = next(frame for frame in tap.frames if frame.direction == "client")
        assert (first.masked, first.text) == (False, "naked")


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"\xc1\x02hi", "reserved bits must be 0"),
        (b"\x09\x00", "fragmented control frame"),
        (b"\x89\x7e\x00\x7e" + bytes(126), "control frame too long"),
    ],
)
def test_frame_against_the_rules_is_named_and_the_next_one_found(raw: bytes, error: str) -> None:
    """A frame that breaks a rule is kept with the library's words for it; reading goes on behind it."""
    broken, sound = _websocket(("server", raw + _frame(Opcode.TEXT, b"next"))).frames
    assert (broken.raw, broken.error) == (raw, error)
    assert (sound.text, sound.error) == ("next", "")


def test_bytes_behind_an_unknown_opcode_are_kept_unparsed() -> None:
    """Nobody can tell where such a frame ends, so everything behind it is shown as bytes."""
    conversation = _websocket(("client", b"\x83\x01a"), ("client", b"more"))
    [rest] = [event for event in conversation.events if isinstance(event, TapBytes)]
    assert (rest.data, rest.note) == (b"\x83\x01amore", "not a frame: invalid opcode")


def test_frame_that_is_not_complete_is_shown_as_bytes() -> None:
    """Half a frame is no frame, but it is not hidden either."""
    conversation = _websocket(("server", b"\x81\x05hel"))
    assert conversation.frames == []
    last = conversation.events[-1]
    assert isinstance(last, TapBytes)
    assert (last.data, last.note) == (b"\x81\x05hel", "not complete")
    conversation.record("server", b"lo")
    assert [frame.text for frame in conversation.frames] == ["hello"]
    assert isinstance(conversation.events[-1], TapFrame)


def test_frames_of_both_directions_keep_the_order_of_the_wire(server: BackgroundServer) -> None:
    """Question and answer alternate as they did when the tap saw them."""
    with Tap(server) as tap, connect(tap.url("/ws")) as client:
        client.recv()
        for index in range(20):
            client.send(str(index))
            client.recv()
        order = [(frame.direction, frame.text) for frame in tap.frames[1:]]
        assert order == [(side, str(index)) for index in range(20) for side in ("client", "server")]


# compression


@pytest.mark.parametrize("takeover", [True, False], ids=["context takeover", "no context takeover"])
def test_compressed_text_is_inflated_and_the_payload_is_not(server: BackgroundServer, takeover: bool) -> None:
    """RSV1 marks the message, the payload is what crossed the wire, and the text is what it says."""
    deflate = ClientPerMessageDeflateFactory(
        server_no_context_takeover=not takeover, client_no_context_takeover=not takeover
    )
    with Tap(server) as tap, connect(tap.url("/ws"), compression=None, extensions=[deflate]) as client:
        client.recv()
        for _ in range(3):
            client.send("the same again " * 10)
            client.recv()
        client.send(["in ", "pieces"])
        client.recv()
        frames = tap.frames[1:]
        assert [frame.text for frame in frames[:6]] == ["the same again " * 10] * 6
        assert all(frame.rsv1 and len(frame.payload) < 60 for frame in frames[:6])
        assert "".join(frame.text or "" for frame in frames[6:9]) == "in pieces"
        assert [frame.rsv1 for frame in frames[6:9]] == [True, False, False]


def test_message_too_large_to_inflate_is_not_inflated() -> None:
    """A small frame that would fill the memory is kept as it is, and so is what builds on it."""
    squeeze = zlib.compressobj(wbits=-15)

    def deflated(data: bytes) -> bytes:
        body = (squeeze.compress(data) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]
        return b"\xc1" + _frame(Opcode.TEXT, body)[1:]

    bomb = deflated(bytes(50_000_000))
    conversation = _websocket(
        ("server", bomb + deflated(b"after it") + _frame(Opcode.TEXT, b"plain")), response=COMPRESSED
    )
    first, second, plain = conversation.frames
    assert (first.text, "exceeds" in first.error or "over size limit" in first.error) == (None, True)
    assert (second.text, "could not be inflated" in second.error) == (None, True)
    assert (plain.text, plain.error) == ("plain", "")


# bytes, ends, limits


def test_traffic_adds_up_to_every_byte(server: BackgroundServer) -> None:
    """Payload and headers together are all the bytes of a WebSocket, in both directions."""
    with Tap(server) as tap:
        with connect(tap.url("/ws"), compression=None) as client:
            client.recv()
            client.send("x" * 300)
            client.recv()
        tap.settle()
        for traffic in (tap.up, tap.down):
            assert traffic.bytes == traffic.payload + traffic.headers
        # "x" 300 times and the close code; the greeting as well
        assert (tap.up.payload, tap.down.payload) == (302, 307)


def test_half_a_limit_is_no_limit_and_a_full_one_is_final() -> None:
    """Recording stops at the first byte too many, with one mark, and does not begin again."""
    conversation = _websocket(limit=5_000)
    assert not conversation.truncated
    conversation.record("server", _frame(Opcode.TEXT, b"x" * 6_000))
    conversation.record("server", _frame(Opcode.TEXT, b"small"))
    assert conversation.truncated
    assert conversation.frames == []
    assert [event.kind for event in conversation.events if isinstance(event, ConnectionEvent)] == ["limit"]
    assert conversation.bytes_down == len(RESPONSE) + 6_004 + 7


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_pieces_do_not_matter(data: st.DataObject) -> None:
    """However the network cuts the bytes, the same messages come out."""
    client = REQUEST + b"".join(
        [_frame(Opcode.TEXT, "größe".encode(), mask=True), _frame(Opcode.CLOSE, Close(1000, "").serialize(), mask=True)]
    )
    server = RESPONSE + b"".join([_frame(Opcode.BINARY, bytes(200)), _frame(Opcode.CLOSE, b"\x03\xe8")])
    whole = _conversation(("client", client), ("server", server))

    def pieces(raw: bytes) -> list[bytes]:
        cuts = sorted(data.draw(st.sets(st.integers(1, len(raw) - 1), max_size=8)))
        return [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]

    cut = _conversation(*[("client", piece) for piece in pieces(client)], *[("server", p) for p in pieces(server)])
    for side in ("client", "server"):
        told = [[event for event in one.events if event.direction == side] for one in (whole, cut)]
        assert told[0] == told[1]


@settings(max_examples=200, deadline=None)
@given(st.booleans(), st.lists(st.tuples(st.sampled_from(["client", "server"]), st.binary(min_size=1, max_size=60))))
def test_no_bytes_can_break_the_recording(upgraded: bool, said: list[tuple[Direction, bytes]]) -> None:
    """Whatever is sent, nothing raises, nothing is lost, and recording goes on."""
    conversation = _websocket(*said, response=COMPRESSED) if upgraded else _conversation(*said)
    assert not conversation.truncated
    assert conversation.transcript()
    for traffic in (conversation.up, conversation.down) if upgraded else ():
        assert traffic.bytes == traffic.payload + traffic.headers


def test_length_of_a_frame_may_be_a_lie() -> None:
    """A header that promises more than memory can hold costs nothing until the bytes come."""
    conversation = _websocket(("client", b"\x82\xff" + struct.pack("!Q", 1 << 62)), ("client", b"only this"))
    assert conversation.frames == []
    assert not conversation.truncated
