"""One message to everyone: an outbox for each connection, the fastest that its server offers (lesson 04).

Nothing here waits for a peer. `Overflow` chooses what happens when an outbox is full. The fast outbox is in
`server.wire.outboxes.frame_outbox`; the portable one, for any ASGI server, in `server.wire.outboxes.portable_outbox`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache

from fastapi import WebSocket

from .wire.audience import Audience
from .wire.outboxes.frame_outbox import FrameOutbox
from .wire.outboxes.outbox import Outbox, Overflow
from .wire.outboxes.portable_outbox import PortableOutbox
from .wire.outboxes.statistics import FanoutStatistics, OutboxStatistics, statistics
from .wire.prepared import Batch, Prepared
from .wire.protocol import EXTENSION
from .wire.sink import Sink

__all__ = [
    "Audience",
    "Batch",
    "FanoutStatistics",
    "FrameOutbox",
    "Outbox",
    "OutboxStatistics",
    "Overflow",
    "PortableOutbox",
    "Prepared",
    "Sink",
    "fan_out",
    "open_outbox",
    "statistics",
]


def open_outbox(
    websocket: WebSocket,
    *,
    messages: int = 256,
    size: int = 1 << 20,
    overflow: Overflow = Overflow.DISCONNECT,
    seconds: float = 10.0,
) -> Outbox:
    """Return an outbox for this connection, the fastest that its server offers.

    Args:
        websocket: the connection, accepted or not.
        messages: how many may wait while the peer does not keep up.
        size: bytes of messages that may wait, as UTF-8.
        overflow: what happens to one message too many.
        seconds: until a peer that reads nothing is closed with 4008, and as many more until its connection is aborted;
            the portable outbox leaves this to `converse` and the server.
    """
    extension = websocket.scope.get("extensions", {}).get(EXTENSION)
    if extension is None:
        _warn_once()
        return PortableOutbox(messages=messages, size=size, overflow=overflow)
    return FrameOutbox(extension["connection"], messages=messages, size=size, overflow=overflow, seconds=seconds)


@cache
def _warn_once() -> None:
    # in the log of the server software, because its options have to be changed
    logging.getLogger("uvicorn.error").warning(
        "each message is sent to each connection on its own, which is slow; "
        "under uvicorn pass --ws server.wire.protocol:FanoutProtocol, or ws=FanoutProtocol"
    )


def fan_out(sinks: Iterable[Sink], message: str | Prepared) -> int:
    """Send one message to every sink at once; return how many there were.

    An `Audience` does the same for sinks that stay, at less cost when much is sent.
    """
    prepared = Prepared(message) if isinstance(message, str) else message
    count = 0
    for sink in sinks:
        sink.send_nowait(prepared)
        count += 1
    return count
