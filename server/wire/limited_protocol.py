"""A uvicorn protocol that limits what an app can't see: ``serve(app, ws=LimitedProtocol)``.

An app limits the rate of messages. It does not see pings, pongs, the frames of a message that never ends, or what
comes after its close frame. And it sees the first message of a burst only after the whole burst was parsed: 256 KiB of
empty messages delay everybody by half a second.

The app decides how many frames a message may have: its lifespan yields ``{"message_frames": 1024}``.
"""

from __future__ import annotations

from typing import Any

from websockets.frames import Frame

from ..messages.close_codes import CloseCode
from .protocol import FanoutProtocol
from .send_state import SendState

__all__ = ["BURST", "MOST_FRAMES", "PIECE", "RATE", "LimitedProtocol"]

PIECE = 4_096  # bytes that are parsed at a time
MOST_FRAMES = 256  # of one message, unless the app's lifespan yields another number
RATE, BURST = 10, 100  # pings and pongs per second for long, and at once
ABORT_SECONDS = 1.0  # that a client has to read the close frame
MOST_LATE = 1 << 18  # bytes that are read after the close frame was sent


class LimitedProtocol(FanoutProtocol):
    """`FanoutProtocol`, with a limit on everything that a client can make it do.

    What arrives is parsed in small pieces, and not beyond a message that the app has not received yet. A client that
    sends more than `RATE` pings or pongs per second for long is closed with 4002. One that sends a message in more
    frames than ``message_frames`` in the lifespan's state, or `MOST_FRAMES`, is closed with 1009. Nothing more is read
    from either.
    """

    _unparsed = b""
    _level = 0.0
    _since = 0.0
    _stopped = False
    _late = 0

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived and what had to wait, up to the next message that the app has to receive."""
        if self._stopped:
            self._late += len(data)
            if self._late > MOST_LATE:
                self.transport.pause_reading()
            return
        self._unparsed += data
        while self._unparsed and not self.read_paused and not self._stopped:
            piece, self._unparsed = self._unparsed[:PIECE], self._unparsed[PIECE:]
            super().data_received(piece)

    def handle_parser_exception(self) -> None:
        """Send the close frame and FIN, and read for a moment what the peer has sent already.

        If a socket is closed while bytes arrive, TCP resets the connection. Then a peer or a proxy that is still
        sending may never read the close frame. RFC 9112 section 9.6 says the same about HTTP.
        """
        close = self.conn.close_sent
        assert close is not None
        self._stop_parsing()
        self._enter(SendState.CLOSING)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.transport.can_write_eof():  # not with TLS
            self.transport.write_eof()
        self._receive_disconnect(close.code, close.reason)
        self._abort_soon()

    async def receive(self) -> Any:
        """Return the next event, as ASGI says; then let others run, and parse what had to wait."""
        message = await super().receive()
        if self._unparsed and not self.read_paused:
            self.transport.pause_reading()  # or each turn would read more than it parses
            self.loop.call_soon(self._parse_rest)
        return message

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everything."""
        self._unparsed = b""
        super().connection_lost(exc)

    def _parse_rest(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()
        self.data_received(b"")

    def _stop_parsing(self) -> None:
        self._stopped, self._unparsed = True, b""
        self.frames = []

    def handle_ping(self) -> None:
        """Answer, and count."""
        super().handle_ping()
        self._count()

    def handle_pong(self, event: Frame) -> None:
        """Handle it, and count."""
        super().handle_pong(event)
        self._count()

    def handle_cont(self, event: Frame) -> None:
        """Add a frame to its message, unless the message has as many as it may have."""
        most = self.app_state.get("message_frames", MOST_FRAMES)
        if len(self.frames) < most:
            super().handle_cont(event)
        else:
            self._refuse(CloseCode.MESSAGE_TOO_BIG, f"over {most} frames")

    def send_receive_event_to_app(self) -> None:
        """Pass a message on; count those that come after the close frame."""
        super().send_receive_event_to_app()
        if self.close_sent:
            self._count()

    def _count(self) -> None:
        now = self.loop.time()
        self._level = max(0.0, self._level - (now - self._since) * RATE) + 1
        self._since = now
        if self._level > BURST:
            self._refuse(CloseCode.KICKED_FOR_SPAM, f"more than {RATE} pings per second")

    def _refuse(self, code: CloseCode, reason: str) -> None:
        """Close, and read no more."""
        if self._stopped:
            return
        self._stop_parsing()
        self.close_now(code, reason)
        if not self.transport.is_closing():
            self.transport.pause_reading()
        self._abort_soon()

    def _abort_soon(self) -> None:
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(ABORT_SECONDS, self.transport.abort)
