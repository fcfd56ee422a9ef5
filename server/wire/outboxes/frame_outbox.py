"""The fast outbox: whole frames, written to uvicorn's transport once per pass of the event loop (lesson 04)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ...messages.close_codes import cut_reason
from ..prepared import Batch, Prepared
from ..protocol import WRITE_SIZE, FanoutProtocol
from .outbox import Outbox, Overflow
from .statistics import OutboxStatistics, registry

__all__ = ["FrameOutbox"]

_last: tuple[list[Prepared], bytes] = ([], b"")


def _joined(messages: list[Prepared]) -> bytes:
    """Return the frames of `messages`; join them once for all outboxes that send the same, one after the other."""
    global _last  # noqa: PLW0603
    last, frames = _last
    if messages != last:
        frames = b"".join([message.frame for message in messages])
        _last = messages, frames
    return frames


class FrameOutbox(Outbox):
    """An outbox over `FanoutProtocol`: no task, and nothing is queued while the peer keeps up.

    A batch for a peer that keeps up, with nothing queued before it, stays in one piece until it is written: it is the
    same object, and its frames are the same bytes, for all who get it. With a thousand connections every object that
    is touched is one that the processor's caches have lost, so this path touches few: it delivers a quarter to a
    half more than the queue does.
    """

    __slots__ = ("_batch", "_batched", "_flusher", "_largest", "_most", "_protocol", "_write")

    def __init__(
        self,
        protocol: FanoutProtocol,
        *,
        messages: int = 256,
        size: int = 1 << 20,
        overflow: Overflow = Overflow.DISCONNECT,
        seconds: float = 10.0,
    ) -> None:
        """Attach an outbox to a connection; see `FanoutProtocol.attach` for `seconds`."""
        super().__init__(messages=messages, size=size, overflow=overflow)
        self._protocol = protocol
        self._batch: Batch | None = None  # all that waits, if it came in one piece; the queue is empty then
        self._batched = 0  # messages that were written as part of a batch
        self._write: Callable[[bytes], object] | None = None
        self._most = self._queue.max_messages
        self._largest = min(WRITE_SIZE, self._queue.max_bytes)  # bytes of frames that may stay in one piece
        self._flusher = protocol.attach(self, seconds=seconds)
        if not self._ended:
            registry.add(self)

    def __len__(self) -> int:
        """Return how many messages are queued."""
        return len(self._queue) if self._batch is None else len(self._batch.messages)

    @property
    def dequeued(self) -> int:
        """Return how many messages have left the queue so far, sent or dropped."""
        return self._queue.dequeued + self._batched

    def send_nowait(self, message: str | Prepared) -> None:
        """Queue a message."""
        self._split_batch()
        super().send_nowait(message)

    def send_many_nowait(self, batch: Batch) -> None:
        """Queue many messages at the price of one."""
        if (
            self._write is None
            or self._sending
            or len(batch.messages) > self._most
            or len(batch.frames) > self._largest
        ):
            self._split_batch()
            super().send_many_nowait(batch)
        else:
            self._sending = True
            self._batch = batch
            self._flusher.add(self)

    async def drained(self) -> None:
        """Wait until nothing is queued: all is with the transport, or the connection is over."""
        self._split_batch()
        await super().drained()

    def statistics(self) -> OutboxStatistics:
        """Return what the outbox holds and has done."""
        seen, batch = super().statistics(), self._batch
        if batch is not None:
            seen = replace(seen, messages=len(batch.messages), size=batch.size)
        return replace(seen, sent=seen.sent + self._batched)

    def end(self, code: int, reason: str) -> None:
        """Close the connection with this code and reason; drop what is queued."""
        self._split_batch()
        super().end(code, reason)

    # what the protocol asks of its source of frames

    def flush(self) -> None:
        """Send what is queued, as far as the peer takes it."""
        batch, write = self._batch, self._write
        if batch is None or write is None:
            self._protocol.flush()
            return
        self._batch = None
        self._sending = False
        self._batched += len(batch.messages)
        write(batch.frames)

    def abort(self) -> None:
        """Abort the connection."""
        self._protocol.abort()

    def set_writer(self, write: Callable[[bytes], object] | None) -> None:
        """Write through `write` from now on; or, with None, wait for `take_frames`."""
        self._write = None if self._ended or self._queue.replaces else write

    def take_frames(self, size: int) -> bytes:
        """Return queued frames, whole and joined: all, or as many as it takes to fill `size` bytes."""
        self._split_batch()
        taken = self._queue.take_bytes(size)
        self._sent += len(taken)
        self._sending = bool(len(self._queue))
        return _joined(taken) if taken else b""

    def set_blocked(self, *, blocked: bool) -> None:
        """Let the bounds of the queue hold while the peer does not keep up."""
        self._queue.set_blocked(blocked=blocked and len(self) > 0)

    def connection_lost(self) -> None:
        """Drop what is queued: the connection is over."""
        self._split_batch()
        self._ended = True
        self._write = None
        self._queue.clear()
        registry.discard(self)

    def _start_sending(self) -> None:
        self._flusher.add(self)

    def _close(self, code: int, reason: str) -> None:
        self._protocol.close_now(code, cut_reason(reason))

    def _split_batch(self) -> None:
        """Move the messages of a batch into the queue, where others can be added."""
        if self._batch is not None:
            self._queue.put_back(self._batch)
            self._batch = None
