"""An HTTP protocol for uvicorn that waits for nobody for ever: ``serve(app, http=Doorman)``.

uvicorn gives a connection time between two requests (``timeout_keep_alive``) and none for a request: one that sends
a byte now and then, or nothing, keeps its socket for good, and no limit of the app counts it. Here a request has to
be complete in that time as well, and its answer has to be taken in that time.
"""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

__all__ = ["MOST_AHEAD", "MOST_WAITING", "Doorman"]

MOST_WAITING = 1_000  # connections of a process that may be without a complete request at a time
LEAST_SECONDS = 1.0  # that everybody has: when thousands come back at once, their requests are here, but not yet read
MOST_AHEAD = 65_536  # bytes of requests that a client may send before it has the answer to the first


class Doorman(H11Protocol):
    """uvicorn's own protocol, with a deadline of ``timeout_keep_alive`` seconds for each thing that a client does.

    A request that is not complete by then, or an answer that is not read, costs the connection. So does being the
    oldest of more than `MOST_WAITING` connections without a complete request for `LEAST_SECONDS`: an attacker can open
    more of them than there are descriptors, and an honest client needs a moment only.
    """

    _deadline: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _answered: object = None  # the request that was answered before all of its body had come
    _surplus = 0  # bytes of that body that have come since

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        self._stop_waiting()
        self._stop_stall()

    def eof_received(self) -> None:
        """Let asyncio close; a peer that is done but does not read loses its socket after a deadline."""
        self._abort_later()

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request; whoever sends many more before the first is answered has to go.

        uvicorn stops reading then, but begins again with each `receive` of the app, and would keep it all.
        """
        super().data_received(data)
        self._look()
        if self.cycle is self._answered and self.conn.their_state is h11.SEND_BODY:
            self._surplus += len(data)
            if self._surplus > MOST_AHEAD:  # it has been refused, and goes on
                self.transport.abort()
        if self.conn.their_state is h11.DONE and len(self.conn.trailing_data[0]) > MOST_AHEAD:
            self.transport.abort()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, or for the answer to be read."""
        if self.conn.their_state is h11.SEND_BODY:
            self._answered, self._surplus = self.cycle, 0
        super().on_response_complete()
        self._look()
        self._abort_later()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over, and answer 400 to a handshake that cannot be read.

        The library below gives up silently on one with a body, or with more or longer lines than it takes, and
        uvicorn would leave its socket open.
        """
        self._stop_waiting()
        super().handle_websocket_upgrade(event)
        protocol = self.transport.get_protocol()
        if not getattr(protocol, "handshake_initiated", True):
            self.send_400_response("Invalid WebSocket handshake.")

    def send_400_response(self, msg: str) -> None:
        """Answer and close, though nobody may read it."""
        super().send_400_response(msg)
        self._abort_later()

    def timeout_keep_alive_handler(self) -> None:
        """Close; at once where the last answer has still not been read."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        """The answer does not fit: its reader's time runs."""
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def resume_writing(self) -> None:
        """The reader has caught up."""
        super().resume_writing()
        self._stop_stall()

    def _look(self) -> None:
        """Start the deadline where something of a request is missing, and call it off where nothing is."""
        is_mine = self.transport.get_protocol() is self  # until it is upgraded
        if not is_mine or self.transport.is_closing() or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_waiting()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)
            waiting = _waiting.setdefault(self.server_state, {})
            waiting[self] = now = self.loop.time()
            while len(waiting) > MOST_WAITING and waiting[oldest := next(iter(waiting))] < now - LEAST_SECONDS:
                oldest._stop_waiting()
                oldest.transport.abort()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            _waiting.get(self.server_state, {}).pop(self, None)

    def _stop_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _abort_later(self) -> None:
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self.loop.call_later(self.timeout_keep_alive, self.transport.abort)


_waiting: WeakKeyDictionary[ServerState, dict[Doorman, float]] = WeakKeyDictionary()
"""Who is without a complete request, by server, and since when; the oldest first."""
