"""WebSocket frames as they crossed the wire, parsed by `websockets`' own parser."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions.base import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader
from websockets.typing import ExtensionName

from server.testing.tapped_connection import Direction

__all__ = ["FrameReader", "TapBytes", "TapFrame"]

INFLATE_LIMIT = 1 << 20  # bytes that one compressed frame may grow to


@dataclass(slots=True, repr=False)
class TapFrame:
    """One frame: what it says, and every byte of it as captured."""

    direction: Direction
    """Who sent it: "client" or "server"."""
    opcode: Opcode
    fin: bool
    """Whether the message ends with this frame."""
    rsv1: bool
    """Whether the message is compressed (RFC 7692)."""
    masked: bool
    payload: bytes
    """The payload after unmasking; still compressed where `rsv1` says so."""
    raw: bytes
    """Header, masking key and payload, exactly as they crossed the wire."""
    data: bytes | None = None
    """The payload after unmasking and inflating, None where it cannot be inflated."""
    kind: Opcode = Opcode.BINARY
    """TEXT or BINARY: the kind of the message that a CONT frame continues; else the opcode itself."""
    error: str = ""
    """What the frame does wrong, in the words of `websockets`; empty for a valid frame."""
    held: bool = False
    """Whether the cable was cut when this was sent, so that it arrives only after `Tap.mend`."""

    @property
    def header(self) -> bytes:
        """The 2 to 14 bytes in front of the payload, the masking key among them."""
        return self.raw[: len(self.raw) - len(self.payload)]

    @property
    def mask(self) -> bytes:
        """The masking key, 4 bytes, or none at all."""
        return self.header[-4:] if self.masked else b""

    @property
    def text(self) -> str | None:
        """What a text message says, inflated where it was compressed; None for a binary one."""
        if self.kind is Opcode.BINARY or self.data is None:
            return None
        return self.data.decode(errors="replace")

    @property
    def close(self) -> Close | None:
        """Code and reason of a close frame (1005 where it carries none); None for other frames."""
        if self.opcode is not Opcode.CLOSE:
            return None
        try:
            return Close.parse(self.payload)
        except (ProtocolError, UnicodeDecodeError):
            return None

    @property
    def code(self) -> int | None:
        """The close code of a valid close frame."""
        return None if self.close is None else int(self.close.code)

    @property
    def reason(self) -> str | None:
        """The reason of a valid close frame."""
        return None if self.close is None else self.close.reason

    def __repr__(self) -> str:
        return f"<{self.direction}: {Frame(self.opcode, self.payload if self.data is None else self.data, self.fin)}>"


@dataclass(slots=True)
class TapBytes:
    """Bytes that are neither HTTP nor a frame: TLS, another protocol, or a broken message."""

    direction: Direction
    data: bytes
    """The bytes; those that follow from the same side are added here."""
    note: str = ""
    """Why they were not parsed."""
    held: bool = False


class _RawFrames(Extension):
    """Keep each frame as it crossed the wire, then hand it to the negotiated extension."""

    name = ExtensionName("tap")

    def __init__(self, deflate: PerMessageDeflate | None) -> None:
        self.frame: Frame | None = None
        self._deflate = deflate
        self._failed = False

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        self.frame = frame
        if self._failed and frame.rsv1:
            raise ProtocolError("an earlier message could not be inflated, and this one builds on it")
        if self._deflate is None or self._failed:
            return frame
        try:
            return self._deflate.decode(frame, max_size=INFLATE_LIMIT)
        except (ProtocolError, PayloadTooBig):
            self._failed = True
            raise


class FrameReader:
    """Turns one direction's bytes into frames, whatever pieces they come in."""

    def __init__(self, direction: Direction, deflate: PerMessageDeflate | None = None) -> None:
        self._direction: Direction = direction
        self._wire = _RawFrames(deflate)
        self._stream = StreamReader()
        self._raw = bytearray()
        self._parser: Generator[None, None, Frame] | None = None
        self._masked = False
        self._kind = Opcode.BINARY
        self._lost = ""

    def feed(self, data: bytes) -> Iterator[TapFrame | TapBytes]:
        """Yield every frame that `data` completes; bytes after a broken header come unparsed."""
        self._raw += data
        if not self._lost:
            self._stream.feed_data(data)
            while (frame := self._next()) is not None:
                yield frame
        if self._lost and self._raw:
            yield TapBytes(self._direction, bytes(self._raw), self._lost)
            self._raw.clear()

    @property
    def pending(self) -> bytes:
        """The beginning of a frame that is not complete yet."""
        return bytes(self._raw)

    def _next(self) -> TapFrame | None:
        error = ""
        if self._parser is None:
            if len(self._stream.buffer) < 2:
                return None
            # the parser must be told which end reads; the tap reads for both, also what an end does wrong
            self._masked = bool(self._stream.buffer[1] & 0x80)
            self._wire.frame = None
            self._parser = Frame.parse(self._stream.read_exact, mask=self._masked, extensions=[self._wire])
        try:
            next(self._parser)
        except StopIteration as done:
            return self._frame(bytes(done.value.data), error)
        except (ProtocolError, PayloadTooBig) as problem:
            if self._wire.frame is None:
                self._lost = f"not a frame: {problem}"
                return None
            # it was read to its end, so that the next frame can be found
            return self._frame(None, str(problem))
        return None

    def _frame(self, data: bytes | None, error: str) -> TapFrame:
        wire = self._wire.frame
        assert wire is not None
        self._parser = None
        raw = bytes(self._raw[: len(self._raw) - len(self._stream.buffer)])
        del self._raw[: len(raw)]
        if wire.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._kind = wire.opcode
        kind = self._kind if wire.opcode is Opcode.CONT else wire.opcode
        payload = bytes(wire.data)
        if data is None and not wire.rsv1:
            data = payload
        return TapFrame(
            self._direction, wire.opcode, wire.fin, wire.rsv1, self._masked, payload, raw, data, kind, error
        )
