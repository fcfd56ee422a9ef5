"""A message of 4 MiB in many frames, as sections 9.3 and 9.4 of Autobahn's test suite send it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from websockets.frames import Opcode as Op

from .frames import answers, frame
from .target import DEADLINE, Target, read_all

SIZE = 4 << 20  # bytes of the message
TOO_MANY = [64, 256, 1_024, 4_096]  # bytes of a frame that make more than 256 of it
WHOLE = json.dumps({"type": "say", "room": "lobby", "text": "", "id": 1}).encode()
MESSAGE = WHOLE.replace(b'""', b'"' + b"x" * (SIZE - len(WHOLE)) + b'"')


@pytest.fixture(scope="module")
def by_default() -> Iterator[Target]:
    """A server that takes a message of this size, in as many frames as by default."""
    with Target(message_bytes=SIZE) as target:
        yield target


@pytest.fixture(scope="module")
def in_frames() -> Iterator[Target]:
    """The same, and it takes any number of frames that these tests send."""
    with Target(message_bytes=SIZE, message_frames=SIZE // min(TOO_MANY)) as target:
        yield target


def fragments(size: int) -> Iterator[bytes]:
    """The frames of the message."""
    for start in range(0, SIZE, size):
        is_last = start + size == SIZE
        yield frame(Op.CONT if start else Op.TEXT, MESSAGE[start : start + size], fin=is_last)


def closed(target: Target, size: int) -> tuple[int, bytes]:
    """What comes back: opcode and payload of the last frame, after a close frame of ours behind the message."""
    with target.upgraded("eve") as raw:
        raw.settimeout(DEADLINE)
        try:
            for piece in fragments(size):
                raw.sendall(piece)
            raw.sendall(frame(Op.CLOSE, b"\x03\xe8"))
        except OSError:  # the server was quicker
            pass
        return list(answers(read_all(raw)))[-1]


@pytest.mark.parametrize("size", TOO_MANY)
def test_a_message_in_more_than_256_frames_is_refused(by_default: Target, size: int) -> None:
    """With 1009 and a reason that names the limit: what frames cost is not in the number of bytes."""
    assert closed(by_default, size) == (Op.CLOSE, (1009).to_bytes(2, "big") + b"over 256 frames")


def test_a_message_in_256_frames_is_taken(by_default: Target) -> None:
    """The bound itself is allowed; the answer says what is wrong with the text, and the client ends it."""
    assert SIZE // 16_384 == 256
    assert closed(by_default, 16_384) == (Op.CLOSE, b"\x03\xe8")


@pytest.mark.parametrize("size", [*TOO_MANY, 16_384])
def test_a_setting_allows_more_frames(in_frames: Target, size: int) -> None:
    """`message_frames` reaches the protocol, and the message the app."""
    with in_frames.upgraded("eve") as raw:
        raw.settimeout(DEADLINE)
        for piece in fragments(size):
            raw.sendall(piece)
        received = b""
        while b'"error"' not in received and (data := raw.recv(65_536)):
            received += data
    error = json.loads(list(answers(received))[-1][1])
    assert (error["type"], error["field"], error["id"]) == ("error", "text", 1)


def test_a_setting_allows_fewer_frames() -> None:
    """Also without a large message: a server that wants no fragments takes one frame."""
    with Target(message_frames=1) as target, target.upgraded("eve") as raw:
        raw.sendall(frame(Op.TEXT, b"{", fin=False) + frame(Op.CONT, b"}"))
        raw.shutdown(socket.SHUT_WR)
        assert list(answers(read_all(raw)))[-1] == (Op.CLOSE, (1009).to_bytes(2, "big") + b"over 1 frames")


def test_one_frame_more_than_allowed_is_refused(target: Target) -> None:
    """Also where it is the last one of its message."""
    with target.upgraded("eve") as raw:
        raw.sendall(frame(Op.TEXT, b"{", fin=False) + frame(Op.CONT, fin=False) * 255 + frame(Op.CONT, b"}"))
        assert list(answers(read_all(raw)))[-1] == (Op.CLOSE, (1009).to_bytes(2, "big") + b"over 256 frames")
