"""Tokens: a session token identifies a user for hours, a ticket admits one connection within seconds.

A page can't set a header on a WebSocket, and addresses end up in logs. So the page gets a ticket over HTTP,
where its cookie identifies it, and puts the ticket into the address. It works once, within 30 seconds, and is
worthless in a log.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from time import time
from typing import Any

import jwt

from ..messages.names import user_name

__all__ = ["Session", "Tickets", "issue_session", "verify_session"]

SESSION, TICKET = "chat", "chat-ticket"  # audiences, so that neither is accepted as the other
CLAIMS = ("jti", "until", "issued")  # that a ticket has and a session token has not
NO_SCOPES: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """A user who has been identified, and for how long."""

    user: str
    """The name."""
    expires: float
    """When it expires, in seconds since 1970."""
    scopes: frozenset[str] = NO_SCOPES
    """Extra permissions, such as "push"."""


def issue_session(user: str, *, key: str, seconds: int, scope: str = "") -> str:
    """Sign a token for `user`: a JWT (HS256) with the claims ``sub``, ``exp`` and ``aud``, which is "chat".

    `scope` lists extra permissions, separated by spaces (RFC 8693, 4.2): "push" allows notifying every user, so
    give it to programs only.
    """
    return _sign({"sub": user, "exp": int(time()) + seconds, "aud": SESSION} | ({"scope": scope} if scope else {}), key)


def verify_session(token: str, *, key: str) -> Session | None:
    """Return the session that this token proves, or None if it is forged, not a session token, or expired."""
    claims = _read(token, key, SESSION)
    if claims is None:
        return None
    scope = claims.get("scope")
    scopes = frozenset(scope.split()) if isinstance(scope, str) else NO_SCOPES
    return Session(user=claims["sub"], expires=float(claims["exp"]), scopes=scopes)


class Tickets:
    """Issues and redeems tickets, each for one connection.

    A ticket is signed, not stored, so any process with the key accepts it. The process that accepts it remembers
    that it was used until it expires. So several processes behind one address could each accept it once within
    its lifetime. A process that restarts has forgotten which tickets were used, so it refuses every ticket that is
    older than itself.
    """

    def __init__(self, *, key: str, seconds: int = 30, most: int = 100_000) -> None:
        """Sign with `key`; a ticket expires after `seconds`.

        At most `most` used tickets are remembered at a time, about 15 MB. If more are used within their lifetime,
        new ones are refused, so that no ticket is accepted twice.
        """
        self.seconds = seconds
        self._key = key
        self._most = most
        self._since = time()
        self._used: dict[str, float] = {}  # when each id expires, in the order of use

    def __len__(self) -> int:
        """Return how many used tickets are remembered."""
        return len(self._used)

    def issue(self, session: Session) -> str:
        """Return a ticket for one connection of this session; it expires no later than the session."""
        expires = min(int(time()) + self.seconds, int(session.expires))
        claims = {"sub": session.user, "exp": expires, "aud": TICKET, "until": session.expires, "issued": time()}
        return _sign(claims | {"jti": secrets.token_urlsafe(12)}, self._key)

    def redeem(self, ticket: str) -> Session | None:
        """Return the session of a ticket, once; None if it was used, forged, has expired or predates this process."""
        claims = _read(ticket, self._key, TICKET, *CLAIMS)
        self._drop_expired()
        if claims is None or claims["issued"] < self._since:
            return None
        if claims["jti"] in self._used or len(self._used) >= self._most:
            return None
        self._used[claims["jti"]] = claims["exp"]
        return Session(user=claims["sub"], expires=claims["until"])

    def predates_start(self, ticket: str) -> bool:
        """Return whether a ticket is valid but older than this process, which can't know whether it was used."""
        if time() > self._since + self.seconds:
            return False
        claims = _read(ticket, self._key, TICKET, *CLAIMS)
        return claims is not None and bool(claims["issued"] < self._since)

    def _drop_expired(self) -> None:
        """Forget tickets that have expired, because nobody can use them again."""
        now = time()
        while self._used and next(iter(self._used.values())) < now:
            del self._used[next(iter(self._used))]


def _sign(claims: dict[str, Any], key: str) -> str:
    return jwt.encode(claims, key, algorithm="HS256")


def _read(token: str, key: str, audience: str, *more: str) -> dict[str, Any] | None:
    required = ["sub", "exp", *more]
    try:
        claims = jwt.decode(token, key, algorithms=["HS256"], audience=audience, options={"require": required})
        return claims | {"sub": user_name(claims["sub"])}
    except (jwt.InvalidTokenError, ValueError):
        return None
