"""Close codes by name, and the reason that goes with them."""

from __future__ import annotations

from enum import IntEnum

from .shorten import shorten

__all__ = ["CloseCode", "cut_reason"]

LONGEST_REASON = 123  # bytes, RFC 6455 section 5.5: a control frame holds 125, two are the code


class CloseCode(IntEnum):
    """Why a connection ended, by name (RFC 6455 section 7.4, the IANA registry, and ours from 4000).

    A close frame carries one code and up to 123 bytes of reason. Three codes are never sent: a program gets them from
    its own library if there was no close frame.
    """

    NORMAL = 1000
    """The conversation is finished (RFC 6455, 7.4.1). A page may send it."""

    GOING_AWAY = 1001
    """A page that was left, or a server that stops (RFC 6455, 7.4.1)."""

    PROTOCOL_ERROR = 1002
    """The bytes break the protocol: an unmasked client frame, a reserved bit (RFC 6455, 7.4.1)."""

    UNSUPPORTED_DATA = 1003
    """A kind of message that this endpoint does not take, such as binary (RFC 6455, 7.4.1)."""

    NO_STATUS = 1005
    """The close frame named no code. Never travels (RFC 6455, 7.4.1)."""

    ABNORMAL = 1006
    """There was no close frame at all. Never travels (RFC 6455, 7.4.1)."""

    INVALID_DATA = 1007
    """A text frame that is not UTF-8 (RFC 6455, 7.4.1)."""

    POLICY_VIOLATION = 1008
    """A rule was broken for which no better code exists (RFC 6455, 7.4.1)."""

    MESSAGE_TOO_BIG = 1009
    """A message over the receiver's limit (RFC 6455, 7.4.1)."""

    MANDATORY_EXTENSION = 1010
    """A client misses an extension that it cannot do without (RFC 6455, 7.4.1)."""

    INTERNAL_ERROR = 1011
    """The server failed (RFC 6455, 7.4.1)."""

    SERVICE_RESTART = 1012
    """The server restarts: come back after a random delay (IANA registry). What uvicorn sends when it stops."""

    TRY_AGAIN_LATER = 1013
    """The server is overloaded: come back much later (IANA registry)."""

    BAD_GATEWAY = 1014
    """A gateway got a bad answer from the server behind it (IANA registry)."""

    TLS_HANDSHAKE = 1015
    """TLS failed before the handshake. Never travels (RFC 6455, 7.4.1)."""

    AUTH_REQUIRED = 4001
    """Ours: no credentials, or credentials that have expired. Log in, then connect again."""

    KICKED_FOR_SPAM = 4002
    """Ours: more messages than allowed. Wait half a minute before you connect again, and send less at once."""

    FORBIDDEN = 4003
    """Ours: known, but not allowed here. Do not connect again."""

    REPLACED = 4004
    """Ours: another device of the same user took the place. Do not connect again by yourself."""

    TOO_SLOW = 4008
    """Ours: the client read too slowly and its outbox was full. Connect again and resume."""

    @property
    def travels(self) -> bool:
        """Whether a close frame may carry this code; 1005, 1006 and 1015 it may not."""
        return self not in (CloseCode.NO_STATUS, CloseCode.ABNORMAL, CloseCode.TLS_HANDSHAKE)

    @property
    def from_browser(self) -> bool:
        """Whether a page may pass this code to its `close`: 1000, and 3000 to 4999."""
        return self == CloseCode.NORMAL or 3000 <= self <= 4999


def cut_reason(reason: str) -> str:
    """Return the longest beginning of `reason` that fits into a close frame; half a surrogate pair becomes a "?"."""
    return shorten(reason.encode(errors="replace").decode(), LONGEST_REASON, size=lambda part: len(part.encode()))
