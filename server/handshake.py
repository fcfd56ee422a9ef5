"""Who may connect: the origin, the credentials and the subprotocol, checked before a handler runs.

The same code as in lesson 01, with the edges handled. A `Handshake` is a FastAPI dependency::

    handshake = Handshake(verify=partial(verify_ticket, key=KEY), subprotocols=["chat.v1"])

    @app.websocket("/ws")
    async def chat(websocket: WebSocket, guest: Annotated[Guest, Depends(handshake)]) -> None:
        await websocket.accept(subprotocol=guest.subprotocol)
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NoReturn
from urllib.parse import urlsplit

import jwt
from fastapi import HTTPException, WebSocket, WebSocketException

from .messages import CloseCode

__all__ = ["Guest", "Handshake", "Verify", "issue_ticket", "verify_ticket"]

Verify = Callable[[str], Awaitable[str | None] | str | None]
"""Takes a token and gives the name of its user, or None where the token is not good."""

AUDIENCE = "websocket"  # keeps a token that was made for something else from being a ticket
DEFAULT_PORTS = {"http": 80, "https": 443}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Guest:
    """What a handshake has established about a client."""

    user: str | None
    """The name that `verify` gave, or None where nobody was asked."""
    origin: str | None
    """The page that opened the connection, or None for a program."""
    subprotocol: str | None
    """What to pass to ``accept(subprotocol=…)``; None where the client offered none."""


class Handshake:
    """Admits a client, or refuses it in a way that it can read.

    A refusal before ``accept()`` is an HTTP response: a program reads its status and its body, and
    RFC 6455 (4.2.2) asks for it. A browser shows its page nothing but close code 1006. For a page the
    connection is therefore accepted and closed at once with 4001, 4003 or 1002 and a reason; nothing
    else is sent on it, but proxies and access logs count it as a 101.

    Behind a proxy that ends TLS, let uvicorn trust its headers (``proxy_headers``) or name the public
    origin in `origins`. Same-origin trusts the Host header: put Starlette's ``TrustedHostMiddleware``
    in front where a foreign name may point to your address.
    """

    def __init__(
        self,
        *,
        origins: Iterable[str] = (),
        verify: Verify | None = None,
        cookie: str | None = None,
        query: str | None = "ticket",
        subprotocols: Iterable[str] = (),
        readable_by: Literal["client", "program", "browser"] = "client",
    ) -> None:
        """Say who may connect.

        Args:
            origins: pages of other origins that may connect, such as ``https://example.com``; pages of
                the server's own origin always may (RFC 6455, 10.2).
            verify: decides on a token, which comes from ``Authorization: Bearer …``, from the `query`
                parameter or from the `cookie`, in this order. None asks nobody for a token.
            cookie: the name of a cookie that carries the token. It counts only in a request with an
                Origin: a browser adds cookies whoever wrote the page.
            query: the name of a query parameter that carries the token. Addresses end up in logs, so
                let it be a ticket that expires within seconds.
            subprotocols: what this endpoint speaks, best first. A client that offers only others is
                refused; one that offers none is not.
            readable_by: whom a refusal is for. ``"client"`` decides by the request: browsers always
                send an Origin, programs as a rule do not.

        Raises:
            ValueError: one of `origins` is no origin, or is ``null``, which any page can be.
        """
        self.origins = frozenset(_required_origin(origin) for origin in origins)
        self.verify = verify
        self.cookie = cookie
        self.query = query
        self.subprotocols = tuple(subprotocols)
        self.readable_by = readable_by

    async def __call__(self, websocket: WebSocket) -> Guest:
        """Look at the request and admit its client, before ``accept()``.

        Raises:
            HTTPException: refused, for a program: 401 (who are you), 403 (not from that page) or 400
                (no subprotocol in common).
            WebSocketException: refused, for a page: accepted, and closed with 4001, 4003 or 1002.
        """
        headers = websocket.headers.getlist("origin")
        if headers and not self._allowed(websocket, headers):
            _log.info("refused a page of origin %s", ", ".join(map(repr, headers)))
            await self._refuse(websocket, 403, CloseCode.FORBIDDEN, "pages of this origin may not connect")
        user = await self._user(websocket) if self.verify else None
        if self.verify and not user:  # also an empty name, or the False of a careless `verify`
            await self._refuse(websocket, 401, CloseCode.AUTH_REQUIRED, "credentials are missing, wrong or expired")
        subprotocol = self._subprotocol(websocket)
        if subprotocol is None and self.subprotocols and websocket.get("subprotocols", ()):
            known = ", ".join(self.subprotocols)[:80]  # a close reason has room for 123 bytes
            await self._refuse(websocket, 400, CloseCode.PROTOCOL_ERROR, f"no subprotocol in common, offer {known}")
        return Guest(user=user, origin=headers[0] if headers else None, subprotocol=subprotocol)

    def _allowed(self, websocket: WebSocket, headers: list[str]) -> bool:
        origin, hosts = _origin(headers[0]), websocket.headers.getlist("host")
        if origin is None or len(headers) > 1:
            return False
        scheme = "https" if websocket.get("scheme") == "wss" else "http"
        return origin in self.origins or (len(hosts) == 1 and origin == _origin(f"{scheme}://{hosts[0]}"))

    async def _user(self, websocket: WebSocket) -> str | None:
        token = self._token(websocket)
        if not token or self.verify is None:
            return None
        user = self.verify(token)
        return await user if inspect.isawaitable(user) else user

    def _token(self, websocket: WebSocket) -> str | None:
        scheme, _, token = websocket.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
        if self.query is not None and self.query in websocket.query_params:
            return websocket.query_params[self.query]
        if self.cookie is not None and "origin" in websocket.headers:
            return websocket.cookies.get(self.cookie)
        return None

    def _subprotocol(self, websocket: WebSocket) -> str | None:
        offered = websocket.get("subprotocols", ())
        return next((name for name in self.subprotocols if name in offered), None)

    async def _refuse(self, websocket: WebSocket, status: int, code: CloseCode, reason: str) -> NoReturn:
        from_page = "origin" in websocket.headers
        if self.readable_by == "program" or (self.readable_by == "client" and not from_page):
            raise HTTPException(status, reason, headers={"WWW-Authenticate": "Bearer"} if status == 401 else None)
        # a browser whose offer stays unanswered fails the connection, and the code would be 1006 again
        await websocket.accept(subprotocol=next(iter(websocket.get("subprotocols", ())), None))
        raise WebSocketException(code, reason)


def issue_ticket(user: str, *, key: str | bytes, seconds: int = 30) -> str:
    """Sign a ticket with which `user` may open connections for the next `seconds`.

    An HTTP route that knows the user gives it to the page; the page passes it on in the address of the
    socket, because a browser lets no page set a header there. `key` is a secret of 32 bytes or more.
    """
    claims = {"sub": user, "aud": AUDIENCE, "exp": int(time.time()) + seconds}
    return jwt.encode(claims, key, algorithm="HS256")


def verify_ticket(ticket: str, *, key: str | bytes) -> str | None:
    """The user for whom `issue_ticket` signed the ticket, or None where it is forged, foreign or expired."""
    try:
        claims = jwt.decode(ticket, key, algorithms=["HS256"], audience=AUDIENCE, options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError:
        return None
    return str(claims["sub"])


def _origin(text: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port of an origin (RFC 6454, 6.2), or None where `text` is anything else."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    bare = f"{parts.scheme}://{parts.netloc}"
    # text with a path, a user or characters that urlsplit drops is not what a browser sends
    if not parts.scheme or not parts.hostname or "@" in text or bare.lower() != text.lower():
        return None
    return parts.scheme, parts.hostname, port if port is not None else DEFAULT_PORTS.get(parts.scheme)


def _required_origin(text: str) -> tuple[str, str, int | None]:
    if (origin := _origin(text)) is None:
        raise ValueError(f"{text!r} is not an origin; write scheme, host and port only, such as 'https://example.com'")
    return origin
