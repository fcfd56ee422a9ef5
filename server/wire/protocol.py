"""A uvicorn protocol over which an app can send ready-made frames to many connections at little cost (lesson 04).

``serve(app, ws=FanoutProtocol)``, or ``uvicorn --ws server.wire.protocol:FanoutProtocol``. It is uvicorn's own
protocol, and ASGI works as always. In addition, the scope has the extension ``chat.frames``:
``scope["extensions"]["chat.frames"]["connection"]`` is the `FanoutProtocol`, whose `attach` takes a `FrameSource`.
Once per pass of the event loop, everything in the source of a connection is joined into one write, because a system
call costs ten times as much as anything else here.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from ..messages.close_codes import CloseCode
from .flusher import Flusher, FrameSource, flusher_of
from .light_protocol import LightProtocol
from .send_state import SendState
from .stall_timer import StallTimer

__all__ = ["EXTENSION", "WRITE_SIZE", "FanoutProtocol"]

EXTENSION = "chat.frames"
HIGH_WATER = 1 << 16  # bytes that the transport holds for a peer before the source has to wait
WRITE_SIZE = 1 << 16  # bytes of frames that are handed to the transport at a time


class FanoutProtocol(LightProtocol):
    """uvicorn's WebSocket protocol, with one `FrameSource` beside ASGI's `send`.

    Order is kept across both: a `send` goes after what was queued when it was called. What a peer does not read stays
    in its source, except about 128 KiB in the transport. A connection that can't be emptied, because its peer does not
    read, is aborted after a deadline. Closing it would wait for the peer.
    """

    send_state = SendState.HANDSHAKE
    """What may be sent now; changed only by `_enter`."""
    source: FrameSource | None = None
    """Where frames come from, until the connection is lost."""
    _seconds = 10.0
    _stall_timer: StallTimer | None = None
    _close_after_accept: tuple[int, str] | None = None
    _unsent_pong = b""
    _closed: asyncio.Future[None] | None = None

    # for the app

    def attach(self, source: FrameSource, *, seconds: float = 10.0) -> Flusher:
        """Send what `source` has, each time it is added to the returned flusher. A connection has one source.

        If a peer reads nothing for `seconds`, `FrameSource.end` is called. After a close frame, the peer has as many
        seconds to read it until the connection is aborted.

        Raises:
            RuntimeError: there is a source already.
        """
        if self.source is not None:
            raise RuntimeError(f"{self.source!r} sends over this connection; open one outbox for each connection")
        self.source, self._seconds = source, seconds
        self.transport.set_write_buffer_limits(HIGH_WATER)  # with TLS it would be eight times as much
        if self.send_state is SendState.OPEN:
            source.set_writer(self.transport.write)
        if self.disconnected:
            source.connection_lost()
        elif not self.writable.is_set():
            self._start_stall_timer()
        return flusher_of(self.loop)

    def abort(self) -> None:
        """Abort the connection: send nothing more, and lose what the transport holds."""
        self.transport.abort()

    def close_now(self, code: int, reason: str) -> None:
        """Send a close frame after what the transport holds, and let the handler receive the disconnect.

        If the handshake is not complete, do so right after it. Do nothing if the connection is closing.
        """
        if self.conn.state is State.CONNECTING:
            self._close_after_accept = (code, reason)
        if self.conn.state is not State.OPEN or self.transport.is_closing():
            return
        self._enter(SendState.CLOSED_BY_OUTBOX)
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.close_timer = self.loop.call_later(self._seconds, self.transport.abort)
        self._receive_disconnect(code, reason)

    @property
    def is_stalled(self) -> bool:
        """Whether the peer does not keep up, so that the deadline for reading something runs."""
        return self._stall_timer is not None and self._stall_timer.is_running

    @property
    def closed(self) -> asyncio.Future[None]:
        """Return a future that is done when the connection has ended, for a handler that can't `receive` now.

        Don't cancel it.
        """
        if self._closed is None:
            self._closed = self.loop.create_future()
            if self.disconnected or self.close_sent:
                self._closed.set_result(None)
        return self._closed

    # frames that are ready

    def flush(self) -> None:
        """Write what the source has, as far as the peer takes it."""
        source = self.source
        if source is None or self.send_state is SendState.HANDSHAKE:
            return
        if self.send_state.is_end or self.transport.is_closing():
            source.connection_lost()
            return
        while self.writable.is_set():
            data = source.take_frames(WRITE_SIZE)
            if data:
                self.transport.write(data)
            if len(data) < WRITE_SIZE:  # that was all
                return
        source.set_blocked(blocked=True)

    def _enter(self, state: SendState) -> None:
        """Change the state if it may follow the present one, and tell the source whether it may write."""
        if not self.send_state.allows(state):
            return
        self.send_state = state
        if self.source is not None:
            self.source.set_writer(self.transport.write if state is SendState.OPEN else None)

    async def send(self, message: Any) -> None:
        """Send as ASGI says, after the frames that are queued already.

        Raises:
            ClientDisconnected: the connection has ended, which includes `close_now`, even if the handler doesn't know
                of it yet.
        """
        if self.source is not None and len(self.source):
            await self._flush_all(self.source)
        if self.send_state is SendState.CLOSED_BY_OUTBOX:
            raise ClientDisconnected
        if self.handshake_complete and message["type"] != "websocket.send":
            self._enter(SendState.CLOSING)  # no frame goes after a close frame
        await super().send(message)
        if message["type"] == "websocket.accept":
            self._accepted()
        elif message["type"] == "websocket.close" and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    def _accepted(self) -> None:
        self.release_handshake()
        if self.conn.state is State.OPEN:
            self._enter(SendState.OPEN if self.writable.is_set() else SendState.PAUSED)
        self.flush()
        if self._close_after_accept is not None:
            self.close_now(*self._close_after_accept)

    async def _flush_all(self, source: FrameSource) -> None:
        last = source.dequeued + len(source)  # what is queued while this waits goes after the message
        self.flush()
        while source.dequeued < last and self.conn.state is State.OPEN:
            await self.writable.wait()
            self.flush()

    def pause_writing(self) -> None:
        """Let the source wait: the transport is full."""
        super().pause_writing()
        self._enter(SendState.PAUSED)
        if self.source is not None:
            self._start_stall_timer()

    def resume_writing(self) -> None:
        """Let the source go on: the peer reads again."""
        self._cancel_stall_timer()
        super().resume_writing()
        self._write_pong()
        self._enter(SendState.OPEN)
        if self.source is not None:
            self.source.set_blocked(blocked=False)
            flusher_of(self.loop).add(self.source)

    def _start_stall_timer(self) -> None:
        if self._stall_timer is None:
            self._stall_timer = StallTimer(self.transport, seconds=self._seconds, on_stall=self._end_source)
        self._stall_timer.start()

    def _cancel_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()

    def _end_source(self) -> None:
        if self.source is not None and self.conn.state is State.OPEN:
            self.source.end(CloseCode.TOO_SLOW, f"nothing was read for {self._seconds:g} s")

    # uvicorn's own methods, so that they work for a peer that does not read

    def handle_connect(self, event: Request) -> None:
        """Start the app with the extension in its scope."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[EXTENSION] = {"connection": self}

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Remove the extension, which is a reference cycle; abort the connection if the peer reads nothing more."""
        super().on_task_complete(task)
        extensions: dict[str, Any] = self.scope["extensions"]
        extensions.pop(EXTENSION, None)
        if self.close_timer is None:
            self._abort_later()

    def handle_ping(self) -> None:
        """Answer a ping; while the peer does not read, only its last one, as RFC 6455 section 5.5.3 allows."""
        if self.close_sent:
            self.conn.data_to_send()  # nothing goes after our close frame
        elif self.writable.is_set() or self.conn.state is not State.OPEN:
            super().handle_ping()
        elif output := self.conn.data_to_send():
            self._unsent_pong = output[-1]

    def _write_pong(self) -> None:
        if self._unsent_pong:
            self.transport.write(self._unsent_pong)
            self._unsent_pong = b""

    def keepalive_timeout(self) -> None:
        """Abort the connection of a dead peer at once, because nobody would read what is buffered."""
        if self.close_sent or self.transport.is_closing():
            return
        if self.read_paused:
            # the pong may have come and lie unread, because the handler has not asked for more yet
            self.pong_timer = self.loop.call_later(self.ping_timeout or 20.0, self.keepalive_timeout)
            return
        self._enter(SendState.CLOSING)
        super().keepalive_timeout()
        if self.conn.close_sent is not None:
            self._receive_disconnect(self.conn.close_sent.code, self.conn.close_sent.reason)
        with suppress(AttributeError):
            if self.transport.get_write_buffer_size():
                self.transport.abort()

    def shutdown(self) -> None:
        """Send 1012 and close; abort after a deadline if the peer does not take it."""
        self.flush()
        self._enter(SendState.CLOSING)
        if self.handshake_complete and self.conn.state is not State.OPEN:
            self.close_sent = True  # or uvicorn would fail on a second close frame
        super().shutdown()
        self._abort_later()

    def handle_close(self, event: Frame) -> None:
        """Send the peer nothing more after its close frame."""
        super().handle_close(event)
        self._enter(SendState.CLOSING)

    def handle_parser_exception(self) -> None:
        """Send the peer nothing more after an error."""
        super().handle_parser_exception()
        self._enter(SendState.CLOSING)

    def eof_received(self) -> None:
        """Let asyncio close; abort after a deadline if the peer does not read what is buffered."""
        self._abort_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everything."""
        super().connection_lost(exc)
        self._enter(SendState.LOST)
        self._cancel_stall_timer()
        self._stall_timer = None
        self._set_closed()
        if self.source is not None:
            self.source.connection_lost()
            self.source = None

    def _receive_disconnect(self, code: int, reason: str) -> None:
        """Let the handler receive the disconnect next, because answers to earlier messages can't be sent any more."""
        self.queue.clear()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self._set_closed()

    def _set_closed(self) -> None:
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    def _abort_later(self) -> None:
        # asyncio's TLS transport loses everything if it is closed twice, and has its own deadline
        with suppress(AttributeError):
            if self.transport.get_write_buffer_size():
                self.loop.call_later(self._seconds, self.transport.abort)
