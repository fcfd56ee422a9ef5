"""What may be sent over a connection, from its handshake to its end."""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["SendState"]


class SendState(Enum):
    """What may be sent over a connection now. A state never changes back, except between OPEN and PAUSED."""

    HANDSHAKE = auto()
    """The app has not accepted yet: frames wait."""
    OPEN = auto()
    """Frames may be written at once."""
    PAUSED = auto()
    """The transport is full, because the peer does not keep up: frames wait."""
    CLOSED_BY_OUTBOX = auto()
    """`close_now` has sent a close frame; the app may not know yet."""
    CLOSING = auto()
    """The app, the peer or uvicorn is closing: no frame may be sent any more."""
    LOST = auto()
    """The connection is gone."""

    @property
    def is_end(self) -> bool:
        """Whether no frame may be sent any more."""
        return self in _ENDS

    def allows(self, state: SendState) -> bool:
        """Return whether `state` may follow this one."""
        return state in _NEXT[self]


_ENDS = (SendState.CLOSED_BY_OUTBOX, SendState.CLOSING, SendState.LOST)
_NEXT = {
    SendState.HANDSHAKE: (SendState.OPEN, SendState.PAUSED, *_ENDS),
    SendState.OPEN: (SendState.PAUSED, *_ENDS),
    SendState.PAUSED: (SendState.OPEN, *_ENDS),
    SendState.CLOSED_BY_OUTBOX: (SendState.LOST,),
    SendState.CLOSING: (SendState.LOST,),
    SendState.LOST: (),
}
