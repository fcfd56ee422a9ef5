"""Frames that no library would send, and what a server sends back."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from websockets.frames import Frame, Opcode

__all__ = ["answers", "close_code", "frame", "odd_frame"]


def frame(opcode: Opcode, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A frame as a client sends it."""
    return Frame(opcode, payload, fin).serialize(mask=True)


def odd_frame(first: int, payload: bytes, *, masked: bool = True, length: int | None = None) -> bytes:
    """A frame with any first byte (FIN, RSV and opcode), with or without a mask, and with a length that may lie."""
    length = len(payload) if length is None else length
    bit = 0x80 if masked else 0
    if length < 126:
        head = struct.pack("!BB", first, bit | length)
    elif length < 1 << 16:
        head = struct.pack("!BBH", first, bit | 126, length)
    else:
        head = struct.pack("!BBQ", first, bit | 127, length)
    return head + (b"\0\0\0\0" if masked else b"") + payload


def answers(data: bytes | bytearray, *, whole: bool = False) -> Iterator[tuple[int, bytes]]:
    """Opcode and payload of each frame that a server has sent; if `whole`, only of those that are complete."""
    while len(data) >= 2:
        length, start = data[1] & 0x7F, 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(data[2:10], "big"), 10
        if whole and len(data) < start + length:
            return
        yield data[0] & 0x0F, bytes(data[start : start + length])
        data = data[start + length :]


def close_code(data: bytes) -> int:
    """The code of the close frame among a server's frames: 1005 without a code, 1006 where there is none."""
    for opcode, payload in answers(data):
        if opcode == Opcode.CLOSE:
            return int.from_bytes(payload[:2], "big") if payload else 1005
    return 1006
