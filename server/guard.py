"""A uvicorn protocol that no client can keep busy with what an app never sees: ``serve(app, ws=GuardedProtocol)``.

An app meters messages. It does not see pings, pongs, the frames of a message that never ends, or what comes after
its goodbye, and it sees the first message of a burst when all of the burst has been parsed: 256 KiB of empty messages
hold up everybody for half a second.
"""

from __future__ import annotations

from typing import Any

from websockets.frames import Frame

from .frames import FanoutProtocol
from .messages import CloseCode

__all__ = ["BURST", "MOST_FRAMES", "PIECE", "RATE", "GuardedProtocol"]

PIECE = 4_096  # bytes that are parsed at a time
MOST_FRAMES = 256  # of one message
RATE, BURST = 10, 100  # frames that are no messages: a second, and at once
ABORT_SECONDS = 1.0  # that a client who was kicked has to read why
LATE = 1 << 18  # bytes that are taken in meanwhile, of what was on its way


class GuardedProtocol(FanoutProtocol):
    """`FanoutProtocol`, with a bound on all that a client can make it do.

    What arrives is parsed in small pieces, and not beyond a message that the app has not taken yet. A client that
    sends more pings or pongs than `RATE` a second for long is closed with 4002, and one that sends a message in more
    than `MOST_FRAMES` frames with 1009. Neither is read any further.
    """

    _unread = b""
    _level = 0.0
    _since = 0.0
    _kicked = False
    _late = 0

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        if self._kicked:
            self._late += len(data)
            if self._late > LATE:
                self.transport.pause_reading()
            return
        self._unread += data
        self._parse()

    def handle_parser_exception(self) -> None:
        """Say what was wrong, send FIN, and take in for a moment what is on its way.

        A socket that is closed while bytes come is reset, and a peer or a proxy that meets the reset while it
        sends may never read the goodbye: RFC 9112 section 9.6 tells HTTP the same.
        """
        close = self.conn.close_sent
        assert close is not None
        self._kicked, self._unread = True, b""
        self.frames = []
        self._bar()
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.transport.can_write_eof():  # not with TLS
            self.transport.write_eof()
        self._tell(close.code, close.reason)
        self._abort_soon()

    async def receive(self) -> Any:
        """ASGI's `receive`; what had to wait is parsed as soon as others have had their turn."""
        message = await super().receive()
        if self._unread and not self.read_paused:
            self.loop.call_soon(self._parse)
        return message

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        self._unread = b""
        super().connection_lost(exc)

    def _parse(self) -> None:
        while self._unread and not self.read_paused and not self._kicked:
            piece, self._unread = self._unread[:PIECE], self._unread[PIECE:]
            super().data_received(piece)

    def handle_ping(self) -> None:
        """Answer, and count."""
        super().handle_ping()
        self._count()

    def handle_pong(self, event: Frame) -> None:
        """Take note, and count."""
        super().handle_pong(event)
        self._count()

    def handle_cont(self, event: Frame) -> None:
        """Add to a message that is not over yet, unless it will never be."""
        super().handle_cont(event)
        if len(self.frames) > MOST_FRAMES:
            self._kick(CloseCode.MESSAGE_TOO_BIG, f"over {MOST_FRAMES} frames")

    def send_receive_event_to_app(self) -> None:
        """Pass a message on, or count one that comes after the goodbye."""
        super().send_receive_event_to_app()
        if self.close_sent:
            self._count()

    def _count(self) -> None:
        now = self.loop.time()
        self._level = max(0.0, self._level - (now - self._since) * RATE) + 1
        self._since = now
        if self._level > BURST:
            self._kick(CloseCode.KICKED_FOR_SPAM, f"more than {RATE} pings per second")

    def _kick(self, code: CloseCode, reason: str) -> None:
        """Say goodbye and read no more."""
        if self._kicked:
            return
        self._kicked, self._unread = True, b""
        self.frames = []
        self.finish(code, reason)
        if not self.transport.is_closing():
            self.transport.pause_reading()
        self._abort_soon()

    def _abort_soon(self) -> None:
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(ABORT_SECONDS, self.transport.abort)
