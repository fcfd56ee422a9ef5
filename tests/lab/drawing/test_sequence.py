"""Pictures of what a tap captured: true, the same every time, and readable for everybody."""

from __future__ import annotations

import os
import socket
import ssl
import xml.etree.ElementTree as ET
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from lab.drawing.picture import INKS, columns, excerpt
from lab.drawing.sequence import Picture, frame_picture, same, sequence, side_by_side
from lab.tap.conversation import Conversation
from lab.tap.tap import Tap
from lab.tap.traffic import RecordingLimit
from websockets.asyncio.client import connect as connect_async
from websockets.frames import Close, Frame, Opcode
from websockets.sync.client import connect

from server import BackgroundServer, serve

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def server() -> Iterator[BackgroundServer]:
    """A server that says hello, echoes, and can hang up without a word."""
    app = FastAPI()

    @app.websocket("/ws")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        async for text in websocket.iter_text():
            await websocket.send_text(f"you said {text}")

    @app.websocket("/rude")
    async def rude(websocket: WebSocket) -> None:
        await websocket.accept()

    @app.get("/feed")
    def feed() -> StreamingResponse:
        return StreamingResponse(iter(["id: 1\ndata: one\n\n", "data: two\n\n"]), media_type="text/event-stream")

    @app.get("/news")
    def news() -> list[str]:
        return []

    with serve(app) as server:
        yield server


def _talk(tap: Tap, text: str = "hi", *, close: tuple[int, str] = (1000, "")) -> Conversation:
    with connect(tap.url("/ws"), compression=None) as client:
        client.recv()
        client.send(text)
        client.recv()
        client.close(*close)
    return tap.conversations[-1]


def _by_hand(tap: Tap, text: str = "hi") -> Conversation:
    """The same conversation on a bare socket."""
    with socket.create_connection(("127.0.0.1", tap.port), timeout=30) as client:
        head = (
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{tap.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}\r\n\r\n"
        )
        client.sendall(head.encode())
        with client.makefile("rb") as stream:
            while stream.readline() != b"\r\n":
                pass
            assert stream.read(7) == b"\x81\x05hello"
            client.sendall(Frame(Opcode.TEXT, text.encode()).serialize(mask=True))
            stream.read(2 + len("you said ") + len(text))
            client.sendall(Frame(Opcode.CLOSE, Close(1000, "").serialize()).serialize(mask=True))
            assert stream.read() == b"\x88\x02\x03\xe8"
    return tap.conversations[-1]


def _pictures(server: BackgroundServer) -> list[Picture]:
    with Tap(server) as tap:
        first, second = _talk(tap, close=(4001, "log in again")), _by_hand(tap)
        with connect(tap.url("/ws")) as client:
            client.recv()
            client.ping().wait(30)
            tap.cut()
            client.send("into the void")
            tap.wait(lambda tap: tap.frames[-1].held)
            cut = sequence(tap.conversations[-1])
            tap.reset()
        return [
            *(sequence(first), side_by_side(first, second, ("a", "b")), cut),
            *(frame_picture(frame) for frame in first.frames),
        ]


async def _greeting(url: str, trust: ssl.SSLContext) -> str | bytes:
    # the synchronous client shares one TLS session between two threads, which OpenSSL forbids: it hangs now and then
    async with connect_async(url, ssl=trust) as client:
        return await client.recv()


def _text_of(picture: Picture) -> str:
    return " ".join(ET.fromstring(picture.svg).itertext())


# the same every time


def test_pictures_of_two_runs_are_identical(server: BackgroundServer) -> None:
    """Two real conversations, with other keys, masks and ports, give the same SVG and the same text."""
    first, second = _pictures(server), _pictures(server)
    assert [picture.svg for picture in first] == [picture.svg for picture in second]
    assert [picture.text for picture in first] == [picture.text for picture in second]
    assert first == second


def test_conversation_by_hand_is_the_same_as_the_librarys(server: BackgroundServer) -> None:
    """A client of sockets and bytes, and the library: on the wire they are the same."""
    with Tap(server) as tap:
        library, hand = _talk(tap), _by_hand(tap)
        other = _talk(tap, "something else")
        assert library.transcript() == hand.transcript()
        assert same(library, hand)
        assert not same(library, other)
        picture = side_by_side(hand, library, ("by hand", "with websockets"))
        assert picture.title == "by hand and with websockets: the same on the wire"
        assert "not the same on the wire" in side_by_side(hand, other, ("a", "b")).title


def test_sequence_may_start_after_the_handshake(server: BackgroundServer) -> None:
    """With ``handshake=False`` the frames of every connection are drawn, and no 101."""
    with Tap(server) as tap:
        with connect(tap.url("/ws"), proxy=None) as client:
            client.recv(timeout=30)
        whole, short = sequence(tap), sequence(tap, handshake=False)
    assert "101 Switching Protocols" in whole.text
    assert "101" not in short.text
    assert "GET /ws" not in short.text
    assert "CLOSE 1000" in short.text


def test_side_by_side_may_start_after_the_handshake(server: BackgroundServer) -> None:
    """With ``handshake=False`` the frames are drawn and the 101 is not; the verdict is about all of it."""
    with Tap(server) as tap:
        first, second = _talk(tap), _talk(tap)
        picture = side_by_side(first, second, ("a", "b"), handshake=False)
    assert "the same on the wire" in picture.title
    assert "TEXT" in picture.text
    assert not [one for one in ("101", "GET", "from here on") if one in picture.text + _text_of(picture)]


def test_picture_leaves_out_what_differs_from_run_to_run(server: BackgroundServer) -> None:
    """No port, key, accept value, date or version is in the SVG or in the text."""
    with Tap(server) as tap:
        conversation = _talk(tap, f"meet me at 127.0.0.1:{tap.port}")
        request, response = conversation.request, conversation.response
        assert request is not None
        assert response is not None
        secrets = [
            *(request.headers[name] for name in ("Sec-WebSocket-Key", "User-Agent")),
            *(response.headers[name] for name in ("Sec-WebSocket-Accept", "Date")),
            *(f":{port}" for port in (tap.port, server.port)),
        ]
        for picture in (sequence(tap), frame_picture(conversation.frames[1])):
            for secret in secrets:
                assert secret not in picture.svg
                assert secret not in picture.text


def test_hidden_text_is_shown_as_random(server: BackgroundServer) -> None:
    """A ticket in the path and in a message does not reach the picture."""
    with Tap(server) as tap:
        with connect(tap.url("/ws?ticket=abc123"), compression=None) as client:
            client.recv()
            client.send("abc123")
            client.recv()
        picture = sequence(tap, hide=["abc123"])
        assert "abc123" not in picture.svg + picture.text
        assert "GET /ws?ticket=random HTTP/1.1" in picture.text
        assert 'TEXT "you said random"' in picture.text


# what is drawn


def test_sequence_shows_every_step(server: BackgroundServer) -> None:
    """TCP, request, chosen headers, status, frames with opcode and text, close code and reason, the end."""
    with Tap(server) as tap:
        assert _talk(tap, close=(4001, "log in again")).transcript() == (
            "client: TCP connect",
            "client: GET /ws HTTP/1.1 (HTTP request)",
            "    Connection: Upgrade",
            "    Upgrade: websocket",
            "    Sec-WebSocket-Version: 13",
            "    Sec-WebSocket-Key: random",
            "server: 101 Switching Protocols (HTTP response)",
            "    Connection: Upgrade",
            "    Upgrade: websocket",
            "    Sec-WebSocket-Accept: made from the key",
            "from here on: frames",
            'server: TEXT "hello" (5 bytes)',
            'client: TEXT "hi" (2 bytes · masked)',
            'server: TEXT "you said hi" (11 bytes)',
            'client: CLOSE 4001 private use "log in again" (masked)',
            'server: CLOSE 4001 private use "log in again"',
            "TCP connection closed",
        )
        picture = sequence(tap, "A talk")
        for part in ("A talk", "TCP connect", "GET /ws HTTP/1.1", "101 Switching Protocols", '"you said hi"', "4001"):
            assert part in _text_of(picture)
            assert part in picture.text


def test_end_without_a_close_frame_is_told(server: BackgroundServer) -> None:
    """A handler that simply returns leaves a TCP end and no close frame: what the client sees as 1006."""
    with Tap(server) as tap:
        with connect(tap.url("/rude"), compression=None) as client, pytest.raises(Exception, match="no close frame"):
            client.recv()
        assert tap.conversations[0].transcript()[-1] == "server: TCP end without a close frame"


@pytest.mark.parametrize(
    ("act", "steps"),
    [
        (Tap.reset, ("TCP reset (RST) by the tap, both ways",)),
        (Tap.cut, ("the cable is cut", 'client: TEXT "late" (4 bytes · masked) (does not arrive)')),
        (lambda tap: tap.stall("server"), ("the tap stops reading what the server sends",)),
        (lambda tap: tap.slow(500), ("500 bytes a second",)),
    ],
    ids=["reset", "cut", "stall", "slow"],
)
def test_fault_is_part_of_the_story(
    server: BackgroundServer, act: Callable[[Tap], None], steps: tuple[str, ...]
) -> None:
    """What the tap did to the connection is drawn where it happened, and so is what was lost by it."""
    with Tap(server) as tap, socket.create_connection(("127.0.0.1", tap.port), timeout=30) as client:
        client.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
        client.sendall(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        tap.wait(lambda tap: tap.frames)
        act(tap)
        if len(steps) > 1:
            client.sendall(Frame(Opcode.TEXT, b"late").serialize(mask=True))
        assert tap.conversations[0].transcript()[-len(steps) :] == steps
        drawn = _text_of(sequence(tap))
        assert all(step.split(" (")[0].removeprefix("client: ") in drawn for step in steps)


def test_refused_connection_is_drawn(server: BackgroundServer) -> None:
    """Nobody listens: the connection does not arrive."""
    server.stop()
    with Tap(server) as tap:
        with suppress(ConnectionResetError):
            socket.create_connection(("127.0.0.1", tap.port), timeout=30).close()
        tap.wait(lambda tap: tap.conversations[0].ended)
        told = ("client: TCP connect (does not arrive)", "refused: nobody listens there")
        assert tap.conversations[0].transcript() == told
        assert "✕" in sequence(tap).text


def test_server_sent_events_are_drawn_one_by_one(server: BackgroundServer) -> None:
    """Each event of a stream is an arrow of its own."""
    import httpx

    with Tap(server) as tap:
        httpx.get(tap.http("/feed"))
        told = tap.conversations[0].transcript()
        assert [line for line in told if "event " in line] == [
            "server: event id: 1 · data: one",
            "server: event data: two",
        ]


@pytest.mark.anyio
async def test_tls_is_one_row_whatever_the_pieces(tmp_path: Path) -> None:
    """Encrypted bytes are not drawn in detail, so the picture is the same every time."""
    authority, trust = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trust)
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
    app = FastAPI()

    @app.websocket("/ws")
    async def hello(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    options: dict[str, Any] = {"ssl_keyfile": str(tmp_path / "key.pem"), "ssl_certfile": str(tmp_path / "chain.pem")}
    with serve(app, **options) as server, Tap(server) as tap:
        for _ in range(3):
            assert await _greeting(tap.url("/ws"), trust) == "hello"
        picture = sequence(tap)
        assert tap.conversations[0].transcript() == (
            "client: TCP connect",
            "TLS encrypted bytes (the tap passes them on and cannot read them)",
            "TCP connection closed",
        )
        assert "connections 1 to 3, each" in picture.text


def test_plain_request_to_a_tls_port_shows_the_alert(tmp_path: Path) -> None:
    """A request that TLS refuses is drawn with the alert that came back."""
    conversation = Conversation(1, RecordingLimit(10_000), lambda timeout: None)
    conversation.record("client", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    conversation.record("server", b"\x15\x03\x01\x00\x02\x02\x46")
    assert conversation.transcript()[-1] == "server: TLS alert"


def test_same_connections_are_drawn_once(server: BackgroundServer) -> None:
    """A poller that connects twenty times is one block with a count, and the odd one out stays visible."""
    import httpx

    with Tap(server) as tap:
        for path in ["/news"] * 20 + ["/nowhere"]:
            httpx.get(tap.http(path))
        text = sequence(tap).text
        assert "connections 1 to 20, each" in text
        assert "connection 21" in text
        assert text.count("GET /news") == 1


def test_middle_of_a_long_conversation_is_left_out(server: BackgroundServer) -> None:
    """Beginning and end stay, with the number of missing rows between them."""
    with Tap(server) as tap:
        with connect(tap.url("/ws"), compression=None) as client:
            client.recv()
            for index in range(100):
                client.send(str(index))
                client.recv()
        text = sequence(tap, most=14).text
        assert "195 more left out here" in text
        assert 'TEXT "you said 99"' in text
        assert "TCP connection closed" in text
        assert len(text.splitlines()) < 40


def test_nothing_to_draw_is_said_with_the_remedy(server: BackgroundServer) -> None:
    """An empty tap is most often one that no client has connected to."""
    with Tap(server) as tap, pytest.raises(ValueError, match=r"saw no connection; connect to tap.url\(\)"):
        sequence(tap)


# the bytes of a frame


def test_frame_picture_labels_every_field() -> None:
    """The five bytes of "hello" and the two in front of them, bit by bit."""
    picture = frame_picture(b"\x81\x05hello")
    assert picture.text.splitlines()[1:-1] == [
        "│ 81  1.......  FIN     the message ends with this frame         │",
        "│     .000....  RSV     no extension changes this frame          │",
        "│     ....0001  opcode  TEXT                                     │",
        "│ 05  0.......  MASK    not masked, as a server's frames must be │",
        "│     .0000101  length  5 bytes of payload                       │",
        "│ payload: 68 65 6c 6c 6f                                        │",
        "│ the payload says: hello                                        │",
    ]
    drawn = _text_of(picture)
    for part in ("FIN", "RSV", "opcode", "MASK", "length", "payload", "81", "05", "6f"):
        assert part in drawn


@pytest.mark.parametrize(
    ("frame", "parts"),
    [
        (Frame(Opcode.TEXT, b"x" * 200), ["7e", "next 2 bytes: 200", "length: 00 c8", "… "]),
        (Frame(Opcode.BINARY, bytes(70_000)), ["7f", "next 8 bytes: 70,000", "length: 00 00 00 00 00 01 11 70"]),
        (
            Frame(Opcode.CLOSE, Close(4001, "bye").serialize()),
            ["code: 0f a1", "reason: 62 79 65", '4001 private use "bye"'],
        ),
        (Frame(Opcode.TEXT, "grün".encode(), fin=False), ["more frames of this message follow", "grün"]),
        (Frame(Opcode.PING, b""), ["PING", "0 bytes of payload", "empty"]),
        (Frame(Opcode.BINARY, b"\x00\xff"), ["2 bytes that are no text"]),
    ],
    ids=["126", "127", "close", "fragment", "ping", "binary"],
)
@pytest.mark.parametrize("mask", [False, True])
def test_frame_picture_of_every_kind(frame: Frame, parts: list[str], mask: bool) -> None:
    """Each length form, kind and mask is drawn, and a masked frame the same every time."""
    pictures = [frame_picture(frame.serialize(mask=mask)) for _ in range(2)]
    assert pictures[0] == pictures[1]
    for part in parts:
        assert part.replace("7e", "fe" if mask else "7e").replace("7f", "ff" if mask else "7f") in pictures[0].text
    assert ("masking key: random" in pictures[0].text) is mask
    ET.fromstring(pictures[0].svg)


def test_frame_picture_shows_the_key_where_asked() -> None:
    """The RFC's own example, masked bytes and key as they are on the wire."""
    text = frame_picture(bytes.fromhex("818537fa213d7f9f4d5158"), show_key=True).text
    assert "masking key: 37 fa 21 3d" in text
    assert "payload, masked: 7f 9f 4d 51 58" in text
    assert "the payload says: Hello" in text


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "they are not finished"),
        (b"\x81\x05hell", "they are not finished"),
        (b"\x81\x00\x81\x00", "more follows"),
        (b"\x81\x00x", "more follows"),
        (b"\x83\x00", "not a frame: invalid opcode"),
    ],
)
def test_frame_picture_takes_exactly_one_frame(data: bytes, reason: str) -> None:
    """Half a frame, two frames, and no frame at all are refused with the reason."""
    with pytest.raises(ValueError, match=f"not one frame: {reason}; pass the bytes of exactly one"):
        frame_picture(data)


# readable for everybody


def test_picture_is_svg_with_a_text_twin(server: BackgroundServer) -> None:
    """A notebook shows the SVG; a terminal, an untrusted notebook and a screen reader get the text."""
    for picture in _pictures(server):
        bundle = picture._repr_mimebundle_()
        assert bundle == {"image/svg+xml": picture.svg, "text/plain": picture.text}
        assert str(picture) == repr(picture) == picture.text
        root = ET.fromstring(picture.svg)
        title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
        assert title is not None
        assert description is not None
        assert (root.get("role"), root.get("aria-label"), title.text) == ("img", picture.title, picture.title)
        assert len(description.text or "") > 40


def test_text_twin_is_a_box_with_straight_edges(server: BackgroundServer) -> None:
    """Every line of the box has the same width in a monospaced font, wide characters included."""
    with Tap(server) as tap:
        pictures = [sequence(_talk(tap, "日本 äöü"), "日本"), *_pictures(server)]
    for picture in pictures:
        assert len({columns(line) for line in picture.text.splitlines()}) == 1, picture.text


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "]]>&amp;\"'", "\x00\x07\x1b[31m", "\u202egnp", "\ufffe"]
)
def test_payload_cannot_break_out_of_the_picture(server: BackgroundServer, text: str) -> None:
    """Markup, control characters and overrides from the wire are shown, and never take effect."""
    with Tap(server) as tap:
        conversation = _talk(tap, text)
        for picture in (sequence(tap, f"Title {text[:1]}"), side_by_side(conversation, conversation, ("<a>", "<b>"))):
            root = ET.fromstring(picture.svg)
            assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
                *("svg", "title", "desc", "style", "rect", "path", "text", "tspan")
            }
            assert picture.text.replace("\n", "").isprintable()
        assert "<script" not in sequence(tap).svg


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_texts_have_enough_contrast(theme: int) -> None:
    """Every text colour reaches WCAG's 4.5 to 1 on the card and on its boxes."""

    def luminance(colour: str) -> float:
        channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for name in ("ink", "soft", "client", "server", "control", "close", "bad"):
        for ground in ("card", "fill"):
            bright, dim = sorted((luminance(INKS[name][theme]), luminance(INKS[ground][theme])), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= 4.5, (name, ground)


def test_an_excerpt_ends_where_a_character_ends() -> None:
    """Neither in front of an accent, nor inside of what stands for a character that cannot be printed."""
    for start in range(6):
        accents = excerpt("x" * start + "e\u0301" * 10, 10)
        assert accents.endswith("e\u0301…")
        assert len(accents) <= 10
        joined = excerpt("x" * start + "a\u200db" * 10, 20)
        assert joined in {"x" * start + r"a\u200db" * count + "…" for count in range(3)}
    assert excerpt("e\u0301" * 5, 10) == "e\u0301" * 5
