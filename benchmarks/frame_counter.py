"""Counts the WebSocket messages in a byte stream by looking at frame headers only (RFC 6455, 5.2).

Frames that follow each other are often of one length: then their headers are equal, and one comparison
of every n-th byte counts them all. So counting costs next to nothing, however many frames come at once.
"""

from __future__ import annotations

__all__ = ["FrameCounter"]

EXTENDED = {126: 2, 127: 8}  # bytes of the length that follow the second byte
CONTROL, PING, CLOSE = 0x8, 0x9, 0x8
FIN = 0x80


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
        self._last = b""  # the header of the last message that was whole, for the shortest way
        self._whole = 0  # bytes of that message, header and payload

    def feed(self, data: bytes | bytearray, size: int | None = None) -> None:
        """Take the next `size` bytes of the stream, by default all of `data`.

        Raises:
            ValueError: a frame from a server is masked; the stream is no WebSocket's, or out of step.
        """
        size = len(data) if size is None else size
        if size == self._whole and not self._left and not self._head and data.startswith(self._last):
            self.messages += 1  # by far the most frequent case where a server writes each frame for itself
            self.size += size - len(self._last)
            return
        if self._head:
            data = self._head + data[:size]
            size, self._head = len(data), b""
        at = min(self._left, size)
        if self._left:
            self._left -= at
            if self._left:
                return
            self._count(*self._pending, 1)
        while at < size:
            at = self._frames(data, at, size)

    def _frames(self, data: bytes | bytearray, at: int, size: int) -> int:
        """Count the frame at `at`, and those after it that have the same header; where the next begins."""
        short = data[at + 1] if at + 1 < size else 0
        if short & FIN:
            raise ValueError(f"byte {at + 1} of {size} says that a server has masked its frame; out of step?")
        header = 2 + EXTENDED.get(short, 0)
        if size - at < header or at + 1 >= size:
            self._head = bytes(data[at:size])
            return size
        length = short if header == 2 else int.from_bytes(data[at + 2 : at + header])
        whole = header + length
        frames = (size - at) // whole
        if not frames:
            self._pending, self._left = (data[at], length), whole - (size - at)
            return size
        if frames > 1 and not _repeats(data, at, header, whole, frames):
            frames = 1
        self._count(data[at], length, frames)
        if data[at] & FIN and data[at] & 0xF < CONTROL and length >= self.smallest:
            self._last, self._whole = bytes(data[at : at + header]), whole
        return at + frames * whole

    def _count(self, first: int, length: int, frames: int) -> None:
        opcode = first & 0xF
        if opcode < CONTROL:
            if first & FIN and length >= self.smallest:
                self.messages += frames
                self.size += frames * length
        elif opcode == PING:
            self.pings += frames
        elif opcode == CLOSE:
            self.closed = True


def _repeats(data: bytes | bytearray, at: int, header: int, whole: int, frames: int) -> bool:
    """Whether every `whole` bytes from `at` on the same `header` bytes stand, `frames` times."""
    end = at + frames * whole
    return all(data[at + byte : end : whole] == data[at + byte : at + byte + 1] * frames for byte in range(header))
