"""Sessions and tickets: who somebody is for hours, and a pass for one connection within seconds.

A page cannot set a header on a WebSocket, and what stands in an address ends up in logs. So the page
gets a ticket over HTTP, where it is known, and puts that into the address: it is good once, for 30
seconds, and worth nothing in a log.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from time import time
from typing import Any

import jwt

from .names import is_name

__all__ = ["Session", "Tickets", "issue_session", "verify_session"]

SESSION, TICKET = "chat", "chat-ticket"  # audiences: what was made for the one is refused as the other


@dataclass(frozen=True, kw_only=True)
class Session:
    """Somebody who has been identified, until it has to be done again."""

    user: str
    """The name."""
    expires: float
    """When it ends, in seconds since 1970."""
    scopes: frozenset[str] = frozenset()
    """What it may do beyond what every user may, such as "push"."""


def issue_session(user: str, *, key: str, seconds: int, scope: str = "") -> str:
    """Sign a token for `user`: a JWT (HS256) with the claims ``sub``, ``exp`` and ``aud``, which is "chat".

    `scope` is what it may do beyond that, in words with spaces between (RFC 8693, 4.2): "push" lets it
    notify every user, so let only a program have it.
    """
    return _sign({"sub": user, "exp": int(time()) + seconds, "aud": SESSION} | ({"scope": scope} if scope else {}), key)


def verify_session(token: str, *, key: str) -> Session | None:
    """Whose session this token proves, or None where it is forged, foreign or expired."""
    claims = _read(token, key, SESSION)
    if claims is None:
        return None
    scope = claims.get("scope")
    scopes = frozenset(scope.split() if isinstance(scope, str) else ())
    return Session(user=claims["sub"], expires=float(claims["exp"]), scopes=scopes)


class Tickets:
    """Passes for one connection each.

    A ticket is signed, not stored, so any process with the key takes it; that it has been used is
    remembered by the process that took it, until the ticket has expired. Several processes behind
    one address could therefore each take it once within its seconds.
    """

    def __init__(self, *, key: str, seconds: int = 30, most: int = 100_000) -> None:
        """Sign with `key`; a ticket is good for `seconds`.

        `most` tickets are remembered as used at a time, some 15 MB; when more are used within their
        seconds, new ones are refused rather than old ones taken twice.
        """
        self.seconds = seconds
        self._key = key
        self._most = most
        self._used: dict[str, float] = {}  # id: when it expires, in the order of their use

    def __len__(self) -> int:
        """How many are remembered as used."""
        return len(self._used)

    def issue(self, session: Session) -> str:
        """A ticket for one connection of this session; it never outlives the session."""
        expires = min(int(time()) + self.seconds, int(session.expires))
        claims = {"sub": session.user, "exp": expires, "aud": TICKET, "until": session.expires}
        return _sign(claims | {"jti": secrets.token_urlsafe(12)}, self._key)

    def redeem(self, ticket: str) -> Session | None:
        """The session that the ticket was issued for, once; None where it is used, forged or expired."""
        claims = _read(ticket, self._key, TICKET, "jti", "until")
        self._forget()
        if claims is None or claims["jti"] in self._used or len(self._used) >= self._most:
            return None
        self._used[claims["jti"]] = claims["exp"]
        return Session(user=claims["sub"], expires=claims["until"])

    def _forget(self) -> None:
        """Drop what has expired: nobody can use it again anyway."""
        now = time()
        while self._used and next(iter(self._used.values())) < now:
            del self._used[next(iter(self._used))]


def _sign(claims: dict[str, Any], key: str) -> str:
    return jwt.encode(claims, key, algorithm="HS256")


def _read(token: str, key: str, audience: str, *more: str) -> dict[str, Any] | None:
    required = ["sub", "exp", *more]
    try:
        claims = jwt.decode(token, key, algorithms=["HS256"], audience=audience, options={"require": required})
    except jwt.InvalidTokenError:
        return None
    return claims if is_name(claims["sub"]) else None
