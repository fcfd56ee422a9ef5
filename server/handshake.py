"""Who may connect: the origin, the credentials and the subprotocol, checked before a handler runs.

The same code as in lesson 01, with every error handled. A `Handshake` is a FastAPI dependency::

    handshake = Handshake(verify=partial(verify_ticket, key=KEY), subprotocols=["chat.v1"])

    @app.websocket("/ws")
    async def chat(websocket: WebSocket, client: Annotated[ClientInfo, Depends(handshake)]) -> None:
        await websocket.accept(subprotocol=client.subprotocol)
"""

from __future__ import annotations

import inspect
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, NoReturn
from urllib.parse import urlsplit

import jwt
from fastapi import HTTPException, WebSocket, WebSocketException
from starlette.requests import HTTPConnection

from .messages import CloseCode
from .messages.shorten import shorten

__all__ = ["ClientInfo", "Handshake", "Origin", "Verify", "issue_ticket", "parse_host", "parse_origin", "verify_ticket"]

Verify = Callable[[str], Awaitable[str | None] | str | None]
"""Takes a token and returns the name of its user, or None if the token is not valid."""

Origin = tuple[str, str, int | None]
"""Scheme, host and port, in lower case and with the default port filled in, so that two can be compared."""

BAD_CREDENTIALS = "credentials are missing, wrong or expired"
AUDIENCE = "websocket"  # keeps a token that was made for something else from being a ticket
DEFAULT_PORTS = {"http": 80, "https": 443}
NAME = re.compile(r"[\w-]+(\.[\w-]+)*\.?", re.ASCII)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClientInfo:
    """What a handshake has found out about a client."""

    user: str | None
    """The name that `verify` returned, or None if there is no `verify`."""
    origin: str | None
    """The origin of the page that opened the connection, or None for a program."""
    subprotocol: str | None
    """What to pass to ``accept(subprotocol=…)``; None if the client offered none."""


class Handshake:
    """Admits a client, or refuses it so that the client can read why.

    A refusal before ``accept()`` is an HTTP response, as RFC 6455 (4.2.2) asks: a program reads its status and its
    body. But a browser tells its page nothing except close code 1006. So for a page the connection is accepted and
    closed at once with 4001, 4003 or 1002 and a reason. Nothing else is sent on it, but proxies and access logs count
    it as a 101.

    Behind a proxy that ends TLS, let uvicorn trust its headers (``proxy_headers``) or name the public origin in
    `origins`. A page is the server's own if its Origin equals the Host header. With `hosts`, the host must also be
    one of them. This stops DNS rebinding, where a foreign name points to your address.
    """

    def __init__(
        self,
        *,
        origins: Iterable[str] = (),
        hosts: Iterable[str] = (),
        verify: Verify | None = None,
        cookie: str | None = None,
        query: str | None = "ticket",
        subprotocols: Iterable[str] = (),
        readable_by: Literal["client", "program", "browser"] = "client",
    ) -> None:
        """Choose who may connect.

        Args:
            origins: other origins whose pages may connect, such as ``https://example.com``; pages of the server's own
                origin always may (RFC 6455, 10.2).
            hosts: the names of this server, such as ``chat.example`` or ``*.chat.example``; a page may come from one
                of them or from an IP address. Without any, every Host header is trusted, as with ``*``.
            verify: checks a token, which comes from ``Authorization: Bearer …``, from the `query` parameter or from
                the `cookie`, in this order. If it is None, no token is needed.
            cookie: the name of a cookie that carries the token. It is read only from a request with an Origin,
                because a browser adds cookies to the requests of any page.
            query: the name of a query parameter that carries the token. Addresses end up in logs, so use a ticket
                that expires within seconds.
            subprotocols: what this endpoint speaks, best first. A client that offers only others is refused; one that
                offers none is not.
            readable_by: who should be able to read a refusal. ``"client"`` decides by the request: browsers always
                send an Origin, programs usually don't.

        Raises:
            ValueError: one of `origins` is not an origin, or is ``null``, which any page can be; or one of `hosts` is
                not the name of a host.
        """
        self.origins = frozenset(parse_origin(origin) for origin in origins)
        self.hosts = tuple(parse_host(host) for host in hosts)
        self.verify = verify
        self.cookie = cookie
        self.query = query
        self.subprotocols = tuple(subprotocols)
        self.readable_by = readable_by

    async def __call__(self, websocket: WebSocket) -> ClientInfo:
        """Check the request, before ``accept()``; return what it says about its client.

        Raises:
            HTTPException: refused, for a program: 401 (who are you), 403 (not from that page) or 400
                (no subprotocol in common).
            WebSocketException: refused, for a page: accepted, and closed with 4001, 4003 or 1002.
        """
        headers = websocket.headers.getlist("origin")
        if headers and (reason := self.origin_error(websocket, "pages of this origin may not connect")):
            await self.refuse(websocket, 403, CloseCode.FORBIDDEN, reason)
        user = await self._verify(websocket) if self.verify else None
        if self.verify and not user:  # also an empty name, or the False of a careless `verify`
            await self.refuse(websocket, 401, CloseCode.AUTH_REQUIRED, BAD_CREDENTIALS)
        subprotocol = self._subprotocol(websocket)
        if subprotocol is None and self.subprotocols and websocket.get("subprotocols", ()):
            known = shorten(", ".join(self.subprotocols), 80)  # a close reason has room for 123 bytes
            await self.refuse(websocket, 400, CloseCode.PROTOCOL_ERROR, f"no subprotocol in common, offer {known}")
        return ClientInfo(user=user, origin=headers[0] if headers else None, subprotocol=subprotocol)

    def origin_error(self, connection: HTTPConnection, foreign: str) -> str | None:
        """Return why a page of this Origin may not send this request or open this WebSocket; None if it may.

        The reason is `foreign` for a page of another origin. For a page that came by a name that is not in `hosts`, it
        is what to do about that. The refusal is logged.
        """
        origins, hosts = connection.headers.getlist("origin"), connection.headers.getlist("host")
        origin = _origin(origins[0]) if len(origins) == 1 else None
        if origin in self.origins:
            return None
        reason = foreign
        scheme = "https" if connection.get("scheme") in ("wss", "https") else "http"
        if origin is not None and len(hosts) == 1 and origin == _origin(f"{scheme}://{hosts[0]}"):
            if self._is_own(origin[1]):
                return None
            # a close reason has room for 123 bytes
            reason = f"{shorten(origin[1], 48)!r} is not a name of this server that it knows; add it with --hosts"
        _log.info("refused a page of origin %s: %s", ", ".join(map(repr, origins)), reason)
        return reason

    def _is_own(self, host: str) -> bool:
        return not self.hosts or _is_address(host) or any(_matches(host, pattern) for pattern in self.hosts)

    def find_token(self, websocket: WebSocket) -> str | None:
        """Return the token that a request carries, which nobody has verified yet."""
        scheme, _, token = websocket.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
        if self.query is not None and self.query in websocket.query_params:
            return websocket.query_params[self.query]
        if self.cookie is not None and "origin" in websocket.headers:
            return websocket.cookies.get(self.cookie)
        return None

    async def _verify(self, websocket: WebSocket) -> str | None:
        token = self.find_token(websocket)
        if not token or self.verify is None:
            return None
        user = self.verify(token)
        return await user if inspect.isawaitable(user) else user

    def _subprotocol(self, websocket: WebSocket) -> str | None:
        offered = websocket.get("subprotocols", ())
        return next((name for name in self.subprotocols if name in offered), None)

    async def refuse(self, websocket: WebSocket, status: int, code: CloseCode, reason: str) -> NoReturn:
        """Refuse a connection that is not accepted yet.

        Raises:
            HTTPException: with `status`, for a program.
            WebSocketException: with `code`, for a page.
        """
        from_page = "origin" in websocket.headers
        if self.readable_by == "program" or (self.readable_by == "client" and not from_page):
            raise HTTPException(status, reason, headers={"WWW-Authenticate": "Bearer"} if status == 401 else None)
        # a browser whose offer stays unanswered fails the connection, and the code would be 1006 again
        await websocket.accept(subprotocol=next(iter(websocket.get("subprotocols", ())), None))
        raise WebSocketException(code, reason)


def issue_ticket(user: str, *, key: str | bytes, seconds: int = 30) -> str:
    """Sign a ticket with which `user` may open connections for the next `seconds`.

    An HTTP route that knows the user returns the ticket to the page. The page passes it on in the address of the
    WebSocket, because it can't set a header there. `key` is a secret of 32 bytes or more.
    """
    claims = {"sub": user, "aud": AUDIENCE, "exp": int(time.time()) + seconds}
    return jwt.encode(claims, key, algorithm="HS256")


def verify_ticket(ticket: str, *, key: str | bytes) -> str | None:
    """Return the user for whom `issue_ticket` signed the ticket, or None if it is forged, foreign or expired."""
    try:
        claims = jwt.decode(ticket, key, algorithms=["HS256"], audience=AUDIENCE, options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError:
        return None
    return str(claims["sub"])


def parse_origin(text: str) -> Origin:
    """Return scheme, host and port of an origin such as ``https://example.com`` (RFC 6454 section 6.2).

    Capitals, the default port and letters beyond ASCII make no difference.

    Raises:
        ValueError: `text` is not an origin.
    """
    if (origin := _origin(text)) is None:
        raise ValueError(f"{text!r} is not an origin; write scheme, host and port only, such as 'https://example.com'")
    return origin


def parse_host(text: str) -> str:
    """Return the name of a host as it stands in an origin, such as ``chat.example``.

    ``*.chat.example`` means every name below, and ``*`` every name. Capitals and letters beyond ASCII make no
    difference.

    Raises:
        ValueError: `text` is not the name of a host.
    """
    with suppress(ValueError):
        name = (text if text.isascii() else text.encode("idna").decode()).lower().strip("[]")
        if name == "*" or NAME.fullmatch(name.removeprefix("*.")) or _is_address(name):
            return name
    raise ValueError(f"{text!r} is not a host; write a name without scheme and port, such as 'chat.example.com'")


def _origin(text: str) -> Origin | None:
    try:
        parts = urlsplit(text)
        port = parts.port
        host = (parts.hostname or "").encode("idna" if not text.isascii() else "ascii").decode()
    except ValueError:
        return None
    bare = f"{parts.scheme}://{parts.netloc}"
    # text with a path, a user or characters that urlsplit drops is not what a browser sends
    if (
        not parts.scheme
        or "@" in text
        or bare.lower() != text.lower()
        or not (NAME.fullmatch(host) or _is_address(host))
    ):
        return None
    return parts.scheme, host, port if port is not None else DEFAULT_PORTS.get(parts.scheme)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else pattern in ("*", host)
