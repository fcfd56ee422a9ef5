"""How a client of the chat proves who it is: a token, a function that gets one, a ticket, or the demo login."""

from __future__ import annotations

import asyncio
import inspect
import json
import ssl
from collections.abc import Awaitable, Callable
from http.client import HTTPException
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from ..access.auth import COOKIE
from .arguments import check_text
from .errors import LoginError
from .proxy import ProxyOption, proxy_for, send_through

__all__ = ["TOKEN_REMEDY", "Credentials", "TokenSource"]

TokenSource = Callable[[], Awaitable[str] | str]
"""Gets a new token or ticket, with or without ``await``. What it raises before the first welcome ends the client,
unless it is an OSError; later it is logged, and the client tries again."""

LOGIN_TIMEOUT = 5.0  # seconds
TOKEN_REMEDY = "pass a token that is valid, or a function that gets a new one: token=get_token"


class Credentials:
    """The credentials of one client, fetched anew for each connection where that is possible."""

    def __init__(
        self,
        address: str,
        *,
        token: str | TokenSource | None = None,
        ticket: TokenSource | None = None,
        name: str | None = None,
        proxy: ProxyOption = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Send a `token` (in a header) or a `ticket` (in the address), or log in under a `name`.

        Raises:
            LoginError: not exactly one of the three is given, or it cannot work.
        """
        if sum(given is not None for given in (token, ticket, name)) != 1:
            raise LoginError("give one of token=, ticket= and name=, so that the server can know who this is")
        if name is not None:
            check_text("name=", name)
            if not (proxy_for(address, proxy) or "http://").startswith("http://"):
                raise LoginError(
                    "the demo login cannot go through a proxy other than http://…; pass token=, or proxy=None"
                )
        if token is not None and not callable(token):
            _check_token("token=", token)
        if ticket is not None and not callable(ticket):
            raise LoginError(f"ticket= must be a function that gets a ticket, got {type(ticket).__name__}")
        self._address = address
        self._token = token
        self._ticket = ticket
        self._name = name
        self._proxy = proxy
        self._tls = tls
        self._session_token: str | None = None  # of the demo login
        self._is_new = False  # whether the last ones were fetched for the last connection

    async def fetch(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the headers and the query parameters for one connection.

        Raises:
            LoginError: what the function or the demo login gave is no credential.
            OSError: the demo login, or the function that gets a token, could not be reached.
        """
        self._is_new = not (isinstance(self._token, str) or self._session_token)
        if self._ticket is not None:
            return {}, {"ticket": _check_token("ticket=", await _call(self._ticket))}
        if self._name is not None:
            self._session_token = self._session_token or await asyncio.to_thread(self._log_in, self._name)
            token = self._session_token
        else:
            assert self._token is not None
            token = self._token if isinstance(self._token, str) else await _call(self._token)
        return {"Authorization": f"Bearer {_check_token('token=', token)}"}, {}

    @property
    def has_headers(self) -> bool:
        """Whether they are sent in headers, which any HTTP request can have."""
        return self._ticket is None

    def can_renew(self, *, was_accepted: bool) -> bool:
        """Note that the server asks for a login; return whether there may be credentials that it accepts.

        `was_accepted` says whether the server had accepted the last ones. If they were new and it had not, no others
        will come.
        """
        self._session_token = None
        return not isinstance(self._token, str) and (was_accepted or not self._is_new)

    def _log_in(self, name: str) -> str:
        """Open a session of the demo login; its cookie holds what serves as a bearer token as well."""
        body = json.dumps({"name": name}).encode()
        request = Request(f"{self._address}login", body, {"Content-Type": "application/json"}, method="POST")
        proxy = proxy_for(self._address, self._proxy)
        if proxy is not None:
            send_through(proxy, request)
        opener = build_opener(ProxyHandler({}), HTTPSHandler(context=self._tls))
        cookie: SimpleCookie = SimpleCookie()
        try:
            with opener.open(request, timeout=LOGIN_TIMEOUT) as answer:
                for header in answer.headers.get_all("Set-Cookie", []):
                    cookie.load(header)
        except OSError:  # RemoteDisconnected is both
            raise
        except (HTTPException, CookieError) as error:
            raise LoginError(
                f"{self._address} does not answer as a demo login does ({type(error).__name__}); {TOKEN_REMEDY}"
            ) from error
        if COOKIE not in cookie:
            raise LoginError(f"{self._address!r} has no demo login; {TOKEN_REMEDY}")
        return _check_token("the demo login", cookie[COOKIE].value)


def _check_token(name: str, value: Any) -> str:
    """Return a token or a ticket as it is; raise LoginError if no header carries it (RFC 6750, section 2.1)."""
    if not isinstance(value, str):
        raise LoginError(f"{name} must be text, or a function that returns text, got {type(value).__name__}")
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise LoginError(f"{name} gives a token that is empty, or has a space, a line break or an odd character")
    return value


async def _call(source: TokenSource) -> str:
    found = source()
    return await found if inspect.isawaitable(found) else found
