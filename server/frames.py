"""A uvicorn protocol over which an app can send ready-made frames to many connections at little cost (lesson 04).

``serve(app, ws=FanoutProtocol)``, or ``uvicorn --ws server.frames:FanoutProtocol``. It is uvicorn's own
protocol, and everything of ASGI stays as it is. In addition the scope offers the extension
``chat.frames``: ``scope["extensions"]["chat.frames"]["connection"]`` is the `FanoutProtocol`, and its
`attach` takes a `Source`. What the sources of all connections have when the loop comes round is joined
into one write for each connection: a system call costs ten times what anything else here costs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from .messages import CloseCode
from .pace import Pacer

__all__ = ["CHUNK", "EXTENSION", "FanoutProtocol", "Flusher", "Source"]

EXTENSION = "chat.frames"
HIGH_WATER = 1 << 16  # bytes that the transport holds for a peer before the source has to wait
CHUNK = 1 << 16  # bytes of frames that are handed to the transport at a time
TURN = 256  # connections that are written to before the loop does something else


class Source(Protocol):
    """Where a connection takes ready-made frames from, such as an outbox. Nothing here may wait or raise."""

    @property
    def passed(self) -> int:
        """Messages that have been taken or given up so far."""

    def __len__(self) -> int:
        """Messages that wait."""

    def flush(self) -> None:
        """Send what waits, by `FanoutProtocol.flush` or, where there is one, by the way of its own."""

    def set_way(self, write: Callable[[bytes], object] | None) -> None:
        """The connection is open and its peer keeps up: whole frames may be written; or, with None, no longer."""

    def abort(self) -> None:
        """Call `FanoutProtocol.abort`."""

    def take_frames(self, size: int) -> bytes:
        """Frames that wait, whole and joined: all, or as many as it takes to fill `size` bytes."""

    def block(self, *, blocked: bool) -> None:
        """The peer does not keep up; or it does again."""

    def end(self, code: int, reason: str) -> None:
        """The peer is too slow: give up what waits, and call `FanoutProtocol.finish`."""

    def lost(self) -> None:
        """The connection is over: give up what waits."""


class FanoutProtocol(WebSocketsSansIOProtocol):
    """The WebSocket protocol of uvicorn, with one `Source` of ready-made frames beside ASGI's `send`.

    Order is kept across both: a `send` goes after what was waiting when it was called. What a peer does
    not read stays with its source but for about 128 KiB in the transport. A connection that a peer keeps
    from being emptied is aborted after a deadline, never just closed: closing waits for the peer.
    """

    _source: Source | None = None
    _seconds = 10.0
    _stall: asyncio.TimerHandle | None = None
    _farewell: tuple[int, str] | None = None
    _finished = False
    _pong = b""
    _over: asyncio.Future[None] | None = None
    _pacer: Pacer | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue: Any = _Events()

    # for the app

    def attach(self, source: Source, *, seconds: float = 10.0) -> Flusher:
        """Send what `source` has, each time that it is added to the flusher; one for each connection.

        A peer that takes nothing for so many `seconds` is too slow, and one that has been told to go
        loses its socket after as many.

        Raises:
            RuntimeError: there is a source already.
        """
        if self._source is not None:
            raise RuntimeError(f"{self._source!r} sends over this connection; open one outbox for each connection")
        self._source, self._seconds = source, seconds
        flusher = _flushers.setdefault(self.loop, Flusher())
        self.transport.set_write_buffer_limits(HIGH_WATER)  # with TLS it would be eight times as much
        if self.disconnected:
            source.lost()
        elif not self.writable.is_set():
            self._watch()
        return flusher

    def abort(self) -> None:
        """Take the connection away: nothing more is sent, and what the transport holds is lost."""
        self.transport.abort()

    def finish(self, code: int, reason: str) -> None:
        """Say goodbye at once, behind what the transport holds already, and end the handler's `receive`.

        Before the handshake is complete, it is done right after. Harmless on a connection that is over.
        """
        if self.conn.state is State.CONNECTING:
            self._farewell = (code, reason)
        if self.conn.state is not State.OPEN or self.transport.is_closing():
            return
        self._bar()
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = self._finished = True
        self.close_timer = self.loop.call_later(self._seconds, self.transport.abort)
        self._tell(code, reason)

    def pace(self, bytes_per_second: int | None) -> None:
        """Take no more than so many bytes a second from the source, as if the peer read no faster; None: all it reads.

        What the source has beyond that waits there, and counts as with any peer that is slow: in the end it is closed
        with 4008. ASGI's `send` goes after it, as ever; pongs go at once, for to be slow is not to be dead.
        """
        was_full = not self.writable.is_set()
        if self._pacer is not None:
            was_full = self._pacer.is_full
            self._pacer.stop()
            self._pacer = None
        if self.disconnected:
            return
        if bytes_per_second is not None:
            self._bar()
            self.writable.clear()
            self._pacer = Pacer(self.loop, self._step, rate=bytes_per_second)
            self._pacer.is_full = was_full
        elif not was_full:
            self.resume_writing()

    @property
    def over(self) -> asyncio.Future[None]:
        """Done when the connection has ended: for a handler that cannot `receive` just now. Do not cancel it."""
        if self._over is None:
            self._over = self.loop.create_future()
            if self.disconnected or self.close_sent:
                self._over.set_result(None)
        return self._over

    # frames that are ready

    def flush(self) -> None:
        """Write what the source has, as far as the peer takes it."""
        source = self._source
        state = self.conn.state
        if source is None or state is State.CONNECTING:
            return
        if state is not State.OPEN or self.transport.is_closing():
            source.lost()
            return
        while self.writable.is_set():
            data = source.take_frames(CHUNK)
            if data:
                self.transport.write(data)
            if len(data) < CHUNK:  # that was all
                if self.writable.is_set():
                    source.set_way(self.transport.write)
                return
        source.block(blocked=True)

    def _bar(self) -> None:
        """From here on the source has to ask: frames may not go out any more, or not yet."""
        if self._source is not None:
            self._source.set_way(None)

    async def send(self, message: Any) -> None:
        """ASGI's `send`: after the frames that wait already.

        Raises:
            ClientDisconnected: the connection is over, also when it was `finish` that ended it: the handler cannot
                know yet, and has done nothing wrong.
        """
        if self._source is not None and len(self._source):
            await self._flush_all(self._source)
        if self._finished:
            raise ClientDisconnected
        if message["type"] != "websocket.send":
            self._bar()  # no frame goes after a close frame
        await super().send(message)
        if message["type"] == "websocket.accept":
            del self.request, self.response  # two kilobytes; the scope has what an app needs
            self.flush()
            if self._farewell is not None:
                self.finish(*self._farewell)
        elif message["type"] == "websocket.close" and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    async def _flush_all(self, source: Source) -> None:
        last = source.passed + len(source)  # what comes while this waits goes after the message
        self.flush()
        while source.passed < last and self.conn.state is State.OPEN:
            await self.writable.wait()
            self.flush()

    def pause_writing(self) -> None:
        """The transport is full: the source waits, and the peer's time runs."""
        super().pause_writing()
        self._bar()
        if self._pacer is not None:
            self._pacer.is_full = True
        if self._source is not None and self._stall is None:
            self._watch()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._stop_watching()
        if self._pacer is not None:
            self._pacer.is_full = False
            return
        super().resume_writing()
        if self._pong:
            self.transport.write(self._pong)
            self._pong = b""
        if self._source is not None:
            self._source.block(blocked=False)
            _flushers[self.loop].add(self._source)

    def _step(self, size: int) -> int:
        """Take so many bytes from the source, or the few more that make a message whole; how many."""
        if self._pacer is None or self._pacer.is_full:
            return 0
        self.writable.set()  # whoever waits in `send` goes on, and finds it clear the next time
        self.writable.clear()
        if self._source is None or self.conn.state is not State.OPEN or self.transport.is_closing():
            return 0
        data = self._source.take_frames(size) if size else b""
        if data or self._pong:
            self.transport.write(self._pong + data)
            self._pong = b""
        return len(data)

    def _watch(self) -> None:
        buffered = self.transport.get_write_buffer_size()
        self._stall = self.loop.call_later(self._seconds, self._check, buffered)

    def _check(self, before: int) -> None:
        self._stall = None
        if self._source is None or self.conn.state is not State.OPEN:
            return
        if self.transport.get_write_buffer_size() < before:
            self._watch()
        else:
            self._source.end(CloseCode.TOO_SLOW, f"nothing was read for {self._seconds:g} s")

    def _stop_watching(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    # what uvicorn does, where a peer that does not read would keep it from being done

    async def run_asgi(self) -> None:
        """Run the app with the extension in its scope."""
        extensions: dict[str, Any] = self.scope["extensions"]
        extensions[EXTENSION] = {"connection": self}
        try:
            await super().run_asgi()
        finally:
            extensions.pop(EXTENSION, None)  # a cycle
            if self.close_timer is None:
                self._abort_later()

    def handle_ping(self) -> None:
        """Answer; to a peer that does not read only its last ping, as RFC 6455 section 5.5.3 allows."""
        if self.close_sent:
            self.conn.data_to_send()  # nothing goes after our close frame
        elif self.writable.is_set() or self.conn.state is not State.OPEN:
            super().handle_ping()
        elif output := self.conn.data_to_send():
            self._pong = output[-1]

    def keepalive_timeout(self) -> None:
        """Take a dead peer's connection away at once: nobody would read what is buffered for it."""
        if self.close_sent or self.transport.is_closing():
            return
        if self.read_paused:
            # the pong may have come and lie unread, because the handler has not asked for more yet
            self.pong_timer = self.loop.call_later(self.ping_timeout or 20.0, self.keepalive_timeout)
            return
        self._bar()
        super().keepalive_timeout()
        if self.conn.close_sent is not None:
            self._tell(self.conn.close_sent.code, self.conn.close_sent.reason)
        with suppress(AttributeError):
            if self.transport.get_write_buffer_size():
                self.transport.abort()

    def shutdown(self) -> None:
        """Say 1012 and close; whoever does not take it loses its socket after a deadline."""
        self.flush()
        self._bar()
        if self.handshake_complete and self.conn.state is not State.OPEN:
            self.close_sent = True  # or uvicorn would fail on a second close frame
        super().shutdown()
        self._abort_later()

    def data_received(self, data: bytes) -> None:
        """Take what the peer sends; after a close frame or an error it gets nothing more."""
        super().data_received(data)
        if self.conn.state is not State.OPEN:
            self._bar()

    def eof_received(self) -> None:
        """Let asyncio close; a peer that is done but does not read loses its socket after a deadline."""
        self._abort_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        super().connection_lost(exc)
        self._stop_watching()
        if self._pacer is not None:
            self._pacer.stop()
            self._pacer = None
        if self._over is not None and not self._over.done():
            self._over.set_result(None)
        if self._source is not None:
            self._source.lost()
            self._source = None

    def _tell(self, code: int, reason: str) -> None:
        """Let the handler know before anything that came earlier: it would be answered in vain."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def _abort_later(self) -> None:
        # asyncio's TLS transport has lost everything when it is closed twice, and has a deadline of its own
        with suppress(AttributeError):
            if self.transport.get_write_buffer_size():
                self.loop.call_later(self._seconds, self.transport.abort)


class _Events:
    """What `receive` returns next: an `asyncio.Queue` costs ten percent of a connection, mostly for being empty."""

    __slots__ = ("_events", "_news")

    def __init__(self) -> None:
        self._events: deque[Any] | None = None
        self._news: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        return not self._events

    def put_nowait(self, event: Any) -> None:
        if self._events is None:
            self._events = deque()
        self._events.append(event)
        if self._news is not None:
            self._news.set_result(None)
            self._news = None

    def get_nowait(self) -> Any:
        assert self._events
        event = self._events.popleft()
        if not self._events:
            self._events = None
        return event

    async def get(self) -> Any:
        while not self._events:
            if self._news is None:
                self._news = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._news)  # whoever is cancelled leaves it to the others that wait
        return self.get_nowait()


class Flusher:
    """Has all sources of one loop that were added flush, once each time the loop comes round."""

    def __init__(self) -> None:
        self._due: list[Source] = []
        self._scheduled = False

    def add(self, source: Source) -> None:
        """The source has something to send; what it gets until the loop comes round goes with it."""
        self._due.append(source)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        turn, self._due = self._due[:TURN], self._due[TURN:]
        for source in turn:
            try:
                source.flush()
            except Exception:
                # it must not stop the others; a connection that cannot be written to is over
                logging.getLogger("uvicorn.error").exception("a connection failed to send frames")
                source.abort()
        self._scheduled = bool(self._due)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._flush)


_flushers: WeakKeyDictionary[asyncio.AbstractEventLoop, Flusher] = WeakKeyDictionary()
