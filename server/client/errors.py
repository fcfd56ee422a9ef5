"""The exceptions of the client, and how a connection ended: whether to reconnect, and when.

ClientError
├── RefusedError         the server refuses, and would refuse again
│   └── LoginError       it does not know who this is, or no longer
├── UnconfirmedError     no confirmation came in time; the message may be stored or not
└── ClosedError          the client, or the reader, was closed
"""

from __future__ import annotations

import codecs
import json
import ssl
from dataclasses import dataclass
from http.client import HTTPException, IncompleteRead
from typing import Self
from urllib.error import HTTPError, URLError

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidHeader,
    InvalidMessage,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
    NegotiationError,
    StatusLineTooLong,
)

from ..errors import ServerError
from ..messages import CloseCode
from ..messages.shorten import shorten

__all__ = [
    "CONNECTION_ERRORS",
    "ClientError",
    "ClosedError",
    "Disconnect",
    "LoginError",
    "RefusedError",
    "UnconfirmedError",
    "is_no_websocket",
]

CONNECTION_ERRORS = (OSError, EOFError, TimeoutError, InvalidHandshake, ConnectionClosed)
"""What the network or the other side can end a connection with, or an attempt to connect."""

LONGEST_BODY = 10_000  # bytes of an HTTP answer that are searched for a reason
LONGEST_REASON = 200  # characters of it that are shown
RETRY_AFTER = "Retry-After"
SPAM_SECONDS = 30.0  # how long a client is silent after it has sent too much; see `CloseCode.KICKED_FOR_SPAM`
NO_TLS = "the server does not speak TLS"
OTHER_TLS = "the server speaks another version of TLS"
TLS_FAILURES = {  # OpenSSL's names of what will fail again; the rest may be a server that restarts
    "WRONG_VERSION_NUMBER": NO_TLS,
    "RECORD_LAYER_FAILURE": NO_TLS,
    "TLSV1_ALERT_PROTOCOL_VERSION": OTHER_TLS,
    "UNSUPPORTED_PROTOCOL": OTHER_TLS,
    "NO_PROTOCOLS_AVAILABLE": OTHER_TLS,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server accepts none of this client's ciphers, or wants a certificate of it",
}
REMEDIES = {
    CloseCode.FORBIDDEN: "connect as a user, and from an origin, that the server allows",
    CloseCode.REPLACED: "another device replaced this one; give each its own device name, or use fewer",
    CloseCode.TLS_HANDSHAKE: "write http:// if the server has no TLS, or pass a context that trusts its authority: "
    "options=ConnectOptions(tls=…)",
    200: "look at the address; what answers there is not the chat",
    400: "look at the address and the device's name",
    403: "connect as a user, and from an origin, that the server allows",
    404: "look at the address; pass the one of the server itself, without /ws",
    405: "look at the address; if this server has no demo login, pass token=…",
    407: "pass the user and the password of the proxy: proxy='http://user:password@…'",
    422: "choose another name",
}


class ClientError(ServerError):
    """Base class of what a `Client` raises."""


class RefusedError(ClientError):
    """The server refuses, and would refuse again."""

    def __init__(self, message: str, *, code: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        """The close code, or the HTTP status below 1000; 0 where only one message was refused."""
        self.reason = reason
        """What the server said."""


class LoginError(RefusedError):
    """The server does not know who this is, or no longer, and there is no way to get another token."""


class UnconfirmedError(ClientError):
    """The server did not confirm a message in time; it may be stored or not. Send it again with the same `key`."""

    def __init__(self, message: str, *, key: str) -> None:
        super().__init__(message)
        self.key = key
        """The idempotency key; a message that is sent again with it is stored once."""


class ClosedError(ClientError):
    """The client was closed, or another reader replaced this one."""


@dataclass(frozen=True)
class Disconnect:
    """How a connection, or an attempt to connect, ended."""

    code: int
    """The close code, or below 1000 the HTTP status; 1006 if there was neither."""

    reason: str
    """What the server said, or the system."""

    retry_after: float = 0.0
    """Seconds that the client should wait: the server's ``Retry-After``, or half a minute after spam (4002)."""

    @classmethod
    def from_exception(cls, error: Exception) -> Self:
        """Return the code and the reason of an exception of `websockets`, `urllib` or the system."""
        while isinstance(error, URLError) and isinstance(error.reason, Exception):
            error = error.reason
        match error:
            case ConnectionClosed():
                return cls._from_close(error)
            case InvalidStatus(response=response) | InvalidProxyStatus(response=response):
                return cls(
                    response.status_code,
                    _detail_of(bytes(response.body or b"")),
                    _seconds_of(response.headers.get(RETRY_AFTER, "")),
                )
            case HTTPError():
                return cls(error.code, _detail_of(_body_of(error)), _seconds_of(error.headers.get(RETRY_AFTER, "")))
            case ssl.SSLCertVerificationError(verify_message=reason):
                return cls(CloseCode.TLS_HANDSHAKE, reason)
            case ssl.SSLError(reason=reason) if reason in TLS_FAILURES:
                return cls(CloseCode.TLS_HANDSHAKE, TLS_FAILURES[reason])
        return cls(CloseCode.ABNORMAL, str(error) or type(error).__name__)

    @classmethod
    def _from_close(cls, closed: ConnectionClosed) -> Self:
        if closed.rcvd is None:
            return cls(CloseCode.ABNORMAL, "the connection was lost")
        is_spam = closed.rcvd.code == CloseCode.KICKED_FOR_SPAM
        return cls(closed.rcvd.code, closed.rcvd.reason, SPAM_SECONDS if is_spam else 0.0)

    @property
    def needs_login(self) -> bool:
        """Whether the server asks who this is."""
        return self.code in (401, CloseCode.AUTH_REQUIRED)

    @property
    def is_final(self) -> bool:
        """Whether reconnecting would end in the same way; 408, 425, 429 and every 5xx are temporary."""
        if self.code < 1000:
            return self.code < 500 and self.code not in (401, 408, 425, 429)
        return self.code in (CloseCode.FORBIDDEN, CloseCode.REPLACED, CloseCode.TLS_HANDSHAKE)

    @property
    def is_busy(self) -> bool:
        """Whether the server is full, or got too much, so that the client should wait longer."""
        return self.code in (429, 503, CloseCode.TRY_AGAIN_LATER, CloseCode.KICKED_FOR_SPAM)

    def error(self, remedy: str = "") -> RefusedError:
        """Return an exception with the code, the reason and a remedy."""
        kind = LoginError if self.needs_login else RefusedError
        reason = f": {self.reason}" if self.reason else ""
        remedy = remedy or REMEDIES.get(self.code, "")
        text = f"the server refuses with {self.code}{reason}{remedy and f'; {remedy}'}"
        return kind(text, code=self.code, reason=self.reason)


def is_no_websocket(error: Exception) -> bool:
    """Return whether a handshake failed because what answers is not a WebSocket server.

    An answer that is cut is no proof: the server may have been restarted.
    """
    if isinstance(error, InvalidMessage | InvalidProxyMessage):
        return not isinstance(error.__cause__, EOFError)
    return isinstance(error, InvalidHeader | NegotiationError | StatusLineTooLong)


def _seconds_of(text: str) -> float:
    """Return the seconds of a ``Retry-After``; 0 if it is a date, which our server never sends."""
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _body_of(error: HTTPError) -> bytes:
    """Return the beginning of the answer, as much of it as arrived."""
    try:
        return error.read(LONGEST_BODY)
    except IncompleteRead as incomplete:
        return bytes(incomplete.partial)
    except (OSError, HTTPException):
        return b""


def _detail_of(body: bytes) -> str:
    """Return the reason in an HTTP answer: FastAPI's ``{"detail": …}``, or the beginning of the text."""
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(body[:LONGEST_BODY]).strip()  # no half character
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, TypeError, KeyError):
        return shorten(text, LONGEST_REASON)
    return shorten(detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False), LONGEST_REASON)
