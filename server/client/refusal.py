"""What a client is told when it cannot go on, and whether it may come back.

ClientError
├── RefusedError         the server said no, and would say so again
│   └── LoginError       it does not know, or no longer, who this is
├── UnconfirmedError     no answer in time: said or not, nobody knows
└── ClosedError          the client, or the reader, has been closed
"""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from typing import Self
from urllib.error import HTTPError

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from ..errors import ServerError
from ..messages import CloseCode

__all__ = ["LOST", "ClientError", "ClosedError", "LoginError", "Loss", "RefusedError", "UnconfirmedError"]

LOST = (OSError, EOFError, TimeoutError, InvalidHandshake, ConnectionClosed)
"""What ends a connection, or an attempt at one, from outside."""

LONGEST_BODY = 1_000  # characters of an HTTP answer that are looked at for a reason
REMEDIES = {
    CloseCode.KICKED_FOR_SPAM: "send less, and wait a while before you connect again",
    CloseCode.FORBIDDEN: "connect as somebody who may, or from where it is allowed",
    CloseCode.REPLACED: "another device took this one's place; give each a device name of its own, or use fewer",
    CloseCode.TLS_HANDSHAKE: "pass wires=Wires(tls=…) with a context that trusts the server's authority",
    400: "look at the address and the device's name",
    403: "connect as somebody who may, or from where it is allowed",
    404: "look at the address; the server's own address is wanted, without /ws",
    405: "look at the address; or this server has no demo login, then pass token=…",
    422: "choose another name",
}


class ClientError(ServerError):
    """Base class of what a `Client` raises."""


class RefusedError(ClientError):
    """The server said no, and would say so again."""

    def __init__(self, message: str, *, code: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        """The close code, or the HTTP status below 1000; 0 where only one message was refused."""
        self.reason = reason
        """The server's own words."""


class LoginError(RefusedError):
    """The server does not know, or no longer, who this is, and there is no way to get another token."""


class UnconfirmedError(ClientError):
    """The server has not said in time that it has stored something; it may have. Do it again with the same `key`."""

    def __init__(self, message: str, *, key: str) -> None:
        super().__init__(message)
        self.key = key
        """The idempotency key: said again with it, it is stored once."""


class ClosedError(ClientError):
    """The client was closed, or another reader took this one's place."""


@dataclass(frozen=True)
class Loss:
    """How a connection, or an attempt at one, ended."""

    code: int
    """The close code, or below 1000 the HTTP status; 1006 where there was neither."""

    reason: str
    """The server's words, or the system's."""

    @classmethod
    def of(cls, error: Exception) -> Self:
        """Read the code and the reason from what the libraries raise."""
        match error:
            case ConnectionClosed(rcvd=None):
                return cls(CloseCode.ABNORMAL, "the connection was lost")
            case ConnectionClosed(rcvd=close) if close is not None:
                return cls(close.code, close.reason)
            case InvalidStatus(response=response):
                return cls(response.status_code, _detail(bytes(response.body or b"")))
            case HTTPError():
                return cls(error.code, _detail(error.read(LONGEST_BODY)))
            case ssl.SSLCertVerificationError():
                return cls(CloseCode.TLS_HANDSHAKE, error.verify_message)
        return cls(CloseCode.ABNORMAL, str(error) or type(error).__name__)

    @property
    def is_login(self) -> bool:
        """Whether the server asks who this is."""
        return self.code in (401, CloseCode.AUTH_REQUIRED)

    @property
    def is_final(self) -> bool:
        """Whether coming back would end the same; a status of 408, 425 or 429 and every 5xx passes."""
        if self.code < 1000:
            return self.code < 500 and self.code not in (401, 408, 425, 429)
        return self.code in (
            CloseCode.KICKED_FOR_SPAM,
            CloseCode.FORBIDDEN,
            CloseCode.REPLACED,
            CloseCode.TLS_HANDSHAKE,
        )

    @property
    def is_busy(self) -> bool:
        """Whether the server is full, so that it should be left alone for longer."""
        return self.code in (429, 503, CloseCode.TRY_AGAIN_LATER)

    def error(self, remedy: str = "") -> RefusedError:
        """An exception that says so, for one that is final or a matter of logging in."""
        kind = LoginError if self.is_login else RefusedError
        words = f": {self.reason}" if self.reason else ""
        remedy = remedy or REMEDIES.get(self.code, "")
        text = f"the server refuses with {self.code}{words}{remedy and f'; {remedy}'}"
        return kind(text, code=self.code, reason=self.reason)


def _detail(body: bytes) -> str:
    """The reason in an HTTP answer: FastAPI's ``{"detail": …}``, or the beginning of the text."""
    text = body[:LONGEST_BODY].decode(errors="replace").strip()
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, TypeError, KeyError):
        return text[:200]
    return detail if isinstance(detail, str) else json.dumps(detail)[:200]
