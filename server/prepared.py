"""A message that is made ready for the wire once, however many receive it (lesson 04)."""

from __future__ import annotations

from dataclasses import dataclass, field

from websockets.frames import Frame, Opcode

__all__ = ["Batch", "Prepared"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message that is made ready for the wire once, however many receive it."""

    text: str
    """What is sent. Half a surrogate pair, which no UTF-8 can carry, becomes a question mark."""
    key: str | None = None
    """What it is the state of, for `Overflow.KEEP_LATEST`."""
    size: int = field(init=False, repr=False, compare=False)
    """Bytes of the text as UTF-8."""
    frame: bytes = field(init=False, repr=False, compare=False)
    """One whole text frame as a server sends it: final, unmasked, not compressed. Built when it is first asked for."""

    def __post_init__(self) -> None:
        size = len(self.text)
        if not self.text.isascii():
            data = self.text.encode(errors="replace")
            size = len(data)
            object.__setattr__(self, "text", data.decode())
        object.__setattr__(self, "size", size)

    def __getattr__(self, name: str) -> bytes:
        # Python comes here only while the slot is empty, so that reading it later costs what an attribute costs
        if name != "frame":
            raise AttributeError(name)
        frame = Frame(Opcode.TEXT, self.text.encode()).serialize(mask=False)
        object.__setattr__(self, "frame", frame)
        return frame


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages that go to the same receivers together, in this order."""

    messages: tuple[Prepared, ...]
    size: int = field(init=False)
    """Bytes of all of them as UTF-8."""
    frames: bytes = field(init=False, repr=False, compare=False)
    """Their frames, joined. Built when they are first asked for."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", sum(message.size for message in self.messages))

    def __getattr__(self, name: str) -> bytes:
        if name != "frames":
            raise AttributeError(name)
        frames = b"".join([message.frame for message in self.messages])
        object.__setattr__(self, "frames", frames)
        return frames
