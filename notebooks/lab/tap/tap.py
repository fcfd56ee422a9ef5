"""Record what crosses a TCP connection: ``with Tap(server) as tap: connect(tap.url("/ws"))``.

A tap listens on a port of its own, passes every byte on to the server and back, and records
them. It is a `server.testing.fault_proxy.FaultProxy`, so it can also do what networks do to a connection.
"""

from __future__ import annotations

from server.testing.fault_proxy import FaultProxy
from server.testing.target import Target

from .conversation import Conversation
from .frames import TapFrame
from .http import TapRequest
from .traffic import RecordingLimit, Traffic

__all__ = ["Tap"]

RECORD_LIMIT = 16 << 20  # bytes that all conversations of one tap may take by default


class Tap(FaultProxy):
    """A TCP tap in front of a server on this machine: ``with Tap(server) as tap: …``.

    `target` is what `serve` returned, a port, ``"host:port"``, a URL or ``(host, port)``.
    Connect clients to ``tap.url("/ws")`` or ``tap.http("/")``. Then ``tap.frames``, ``tap.requests`` and
    ``tap.conversations`` are what it saw, and ``sequence(tap)`` draws it. `cut`, `stall`, `slow` and
    `reset` break connections, and `mend` repairs them. TLS passes through unread. At most `limit` bytes
    are recorded; after that, bytes are passed on and counted. Backpressure passes as well: the
    tap keeps no bytes except those that a cut holds back. What was recorded stays after `stop`.
    """

    def __init__(self, target: Target, *, limit: int = RECORD_LIMIT) -> None:
        super().__init__(target)
        self._recording_limit = RecordingLimit(limit)
        self._conversations: list[Conversation] = []

    @property
    def connections(self) -> list[Conversation]:
        """The same as `conversations`."""
        return self.conversations

    @property
    def conversations(self) -> list[Conversation]:
        """One for each TCP connection, oldest first."""
        return list(self._conversations)

    @property
    def frames(self) -> list[TapFrame]:
        """The frames of all connections, one connection after the other."""
        return [frame for conversation in self.conversations for frame in conversation.frames]

    @property
    def requests(self) -> list[TapRequest]:
        """The HTTP requests of all connections, one connection after the other."""
        return [request for conversation in self.conversations for request in conversation.requests]

    @property
    def up(self) -> Traffic:
        """What all clients have sent."""
        return sum((conversation.up for conversation in self.conversations), Traffic())

    @property
    def down(self) -> Traffic:
        """What the server has sent to all clients."""
        return sum((conversation.down for conversation in self.conversations), Traffic())

    def _opened(self) -> Conversation:
        conversation = Conversation(len(self._conversations) + 1, self._recording_limit, self.settle)
        self._conversations.append(conversation)
        return conversation

    def _counts(self) -> dict[str, int]:
        return {"connection": len(self.conversations), "request": len(self.requests), "frame": len(self.frames)}
