"""The fast way: whole frames, handed to uvicorn's transport once each time the loop comes round (lesson 04)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .echo import cut_reason
from .frames import CHUNK, FanoutProtocol
from .ledger import OutboxStatistics, ledger
from .outbox import Outbox, Overflow
from .prepared import Batch, Prepared

__all__ = ["FrameOutbox"]

_last: tuple[list[Prepared], bytes] = ([], b"")


def _joined(messages: list[Prepared]) -> bytes:
    """Their frames; joined once for all who get the same messages, one after the other."""
    global _last  # noqa: PLW0603
    last, frames = _last
    if messages != last:
        frames = b"".join([message.frame for message in messages])
        _last = messages, frames
    return frames


class FrameOutbox(Outbox):
    """An outbox over `FanoutProtocol`: no task, and nothing waits here while the peer keeps up.

    A batch that comes when nothing waits, for a peer that keeps up, stays in one piece: it is the same object, and its
    frames the same bytes, for all who get it. With a thousand connections each object that is looked at is one that
    the processor's caches have lost, so this way looks at few: it delivers a quarter more than the line, up to half.
    """

    __slots__ = ("_batch", "_flusher", "_largest", "_link", "_write", "_written")

    def __init__(
        self,
        link: FanoutProtocol,
        *,
        messages: int = 256,
        size: int = 1 << 20,
        overflow: Overflow = Overflow.DISCONNECT,
        seconds: float = 10.0,
    ) -> None:
        super().__init__(messages=messages, size=size, overflow=overflow)
        self._link = link
        self._batch: Batch | None = None  # all that waits, when it came in one piece; the line is empty then
        self._write: Callable[[bytes], object] | None = None
        self._largest = min(CHUNK, self._cap_bytes)  # bytes of a batch that goes in one piece
        self._written = 0  # messages that went in one piece
        self._flusher = link.attach(self, seconds=seconds)
        if not self._ended:
            ledger.add(self)

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._waiting) if self._batch is None else len(self._batch.messages)

    @property
    def passed(self) -> int:
        """Messages that have left the line so far, sent or dropped."""
        return self._passed + self._written

    def deliver(self, message: Prepared) -> None:
        """Add a message that is ready."""
        self._unfold()
        super().deliver(message)

    def deliver_all(self, batch: Batch) -> None:
        """Add many messages at the price of one."""
        if self._write is None or self._due or len(batch.messages) > self._cap_messages or batch.size > self._largest:
            self._unfold()
            super().deliver_all(batch)
        else:
            self._due = True
            self._batch = batch
            self._flusher.add(self)

    def flush(self) -> None:
        """Send what waits, as far as the peer takes it."""
        batch, write = self._batch, self._write
        if batch is None or write is None:
            self._link.flush()
            return
        self._batch = None
        self._due = False
        self._written += len(batch.messages)
        write(batch.frames)

    def abort(self) -> None:
        """Take the connection away."""
        self._link.abort()

    def set_way(self, write: Callable[[bytes], object] | None) -> None:
        """How it may write by itself, in `flush`; or None: it has to be asked by `take_frames`."""
        self._write = None if self._ended or self._places is not None else write

    async def drained(self) -> None:
        """Wait until nothing waits: all is with the server software, or the connection is over."""
        self._unfold()
        await super().drained()

    def statistics(self) -> OutboxStatistics:
        """Count what it holds and has done."""
        seen, batch = super().statistics(), self._batch
        if batch is not None:
            seen = replace(seen, messages=len(batch.messages), size=batch.size)
        return replace(seen, sent=seen.sent + self._written)

    def take_frames(self, size: int) -> bytes:
        """Frames that wait, whole and joined: all, or as many as it takes to fill `size` bytes."""
        self._unfold()
        waiting = self._waiting
        if not waiting:
            self._due = False
            return b""
        if self._size >= size or self._places:
            waiting = self._take(self._first(size))
        else:
            self._waiting = []
            self._passed += len(waiting)
            self._size = 0
            self._tell_if_empty()
        self._sent += len(waiting)
        self._due = bool(self._waiting)
        return _joined(waiting)

    def block(self, *, blocked: bool) -> None:
        """The peer does not keep up: what waits counts; or it does again."""
        self._set_blocked(blocked=blocked and self._due)

    def lost(self) -> None:
        """The connection is over."""
        self._ended = True
        self._write = None
        self._forget()
        ledger.retire(self)

    def _wake(self) -> None:
        self._flusher.add(self)

    def _goodbye(self, code: int, reason: str) -> None:
        self._link.finish(code, cut_reason(reason))

    def _forget(self) -> None:
        self._unfold()
        super()._forget()

    def _unfold(self) -> None:
        """Let the batch wait in the line, as other messages do."""
        if self._batch is not None:
            self._waiting = list(self._batch.messages)
            self._size = self._batch.size
            self._batch = None

    def _first(self, size: int) -> int:
        """How many messages fill so many bytes."""
        total = 0
        for count, message in enumerate(self._waiting, 1):
            total += message.size
            if total >= size:
                return count
        return len(self._waiting)
