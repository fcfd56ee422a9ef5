"""Counts the WebSocket messages in a byte stream by looking at frame headers only (RFC 6455, 5.2).

Frames that follow each other are often of one length: then their headers are equal, and one comparison
of every n-th byte counts them all. So counting costs next to nothing, however many frames come at once.
"""

from __future__ import annotations

from struct import Struct

__all__ = ["FrameCounter"]

EXTENDED = {126: 2, 127: 8}  # bytes of the length that follow the second byte
HEAD = Struct("!I").unpack_from  # the first four bytes of a frame
MEDIUM_TEXT = 0x817E  # the first two of a whole text message of 126 to 65,535 bytes
PING, CLOSE = 0x9, 0x8
FIN = 0x80  # the first bit of a byte: of the opcode's, this; of the length's, the mask


class FrameCounter:
    """What one connection has received so far; a message counts when its last byte is there."""

    __slots__ = ("_head", "_last", "_left", "_pending", "_whole", "closed", "messages", "pings", "size", "smallest")

    def __init__(self, smallest: int = 0) -> None:
        """Count messages whose last frame has at least `smallest` bytes, as they are on the wire."""
        self.smallest = smallest
        self.messages = 0
        self.size = 0  # bytes of payload of the messages counted
        self.pings = 0
        self.closed = False  # a close frame has come
        self._head = b""  # a header of which the rest has not come
        self._left = 0  # bytes of the current payload that have not come
        self._pending = (0, 0)  # first byte of the current frame's header, and its payload's length
        self._last = 0  # the header of the last message that was whole, for the shortest way
        self._whole = -1  # bytes of that message, header and payload

    def feed(self, data: bytes | bytearray, size: int | None = None) -> None:
        """Take the next `size` bytes of the stream, by default all of `data`.

        Raises:
            ValueError: a frame from a server is masked; the stream is no WebSocket's, or out of step.
        """
        size = len(data) if size is None else size
        if size == self._whole and not self._left and not self._head and HEAD(data, 0)[0] == self._last:
            self.messages += 1  # by far the most frequent case where a server writes each frame for itself
            self.size += size - 4
            return
        if self._head:
            data = self._head + data[:size]
            size, self._head = len(data), b""
        at = min(self._left, size)
        if self._left:
            self._left -= at
            if self._left:
                return
            self._count(*self._pending)
        while at < size:
            at = self._texts(data, at, size)
            if at < size:
                at = self._frame(data, at, size)

    def _texts(self, data: bytes | bytearray, at: int, size: int) -> int:
        """Count the whole text messages of 126 to 65,535 bytes that come first, a run of equal headers at once."""
        last = size - 4
        while at <= last:
            head: int = HEAD(data, at)[0]
            length = head & 0xFFFF
            frames, end = 1, at + 4 + length
            if head >> 16 != MEDIUM_TEXT or end > size:
                break
            if end <= last and HEAD(data, end)[0] == head:
                frames = _repeated(data, at, size, 4 + length)
                end = at + frames * (4 + length)
            if length >= self.smallest:
                self.messages += frames
                self.size += frames * length
                self._last, self._whole = head, 4 + length
            at = end
        return at

    def _frame(self, data: bytes | bytearray, at: int, size: int) -> int:
        """Count the frame at `at`, whatever it is; where the next begins."""
        short = data[at + 1] if at + 1 < size else 0
        if short & FIN:
            raise ValueError(f"byte {at + 1} of {size} says that a server has masked its frame; out of step?")
        header = 2 + EXTENDED.get(short, 0)
        if size - at < header:
            self._head = bytes(data[at:size])
            return size
        length = short if header == 2 else int.from_bytes(data[at + 2 : at + header])
        end = at + header + length
        if end > size:
            self._pending, self._left = (data[at], length), end - size
            return size
        self._count(data[at], length)
        return end

    def _count(self, first: int, length: int) -> None:
        if first & 0x88 == FIN and length >= self.smallest:
            self.messages += 1
            self.size += length
        elif first & 0xF == PING:
            self.pings += 1
        elif first & 0xF == CLOSE:
            self.closed = True


def _repeated(data: bytes | bytearray, at: int, size: int, whole: int) -> int:
    """How many frames of `whole` bytes follow each other from `at` on, all with one header; 1 if not all have it."""
    frames = (size - at) // whole
    end = at + frames * whole
    for place in range(at, at + 4):
        if data[place:end:whole] != data[place : place + 1] * frames:
            return 1
    return frames
