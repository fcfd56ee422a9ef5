"""The portable outbox, over any ASGI server: a send is begun at once, and finished by a task only if it has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, NoReturn

from fastapi import WebSocketDisconnect, WebSocketException

from ...messages.close_codes import CloseCode
from ..eager import Suspended, begin
from ..flusher import Flusher, flusher_of
from .outbox import Outbox, Overflow, TextSender
from .statistics import registry

__all__ = ["PortableOutbox"]

PASSES = 8  # of the loop for which a send may wait before the peer is slow: a lock or a log makes it wait for one
PATIENCE = 0.1  # seconds for the same under a server that lets every send wait; a busy thread costs one 5 ms


class PortableOutbox(Outbox):
    """An outbox over any ASGI server; its `writer` runs beside the connection's reader.

    What is queued is sent in the next pass of the loop, one message after the other, as far as the server takes it
    without waiting. If a send has to wait, the writer finishes it and what is queued after it. Each send runs in the
    task and the context of the writer, so that middleware sees those of the connection.
    """

    __slots__ = (
        "_always_waits",
        "_context",
        "_deadline",
        "_flusher",
        "_reason",
        "_sender",
        "_suspended",
        "_timer",
        "_wake",
        "_writer",
    )

    def __init__(self, *, messages: int = 256, size: int = 1 << 20, overflow: Overflow = Overflow.DISCONNECT) -> None:
        """Bound the outbox by a number of messages and by a number of bytes, as UTF-8."""
        super().__init__(messages=messages, size=size, overflow=overflow)
        self._always_waits = False  # even the first send had to wait, as with every send under Granian
        self._timer: asyncio.TimerHandle | None = None  # looks for progress
        self._deadline: asyncio.TimerHandle | None = None  # of a peer that is slow
        self._context = copy_context()  # of the writer, as soon as it runs
        self._flusher: Flusher | None = None  # of the writer's loop, while it runs
        self._reason: WebSocketException | WebSocketDisconnect | None = None
        self._sender: TextSender | None = None
        self._suspended: Suspended | None = None  # a `_send_queued` that the writer has to finish
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[Any] | None = None

    @property
    def writer(self) -> Callable[[TextSender], Awaitable[None]]:
        """Return what finishes the sends that have to wait, until `end`; pass it to `converse` as `writer`."""
        return self._write

    def flush(self) -> None:
        """Send what is queued, as far as the server takes it without waiting."""
        sender, writer = self._sender, self._writer
        if self._ended or sender is None or writer is None or self._suspended is not None:
            return
        try:
            self._suspended = begin(self._send_queued(sender), writer, self._context)
        except WebSocketDisconnect as gone:
            self._stop(gone)
            return
        if self._suspended is None:
            self._sending = False
        else:
            self._wake.set()
            self._watch_send()

    def abort(self) -> None:
        """End the conversation: a send has failed in a way that nobody expected."""
        self._stop(WebSocketException(CloseCode.INTERNAL_ERROR, "a message could not be sent"))

    async def _send_queued(self, sender: TextSender) -> None:
        queue, send = self._queue, sender.send_without_deadline
        while len(queue):
            await send(queue.pop().text)
            self._sent += 1
            if queue.blocked:
                self._set_slow(slow=False)
                self._watch_send()

    def _start_sending(self) -> None:
        if self._flusher is not None and self._suspended is None:
            self._flusher.add(self)

    def _close(self, code: int, reason: str) -> None:
        self._stop(WebSocketException(code, reason))

    def _stop(self, reason: WebSocketException | WebSocketDisconnect) -> None:
        self._ended = True
        self._queue.clear()
        if self._reason is None:
            self._reason = reason
            if self._writer is not None:
                self._writer.cancel()

    # is the peer slow?

    def _watch_send(self) -> None:
        """Find out whether the peer is slow, or whether this server lets every send wait."""
        if not self._sent:
            self._always_waits = True
        if not self._always_waits:
            self._check_progress(self._sent, PASSES)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._check_later, self._sent)

    def _check_later(self, sent: int) -> None:
        """Do the same for a server that lets every send wait; look again later if there was progress."""
        self._timer = None
        if self._suspended is not None:
            if self._sent == sent:
                self._check_progress(sent, 0)
            else:
                self._watch_send()

    def _check_progress(self, sent: int, passes: int) -> None:
        """Let the bounds of the queue hold if the same send has waited for so many passes of the loop."""
        if self._suspended is None:
            return
        if self._sent != sent:
            self._watch_send()  # the next send may wait longer
        elif passes:
            asyncio.get_running_loop().call_soon(self._check_progress, sent, passes - 1)
        else:
            self._set_slow(slow=True)
            self._queued(fits=self._queue.apply_bounds())

    def _set_slow(self, *, slow: bool) -> None:
        """Let the bounds of the queue hold, and the deadline of the peer run, as long as it is slow."""
        self._queue.set_blocked(blocked=slow)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        seconds = None if self._sender is None else self._sender.send_timeout
        if slow and seconds is not None:
            reason = f"nothing was read for {seconds:g} s"
            self._deadline = asyncio.get_running_loop().call_later(seconds, self.end, CloseCode.TOO_SLOW, reason)

    # the writer

    async def _write(self, sender: TextSender) -> None:
        if self._reason is not None:
            raise self._reason
        self._writer, self._context = asyncio.current_task(), copy_context()
        self._sender, self._flusher = sender, flusher_of(asyncio.get_running_loop())
        registry.add(self)
        try:
            await self._finish_all()
        except asyncio.CancelledError:
            # like asyncio.timeout: our own cancel becomes the close frame, unless somebody else has cancelled too
            if self._reason is not None and self._writer is not None and not self._writer.uncancel():
                raise self._reason from None
            raise
        finally:
            self._ended = True
            self._writer = self._sender = self._flusher = None
            for timer in (self._timer, self._deadline):
                if timer is not None:
                    timer.cancel()
            self._queue.clear()
            registry.discard(self)

    async def _finish_all(self) -> NoReturn:
        self.flush()
        while True:
            try:
                await self._wake.wait()
            except asyncio.CancelledError as cancelled:
                if self._suspended is None:
                    raise
                self._suspended.cancel(cancelled)  # it comes to the send that the writer was about to finish
            self._wake.clear()
            if self._suspended is not None:
                await self._suspended
                self._suspended = None
                self._sending = False
                if self._reason is not None:  # the send has survived the cancellation
                    raise self._reason
