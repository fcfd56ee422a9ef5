"""An HTTP protocol for uvicorn that waits for no client forever: ``serve(app, http=DeadlineHttpProtocol)``.

uvicorn has a deadline between two requests (``timeout_keep_alive``) but none for a request. A client that sends a byte
now and then, or nothing, keeps its socket forever, and no limit of the app counts it. Here a request has to be complete
within the same deadline, and so has the response to be read.

The scope of a request has the extension ``chat.http``: ``scope["extensions"]["chat.http"]["connection"]`` is the
protocol, with its `transport` and whether the server `is_stopping`.
"""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

__all__ = ["EXTENSION", "MOST_AHEAD", "MOST_WAITING", "DeadlineHttpProtocol"]

EXTENSION = "chat.http"

MOST_WAITING = 1_000  # connections of a process that may be without a complete request at the same time
LEAST_SECONDS = 1.0  # that each of them has: if thousands reconnect at once, their requests have come but are not read
MOST_AHEAD = 65_536  # bytes of requests that a client may send before it has the response to the first


class DeadlineHttpProtocol(H11Protocol):
    """uvicorn's own protocol, with a deadline of ``timeout_keep_alive`` seconds for each request and each response.

    If a request is not complete by then, or a response is not read, the connection is aborted. If more than
    `MOST_WAITING` connections are without a complete request, the oldest are aborted after `LEAST_SECONDS`: an attacker
    can open more of them than there are descriptors, and an honest client needs only a moment.
    """

    is_stopping = False
    """Whether the server has begun to stop."""
    _deadline: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _answered: object = None  # the request that was answered before its whole body had arrived
    _surplus = 0  # bytes of that body that have arrived since

    def connection_made(self, transport: Any) -> None:
        """Start the deadline of the first request."""
        super().connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel every timer."""
        super().connection_lost(exc)
        self._cancel_deadline()
        self._cancel_stall()

    def eof_received(self) -> None:
        """Let asyncio close; abort after a deadline if the peer does not read what is buffered."""
        self._abort_later()

    def data_received(self, data: bytes) -> None:
        """Parse a piece of a request; abort if a client sends many more before the first is answered.

        uvicorn pauses reading then, but resumes it with each `receive` of the app, and would keep everything.
        """
        super().data_received(data)
        self._set_deadline()
        if self.cycle is self._answered and self.conn.their_state is h11.SEND_BODY:
            self._surplus += len(data)
            if self._surplus > MOST_AHEAD:  # it was refused, and still comes
                self.transport.abort()
        if self.conn.their_state is h11.DONE and len(self.conn.trailing_data[0]) > MOST_AHEAD:
            self.transport.abort()

    def handle_events(self) -> None:
        """Start the app for a request that has arrived, with the extension in its scope."""
        super().handle_events()
        if self.cycle is not None:
            self.cycle.scope.setdefault("extensions", {})[EXTENSION] = {"connection": self}

    def shutdown(self) -> None:
        """Close, or let the app finish its response."""
        self.is_stopping = True
        super().shutdown()

    def on_response_complete(self) -> None:
        """Start the deadline of the next request, or that for reading the response."""
        if self.conn.their_state is h11.SEND_BODY:
            self._answered, self._surplus = self.cycle, 0
        super().on_response_complete()
        self._set_deadline()
        if self.transport.is_closing():
            self._abort_later()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Pass the connection to the WebSocket protocol; answer 400 to a handshake that can't be parsed.

        websockets gives up silently on a handshake with a body, or with too many or too long lines, and uvicorn would
        leave the socket open.
        """
        self._cancel_deadline()
        super().handle_websocket_upgrade(event)
        protocol = self.transport.get_protocol()
        if not getattr(protocol, "handshake_initiated", True):
            self.send_400_response("Invalid WebSocket handshake.")

    def send_400_response(self, msg: str) -> None:
        """Answer and close, even if the peer does not read it."""
        super().send_400_response(msg)
        self._abort_later()

    def timeout_keep_alive_handler(self) -> None:
        """Close; abort if the last response is not read yet."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        """Start the deadline for reading the response, because the transport is full."""
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def resume_writing(self) -> None:
        """Cancel that deadline: the peer reads again."""
        super().resume_writing()
        self._cancel_stall()

    def _set_deadline(self) -> None:
        """Start the deadline if a part of a request is missing, and cancel it if nothing is."""
        is_http = self.transport.get_protocol() is self  # until the upgrade
        if not is_http or self.transport.is_closing() or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._cancel_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)
            waiting = _waiting.setdefault(self.server_state, {})
            waiting[self] = now = self.loop.time()
            while len(waiting) > MOST_WAITING and waiting[oldest := next(iter(waiting))] < now - LEAST_SECONDS:
                oldest._cancel_deadline()
                oldest.transport.abort()

    def _cancel_deadline(self) -> None:
        """Cancel the deadline, because a request is complete or the connection ends."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            _waiting.get(self.server_state, {}).pop(self, None)

    def _cancel_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _abort_later(self) -> None:
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self.loop.call_later(self.timeout_keep_alive, self.transport.abort)


_waiting: WeakKeyDictionary[ServerState, dict[DeadlineHttpProtocol, float]] = WeakKeyDictionary()
"""The connections of each server without a complete request, and since when; the oldest first."""
