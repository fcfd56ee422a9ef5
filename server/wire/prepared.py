"""A message that is made ready for the wire once, however many receive it (lesson 04)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter

from websockets.frames import Frame, Opcode

__all__ = ["Batch", "Prepared"]

SIZE, FRAME = attrgetter("size"), attrgetter("frame")


@dataclass(frozen=True)
class Prepared:
    """A text message that is encoded and framed once, however many receive it."""

    text: str
    """What is sent. Half a surrogate pair, which UTF-8 cannot carry, becomes a question mark."""
    key: str | None = None
    """What the message is the state of, for `Overflow.KEEP_LATEST`."""
    size: int = field(init=False, repr=False, compare=False)
    """Bytes of the text as UTF-8."""

    def __post_init__(self) -> None:
        """Count the bytes, and replace halves of surrogate pairs."""
        size = len(self.text)
        if not self.text.isascii():
            data = self.text.encode(errors="replace")
            size = len(data)
            object.__setattr__(self, "text", data.decode())
        object.__setattr__(self, "size", size)

    @cached_property
    def frame(self) -> bytes:
        """Return one whole text frame as a server sends it: final, unmasked, not compressed (RFC 6455 section 5.2)."""
        return Frame(Opcode.TEXT, self.text.encode()).serialize(mask=False)


@dataclass(frozen=True)
class Batch:
    """Messages that go to the same receivers together, in this order."""

    messages: tuple[Prepared, ...]

    @cached_property
    def size(self) -> int:
        """Return the number of bytes of all texts as UTF-8."""
        return sum(map(SIZE, self.messages))

    @cached_property
    def frames(self) -> bytes:
        """Return the frames of all messages, joined."""
        return b"".join(map(FRAME, self.messages))
