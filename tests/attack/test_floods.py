"""Floods: more messages, pings, fragments or bytes than anybody has a reason to send."""

from __future__ import annotations

import socket
import threading
import zlib

import pytest
from websockets.frames import Opcode

from server.messages import CloseCode
from server.wire.limited_protocol import BURST, MOST_FRAMES, PIECE

from .beside import beside
from .frames import answers, close_code, frame, odd_frame
from .target import DEADLINE, Target, read_all, until

SMALL = 8 << 20  # bytes: more than what one attacker's buffers take, and far less than what it sends
TEXT, CONT, PING, PONG = Opcode.TEXT, Opcode.CONT, Opcode.PING, Opcode.PONG
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"


def pour(raw: socket.socket, data: bytes, times: int) -> bytes:
    """Send until the server has had enough, and read meanwhile what it says."""
    sending = threading.Thread(target=_send, args=(raw, data, times), name="flood", daemon=True)
    sending.start()
    received = read_all(raw)
    sending.join(DEADLINE)
    return received


def _send(raw: socket.socket, data: bytes, times: int) -> None:
    try:
        for _ in range(times):
            raw.sendall(data)
    except OSError:
        pass


def bomb(size: int) -> bytes:
    """A compressed message that says it is so many bytes long, in a thousandth of them."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -12)
    data = squeeze.compress(b"a" * size) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    return odd_frame(0xC1, data.removesuffix(b"\0\0\xff\xff"))


@pytest.mark.parametrize("text", [b"", b"junk", b'{"type":"join","room":"lobby"}'], ids=["empty", "junk", "join"])
def test_a_flood_of_messages_is_closed_with_4002(target: Target, text: bytes) -> None:
    """However small they are, and however many come in one packet."""
    with beside(target, memory=SMALL), target.upgraded(f"flood {text!r}") as raw:
        assert close_code(pour(raw, frame(TEXT, text) * 10_000, 20)) == CloseCode.KICKED_FOR_SPAM


@pytest.mark.parametrize("opcode", [PING, PONG])
@pytest.mark.parametrize("size", [0, 125])
def test_a_flood_of_pings_is_closed_with_4002(target: Target, opcode: Opcode, size: int) -> None:
    """They cost as much as messages and no app sees them; pongs that nobody asked for are no better."""
    with beside(target, memory=SMALL), target.upgraded("pinger") as raw:
        received = pour(raw, frame(opcode, b"x" * size) * 10_000, 20)
        assert close_code(received) == CloseCode.KICKED_FOR_SPAM
        assert sum(kind == PONG for kind, _ in answers(received)) <= BURST + PIECE // 6


def test_a_few_pings_are_answered(target: Target) -> None:
    """A client that looks whether the server is there has nothing to fear."""
    with beside(target), target.client("polite") as client:
        for _ in range(20):
            assert client.ping().wait(30)


def test_endless_fragments_are_closed_with_1009(target: Target) -> None:
    """Also those of no length, which no limit of bytes ever ends."""
    with beside(target, memory=SMALL):
        with target.upgraded("eve") as raw:
            assert close_code(pour(raw, frame(TEXT, fin=False) + frame(CONT, fin=False) * 10_000, 1)) == 1009
        with target.upgraded("eve") as raw:
            raw.sendall(frame(TEXT, fin=False))
            assert close_code(pour(raw, frame(CONT, b"x" * 1_000, fin=False) * 10, 100)) == 1009


def test_as_many_fragments_as_allowed_are_one_message(target: Target) -> None:
    """The bound is one that no client meets by accident."""
    with beside(target), target.upgraded("fragmented") as raw:
        raw.settimeout(1)
        pieces = frame(TEXT, b"1", fin=False) + frame(CONT, b"1", fin=False) * (MOST_FRAMES - 2) + frame(CONT, b"1")
        received = pour(raw, pieces, 1)
        assert [kind for kind, _ in answers(received)] == [TEXT, TEXT]  # the welcome, and that it is no object
        assert b"a JSON object" in received


@pytest.mark.parametrize("length", [16_385, 1 << 20, 1 << 31, (1 << 63) - 1])
def test_a_huge_frame_is_refused_at_its_header(target: Target, length: int) -> None:
    """Before any of it is held."""
    with beside(target, memory=SMALL), target.upgraded("eve") as raw:
        assert close_code(pour(raw, odd_frame(0x81, b"a" * 10_000, length=length), 1)) == CloseCode.MESSAGE_TOO_BIG


def test_bytes_on_their_way_do_not_cost_the_close_frame(target: Target) -> None:
    """A proxy that is still sending would meet a reset, and drop the close frame before its client has read it."""
    with beside(target, memory=SMALL):
        with target.upgraded("eve") as raw:
            raw.sendall(odd_frame(0x81, b"a" * 8_000, length=20_000))
            assert close_code(read_all(raw)) == CloseCode.MESSAGE_TOO_BIG
            assert target.sockets_of(raw) == 1
            raw.sendall(b"a" * 12_000)
            assert raw.recv(1) == b""  # FIN, and no reset
            raw.shutdown(socket.SHUT_WR)
            assert until(lambda: not target.sockets_of(raw))
        with target.upgraded("eve") as raw:
            raw.sendall(odd_frame(0x81, b"", length=20_000))
            assert until(lambda: not target.sockets_of(raw)), "whoever stays is cut off"


def test_nobody_gets_compression(target: Target) -> None:
    """A client that offers it gets none, and a compressed frame is a breach of the protocol."""
    with beside(target, memory=SMALL):
        answer = target.answer(target.request("eve", DEFLATE))
        assert b" 101 " in answer
        assert b"permessage-deflate" not in answer.lower()
        with target.upgraded("eve", DEFLATE) as raw:
            assert close_code(pour(raw, bomb(1 << 20), 1)) == CloseCode.PROTOCOL_ERROR


def test_a_bomb_is_measured_unpacked() -> None:
    """With compression switched on, a small frame that becomes 16 MiB is refused at 16 KiB."""
    data = bomb(1 << 24)
    with Target(compressed=True) as target, beside(target, memory=SMALL):
        for _ in range(3):
            with target.upgraded("eve", DEFLATE) as raw:
                assert close_code(pour(raw, data, 1)) == CloseCode.MESSAGE_TOO_BIG


def test_messages_after_the_close_frame_cost_nothing(target: Target) -> None:
    """A client that was closed and goes on sending is cut off."""
    with beside(target, memory=SMALL), target.upgraded("deaf") as raw:
        raw.sendall(frame(TEXT, b"junk") * 60)
        with pytest.raises(OSError):  # noqa: PT011  # RST, or a broken pipe
            raw.sendall(frame(TEXT, b"junk") * 1_000_000)
